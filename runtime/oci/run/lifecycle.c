/* start, kill and delete. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/cgroup/systemd.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/sync.h"
#include "runtime/oci/run/launch.h"
#include "runtime/oci/run/rdt.h"
#include "runtime/oci/run/runtime.h"

#define DEATH_MS 10000
#define LOCK_MS 10000
/*
 * Poststart hooks come "after the user-specified process is executed".  The exec is over by then, but the validation
 * suite, and so users, take it for what a short program does being done: hooks wait that long for it to end.
 */
#define HEAD_START_MS 100
#define ENDING_MS 500   /* for a process that is about to end when delete asks */
#define CREATOR_MS 2000 /* how long delete --force waits for a creation before it stops it */

/* ---- start ---- */

/* SYNC_EXEC, then the end: the program runs, and the connection closed on exec. */
static enum err_kind await_exec(int sock, struct err *e)
{
	bool execs = false;

	for (;;) {
		struct sync_msg m;
		int r = sync_receive(sock, &m);

		if (r < 0) {
			errno = -r;
			return err_sys(e, __func__, "receive from the container's process");
		}
		if (m.type == SYNC_ERROR)
			return launch_error(&m, e);
		if (m.type == SYNC_END)
			return execs ? ERR_OK
				     : err_set(e, ERR_IO, __func__,
					       "the container's process died before it could run");
		execs = m.type == SYNC_EXEC;
	}
}

static enum err_kind let_go(const struct container *c, struct err *e)
{
	AUTO_CLOSE sock = -1;
	enum err_kind k = container_connect_start(c, &sock, e);
	int r;

	if (k != ERR_OK)
		return k;
	r = sync_send(sock, SYNC_START, 0);
	if (r < 0) {
		errno = -r;
		return err_sys(e, __func__, "send to the container's process");
	}
	return await_exec(sock, e);
}

static enum err_kind check_startable(const struct container *c, struct err *e)
{
	switch (container_status(c)) {
	case STATUS_CREATED:
		break;
	case STATUS_STOPPED:
		return err_set(e, ERR_INVALID, __func__,
			       "cannot start a container that has stopped");
	case STATUS_CREATING:
	case STATUS_PAUSED:
	case STATUS_RUNNING:
		return err_set(e, ERR_INVALID, __func__,
			       "cannot start an already running container");
	}
	if (!c->state.has_process)
		return err_set(e, ERR_INVALID, __func__, "process: is missing in config.json");
	return ERR_OK;
}

enum err_kind runtime_start(struct runtime *rt, struct container *c, struct err *e)
{
	AUTO_SPEC s = { 0 };
	struct err ignored;
	enum err_kind k = check_startable(c, e);

	if (k == ERR_OK && c->state.has_poststart)
		k = runtime_read_spec(c, &s, e);
	if (k != ERR_OK)
		return k;
	k = let_go(c, e);
	if (k == ERR_OK && c->state.has_poststart)
		(void)container_wait(c, HEAD_START_MS);
	if (k == ERR_OK)
		k = runtime_run_hooks(rt, &s, &c->state, HOOK_POSTSTART, e);
	if (k != ERR_OK) /* runtime.md "Lifecycle" 7 and 9: stop, destroy, poststop */
		(void)!runtime_delete(rt, c, true, &ignored);
	return k;
}

/* ---- kill ---- */

static enum err_kind signal_process(const struct container *c, int sig, struct err *e)
{
	AUTO_CLOSE pidfd = -1;
	enum err_kind k = container_pidfd(c, &pidfd, e);
	int r;

	if (k != ERR_OK)
		return k;
	r = k_pidfd_signal(pidfd, sig);
	if (r == 0)
		return ERR_OK;
	errno = -r;
	return r == -ESRCH ? err_set(e, ERR_NOT_FOUND, __func__, "container not running")
			   : err_sys(e, __func__, "signal container %s", c->id);
}

enum err_kind runtime_kill(const struct container *c, int sig, bool all, struct err *e)
{
	enum status status = container_status(c);

