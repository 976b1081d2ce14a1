#include "runtime/oci/init/stage.h"

#include <signal.h>
#include <sys/prctl.h>

#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/sync.h"

static int ask(struct init *in, enum sync_type question, enum sync_type answer)
{
	int r = sync_send(in->sync, question, 0);

	return r < 0 ? r : sync_expect(in->sync, answer);
}

static int become_root(struct init *in)
{
	int r = init_become_root();

	if (r < 0)
		note_set(&in->why, "become root of the user namespace", NULL);
	return r;
}

/* Enters what it can; *left says what could not be entered yet. */
static int join_pass(struct init *in, bool entered[NS_N], bool last)
{
	const struct plan *p = in->plan;
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->joins_n; i++) {
		const struct join *j = &p->joins[i];
		bool is_user = j->flags == CLONE_NEWUSER;

		if (entered[i] || (is_user && !last))
			continue;
		r = NEG_ERRNO(setns(j->fd, j->flags));
		entered[i] = r == 0;
		if (r < 0 && !last)
			r = 0; /* the user namespace first, then again */
		else if (r < 0)
			note_set(&in->why, "join namespace ", j->path, NULL);
		else if (is_user || (j->flags & CLONE_NEWUSER))
			r = become_root(in);
	}
	return r;
}

static int make_user_namespace(struct init *in)
{
	int r = NEG_ERRNO(unshare(CLONE_NEWUSER));

	/* Changed credentials hide /proc/self from an ordinary runtime, which has yet to write the maps. */
	if (r == 0)
		r = NEG_ERRNO(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	if (r == 0)
		r = ask(in, SYNC_MAPS, SYNC_MAPS_DONE);
	if (r < 0)
		note_set(&in->why, "make user namespace", NULL);
	return r == 0 ? become_root(in) : r;
}

static int make_time_namespace(struct init *in)
{
	const char *text = in->plan->time_offsets;
	int r = NEG_ERRNO(unshare(CLONE_NEWTIME)), fd;

	/* In a user namespace our ids have changed, which hides /proc/self from ourselves as well. */
	if (r == 0)
		r = NEG_ERRNO(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	if (r == 0 && *text) {
		fd = k_openat2(in->plan->proc, "self/timens_offsets", O_WRONLY, 0,
			       RESOLVE_BENEATH | RESOLVE_NO_XDEV);
		r = fd < 0 ? fd : NEG_ERRNO(write(fd, text, strlen(text)));
		if (fd >= 0)
			(void)close(fd);
	}
	if (r < 0)
		note_set(&in->why, "linux.timeOffsets: make time namespace", NULL);
	return r < 0 ? r : 0;
}

static int enter_all(struct init *in)
{
	bool entered[NS_N] = { false };
	const struct plan *p = in->plan;
	int r = join_pass(in, entered, !p->joins_user && !p->is_new_userns);

	if (r == 0 && p->is_new_userns)
		r = make_user_namespace(in);
	if (r == 0)
		r = join_pass(in, entered, true);
	if (r == 0 && p->time_offsets)
		r = make_time_namespace(in);
	return r;
}

int stage_run(struct init *in)
{
	struct clone_args args = { .flags = CLONE_PARENT |
					    (in->plan->new_flags & ~(unsigned long)CLONE_NEWUSER) };
	pid_t pid;
	int r = enter_all(in);

	if (r ==
	    0) /* CVE-2016-9962: see do_await(); this process is in the container's namespaces already */
		r = NEG_ERRNO(prctl(PR_SET_DUMPABLE, in->plan->is_new_userns, 0, 0, 0));
	if (r < 0) {
		(void)sync_send_error(in->sync, -r, in->why.s);
		return 1;
	}
	pid = k_clone(&args);
	if (pid == 0)
		return -1;
	if (pid < 0) {
		(void)sync_send_error(in->sync, -pid, "make the container's process");
		return 1;
	}
	return sync_send(in->sync, SYNC_PID, (uint32_t)pid) < 0;
}
