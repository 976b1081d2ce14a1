#include "runtime/oci/init/init.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "runtime/oci/init/hook.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/sync.h"

#define START_BACKLOG 16

static int do_await(struct init *in, const struct step *s UNUSED)
{
	struct sync_msg m;
	int r = sync_receive(in->sync, &m);

	if (r < 0)
		return r;
	if (m.type != SYNC_GO)
		return -EPIPE;
	in->host_pid = (pid_t)m.value;
	/* CVE-2016-9962: nobody in a namespace that we join may look into us or at our descriptors. */
	return NEG_ERRNO(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

static int do_unshare(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(unshare(s->ns_flags));
}

static int do_become_root(struct init *in UNUSED, const struct step *s UNUSED)
{
	return init_become_root();
}

static int do_keyring(struct init *in UNUSED, const struct step *s)
{
	enum { JOIN_SESSION_KEYRING = 1 };
	int r = NEG_ERRNO(syscall(SYS_keyctl, JOIN_SESSION_KEYRING, s->object, 0, 0, 0));

	/* A kernel without keyrings, or a sandbox around us: then there is none to share either. */
	return r == -ENOSYS || r == -EPERM ? 0 : r;
}

static int do_hostname(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(sethostname(s->object, strlen(s->object)));
}

static int do_domainname(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(setdomainname(s->object, strlen(s->object)));
}

/* I3: beneath the host's procfs, and not through anything mounted over a part of it. */
static int proc_write(struct init *in, const char *path, const char *text)
{
	size_t n = strlen(text);
	int r, fd = k_openat2(in->plan->proc, path, O_WRONLY | O_NOCTTY, 0,
			      RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);

	if (fd == -ENOSYS)
		fd = NEG_ERRNO(openat(in->plan->proc, path, O_WRONLY | O_NOCTTY | O_CLOEXEC));
	if (fd == -EXDEV)
		note_set(&in->why, "something is mounted over this part of /proc", NULL);
	if (fd < 0)
		return fd;
	r = NEG_ERRNO(write(fd, text, n));
	(void)close(fd);
	return r < 0 ? r : 0;
}

static int do_sysctl(struct init *in, const struct step *s)
{
	return proc_write(in, s->sysctl.file, s->sysctl.value);
}

static int do_propagate(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(mount(NULL, "/", NULL, s->ms_flags, NULL));
}

static int do_attach_root(struct init *in, const struct step *s UNUSED)
{
	return init_attach_root(in);
}

static int do_mount(struct init *in, const struct step *s)
{
	return init_mount(in, s->mount);
}

static int do_device(struct init *in, const struct step *s)
{
	return init_device(in, s->device);
}

static int do_link(struct init *in, const struct step *s)
{
	return init_link(in, s->object, s->text);
}

static int ask(struct init *in, enum sync_type question, enum sync_type answer)
{
	int r = sync_send(in->sync, question, 0);

	return r < 0 ? r : sync_expect(in->sync, answer);
}

static int do_hooks(struct init *in, const struct step *s UNUSED)
{
	return ask(in, SYNC_HOOKS, SYNC_HOOKS_DONE);
}

static int do_hook(struct init *in, const struct step *s)
{
	int r = hook_run(s->hook, getpid(), &in->why);

	in->why_is_all = r == -ECHILD || r == -ETIMEDOUT;
	return r;
}

static int do_console(struct init *in, const struct step *s)
{
	return init_console(in, s->console);
}

static int do_mask(struct init *in, const struct step *s)
{
	return init_mask(in, s->object);
}

static int do_readonly(struct init *in, const struct step *s)
{
	return init_readonly(in, s->object);
}

static int do_pivot(struct init *in, const struct step *s)
{
	return init_pivot(in, (enum pivot_kind)s->number);
}

static int do_root_readonly(struct init *in, const struct step *s UNUSED)
{
	return init_root_attr(in, MOUNT_ATTR_RDONLY, 0);
}

static int do_root_propagation(struct init *in, const struct step *s)
{
	return init_root_attr(in, 0, s->ms_flags);
}

/* A label takes effect at exec: AppArmor has a file of its own since Linux 5.8. */
static int do_label(struct init *in, const struct step *s)
{
	int r = -ENOENT;

	if (strcmp(s->object, "process.apparmorProfile") == 0)
		r = proc_write(in, "self/attr/apparmor/exec", s->text);
	return r == -ENOENT ? proc_write(in, "self/attr/exec", s->text) : r;
}

static int do_limit(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(setrlimit((__rlimit_resource_t)s->limit.type, &s->limit.value));
}

static int do_limits(struct init *in, const struct step *s UNUSED)
{
	return ask(in, SYNC_LIMITS, SYNC_LIMITS_DONE);
}

static int do_scheduler(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(syscall(SYS_sched_setattr, 0, s->sched, 0));
}

static int do_affinity(struct init *in UNUSED, const struct step *s)
{
	return NEG_ERRNO(syscall(SYS_sched_setaffinity, 0, sizeof(*s->cpus), s->cpus));
}

static int do_io_priority(struct init *in UNUSED, const struct step *s)
{
	enum { WHO_PROCESS = 1 };

	return NEG_ERRNO(syscall(SYS_ioprio_set, WHO_PROCESS, 0, s->number));
}

static int do_memory_policy(struct init *in UNUSED, const struct step *s)
{
	return init_memory_policy(s->memory);
}

static int do_personality(struct init *in UNUSED, const struct step *s)
{
	int r = NEG_ERRNO(personality((unsigned long)s->number));

	return r < 0 ? r : 0;
}

static int do_cwd(struct init *in, const struct step *s UNUSED)
{
	return init_cwd(in);
}

static int do_user(struct init *in, const struct step *s)
{
	return init_user(in, s->user);
}

static int do_program(struct init *in, const struct step *s UNUSED)
{
	return init_find_program(in);
}

/* The next connection that says "start"; others, such as those that only look whether we listen, say nothing. */
static int accept_start(struct init *in)
{
	for (;;) {
		int fd = NEG_ERRNO(accept4(in->listen, NULL, NULL, SOCK_CLOEXEC));

		if (fd == -EINTR || fd == -ECONNABORTED)
			continue;
		if (fd < 0)
			return fd;
		if (sync_expect(fd, SYNC_START) == 0)
			return fd;
		(void)close(fd);
	}
}

static int do_ready(struct init *in, const struct step *s UNUSED)
{
	int r = ask(in, SYNC_READY, SYNC_COMMITTED);

	/* From here on the container is on record: the runtime may go, we stay. */
	if (r == 0)
		r = NEG_ERRNO(prctl(PR_SET_PDEATHSIG, 0));
	if (r == 0)
		r = NEG_ERRNO(listen(in->listen, START_BACKLOG));
	if (r == 0)
		r = sync_send(in->sync, SYNC_LISTENING, 0);
	if (r < 0)
		return r;
	(void)close(in->sync);
	in->sync = -1;
	in->start = accept_start(in);
	return in->start < 0 ? in->start : 0;
}

static int do_finish(struct init *in, const struct step *s UNUSED)
{
	int r = init_prepare_exec(in);

	/*
	 * While somebody listens the container counts as created.  exec closes both sockets, in no order that one could
	 * rely on: start must not hear of its end before that is over.
	 */
	if (in->listen >= 0)
		(void)close(in->listen);
	in->listen = -1;
	return r < 0 ? r : sync_send(in->start, SYNC_EXEC, 0);
}

static int do_seccomp(struct init *in, const struct step *s)
{
	return init_seccomp(in, s->seccomp);
}

static int do_exec(struct init *in, const struct step *s UNUSED)
{
	return init_exec(in);
}

static int (*const run_step[STEP_N])(struct init *, const struct step *) = {
	[STEP_AWAIT] = do_await,
	[STEP_UNSHARE] = do_unshare,
	[STEP_BECOME_ROOT] = do_become_root,
	[STEP_KEYRING] = do_keyring,
	[STEP_HOSTNAME] = do_hostname,
	[STEP_DOMAINNAME] = do_domainname,
	[STEP_SYSCTL] = do_sysctl,
	[STEP_PROPAGATE] = do_propagate,
	[STEP_ATTACH_ROOT] = do_attach_root,
	[STEP_MOUNT] = do_mount,
	[STEP_DEVICE] = do_device,
	[STEP_LINK] = do_link,
	[STEP_HOOKS] = do_hooks,
	[STEP_HOOK] = do_hook,
	[STEP_CONSOLE] = do_console,
	[STEP_MASK] = do_mask,
	[STEP_READONLY] = do_readonly,
	[STEP_PIVOT] = do_pivot,
	[STEP_ROOT_READONLY] = do_root_readonly,
	[STEP_ROOT_PROPAGATION] = do_root_propagation,
	[STEP_LABEL] = do_label,
	[STEP_LIMIT] = do_limit,
	[STEP_LIMITS] = do_limits,
	[STEP_SCHEDULER] = do_scheduler,
	[STEP_AFFINITY] = do_affinity,
	[STEP_IO_PRIORITY] = do_io_priority,
	[STEP_MEMORY_POLICY] = do_memory_policy,
	[STEP_PERSONALITY] = do_personality,
	[STEP_CWD] = do_cwd,
	[STEP_USER] = do_user,
	[STEP_PROGRAM] = do_program,
	[STEP_READY] = do_ready,
	[STEP_FINISH] = do_finish,
	[STEP_SECCOMP] = do_seccomp,
	[STEP_EXEC] = do_exec,
};

/* "mount /proc: detail": the other side appends what the errno means. */
static void report(struct init *in, const struct step *s, int r)
{
	struct note text;

	note_set(&text, step_verb(s->kind), *s->object ? " " : "", s->object, NULL);
	note_add(&text, in->why.n ? ": " : "");
	note_add(&text, in->why.s);
	(void)sync_send_error(in->start >= 0 ? in->start : in->sync, in->why_is_all ? 0 : -r,
			      text.s);
}

int init_run(struct init *in)
{
	(void)prctl(PR_SET_NAME, "berth-init");
	(void)umask(0); /* modes of devices and directories are given in full */
	for (size_t i = 0; i < in->plan->n; i++) {
		const struct step *s = &in->plan->steps[i];
		int r;

		note_set(&in->why, NULL);
		r = run_step[s->kind](in, s);
		if (r < 0) {
			report(in, s, r);
			break;
		}
	}
	return 1;
}