	if (all) /* also what outlived the process: containerd asks for that after its exit */
		return cgroup_signal(&c->state.cgroup, sig, e);
	if (status == STATUS_STOPPED || status == STATUS_CREATING)
		return err_set(e, ERR_NOT_FOUND, __func__, "container not running");
	return signal_process(c, sig, e);
}

/* ---- delete ---- */

static void reap_own(pid_t pid)
{
	(void)waitpid(pid, NULL, WNOHANG); /* of `run`: the process is our child */
}

/* The process, and all that is left in its groups: with a pid namespace shared they do not end with it. */
static enum err_kind stop(const struct container *c, struct err *e)
{
	struct err ignored;
	enum err_kind k;

	(void)!signal_process(c, SIGKILL, &ignored);
	k = cgroup_signal(&c->state.cgroup, SIGKILL, e);
	if (cgroup_is_frozen(&c->state.cgroup))
		(void)!cgroup_freeze(&c->state.cgroup, false, &ignored);
	reap_own(c->state.pid);
	if (k == ERR_OK && !container_wait(c, DEATH_MS))
		return err_set(e, ERR_IO, __func__, "container %s does not die", c->id);
	return k;
}

static enum err_kind destroy(struct runtime *rt, struct container *c, struct err *e)
{
	struct cgroup *cg = &c->state.cgroup;
	struct err ignored;
	enum err_kind k = cgroup_remove(cg, e);

	if (cg->unit)
		(void)!cgroup_systemd_stop(rt->helper, cg,
					   &ignored); /* it may have ended with its processes */
	rdt_remove(&c->state);
	return k == ERR_OK ? container_remove(c, e) : k;
}

enum err_kind runtime_delete(struct runtime *rt, struct container *c, bool force, struct err *e)
{
	enum status status = container_status(c);
	AUTO_SPEC s = { 0 };
	struct err ignored;
	bool has_spec;
	enum err_kind k = ERR_OK;

	if (status == STATUS_RUNNING && !force && container_wait(c, ENDING_MS))
		status = STATUS_STOPPED;
	if (status != STATUS_STOPPED && !force)
		return err_set(e, ERR_INVALID, __func__,
			       "cannot delete container %s that is not stopped: %s", c->id,
			       status_text(status));
	has_spec = c->state.has_poststop && runtime_read_spec(c, &s, &ignored) == ERR_OK;
	if (force)
		k = stop(c, e);
	if (k == ERR_OK)
		k = destroy(rt, c, e);
	if (k == ERR_OK && has_spec)
		k = runtime_run_hooks(rt, &s, &c->state, HOOK_POSTSTOP, e);
	return k;
}

/* A directory without a state.json: a create that was killed before it made anything else. */
static enum err_kind remove_remains(int root, const char *id, struct err *e)
{
	AUTO_CLOSE dir = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct container c = { .root = root, .dir = dir, .lock = -1 };

	if (dir < 0 || !str_copy(str_of(id), c.id, sizeof(c.id)))
		return ERR_OK;
	return container_remove(&c, e);
}

/* A creation that does not end by itself is ended by the death of its process. */
static enum err_kind lock_for_delete(struct container *c, bool force, struct err *e)
{
	struct err ignored;
	enum err_kind k = container_lock(c, force ? CREATOR_MS : LOCK_MS, e);

	if (k != ERR_IN_USE || !force)
		return k;
	(void)!signal_process(c, SIGKILL, &ignored);
	return container_lock(c, LOCK_MS, e);
}

enum err_kind runtime_delete_id(struct runtime *rt, const char *id, bool force, struct err *e)
{
	AUTO_ARENA a;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	enum err_kind k;

	arena_init(&a, 16u * 1024 * 1024);
	k = container_open(rt->root, id, &a, &c, e);
	if (k == ERR_OK)
		k = lock_for_delete(&c, force, e);
	if (k == ERR_NOT_FOUND && force)
		return remove_remains(rt->root, id, e);
	return k == ERR_OK ? runtime_delete(rt, &c, force, e) : k;
}
