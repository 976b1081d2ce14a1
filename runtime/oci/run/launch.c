#include "runtime/oci/run/launch.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/stage.h"
#include "runtime/oci/run/ids.h"

enum err_kind launch_error(const struct sync_msg *m, struct err *e)
{
	errno = m->sys;
	return m->sys ? err_sys(e, __func__, "unable to start container process: %s", m->text)
		      : err_set(e, ERR_INVALID, __func__, "unable to start container process: %s",
				m->text);
}

/* The child's side from here to its end: nothing is allocated (init.h I1). */
static _Noreturn void become_process(struct init *in, int lock, int other_end)
{
	(void)close(other_end);
	if (lock >= 0)
		(void)close(lock);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (in->plan->needs_stage) {
		int status = stage_run(in);

		if (status >= 0)
			_exit(status);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	}
	(void)setsid(); /* fails for a leader only, which a new process is not */
	in->root = in->plan->root_dir;
	if (in->root < 0 && !in->plan->root_path) /* exec: the mount namespace says */
		in->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_exit(init_run(in));
}

static enum err_kind clone_process(const struct plan *p, int listen, int lock, struct launch *l,
				   struct err *e)
{
	struct init in = {
		.plan = p, .listen = listen, .start = -1, .root = -1, .null = -1, .mask = -1
	};
	struct clone_args args = { .flags = CLONE_PIDFD | (p->needs_stage ? 0 : p->new_flags),
				   .pidfd = (uint64_t)(uintptr_t)&l->pidfd,
				   .exit_signal = SIGCHLD };
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_sys(e, __func__, "socketpair");
	in.sync = pair[1];
	if (listen < 0)
		in.start = pair[1]; /* exec: there is no other start */
	l->pid = k_clone(&args);
	if (l->pid == 0)
		become_process(&in, lock, pair[0]);
	(void)close(pair[1]);
	l->sync = pair[0];
	if (l->pid > 0)
		return ERR_OK;
	errno = -l->pid;
	l->pid = 0;
	return err_sys(e, __func__, "make namespaces: clone");
}

static void reap(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

enum err_kind launch_next(struct launch *l, struct sync_msg *ret, struct err *e)
{
	int r = sync_receive(l->sync, ret);

	if (r < 0) {
		errno = -r;
		return err_sys(e, __func__, "receive from the container's process");
	}
	return ret->type == SYNC_ERROR ? launch_error(ret, e) : ERR_OK;
}

enum err_kind launch_answer(struct launch *l, enum sync_type type, struct err *e)
{
	int r = sync_send(l->sync, type, (uint32_t)l->pid);

	if (r == 0 ||
	    r == -EPIPE) /* its end shows at the next message, with the reason if there is one */
		return ERR_OK;
	errno = -r;
	return err_sys(e, __func__, "send to the container's process");
}

/* Until the stage has made the process: then that one is ours, and the stage is gone. */
static enum err_kind serve_stage(const struct plan *p, const struct host *h, struct launch *l,
				 struct err *e)
{
	struct sync_msg m = { 0 };
	pid_t stage = l->pid;
	enum err_kind k = launch_next(l, &m, e);

	if (k == ERR_OK && m.type == SYNC_MAPS) {
		k = ids_write_maps(stage, p->uid_map, p->gid_map, h, e);
		if (k == ERR_OK)
			k = launch_answer(l, SYNC_MAPS_DONE, e);
		if (k == ERR_OK)
			k = launch_next(l, &m, e);
	}
	if (k != ERR_OK)
		return k;
	if (m.type != SYNC_PID)
		return err_set(e, ERR_IO, __func__, "the stage ended without a process");
	l->pid = (pid_t)m.value;
	fd_close(&l->pidfd);
	l->pidfd = k_pidfd_open(l->pid); /* our child, so the number is still its */
	reap(stage);
	return ERR_OK;
}

enum err_kind launch_spawn(const struct plan *p, const struct host *h, int listen, int lock,
			   struct launch *ret, struct err *e)
{
	enum err_kind k;

	*ret = (struct launch){ .sync = -1, .pidfd = -1 };
	k = clone_process(p, listen, lock, ret, e);
	if (k == ERR_OK && p->needs_stage)
		k = serve_stage(p, h, ret, e);
	else if (k == ERR_OK && p->is_new_userns)
		k = ids_write_maps(ret->pid, p->uid_map, p->gid_map, h, e);
	return k;
}

enum err_kind launch_go(struct launch *l, struct err *e)
{
	return launch_answer(l, SYNC_GO, e);
}

void launch_end(struct launch *l, bool kill_it)
{
	fd_close(&l->sync); /* a process that waits for us ends by itself */
	if (kill_it && l->pid > 0) {
		if (l->pidfd < 0 || k_pidfd_signal(l->pidfd, SIGKILL) == -ENOSYS)
			(void)kill(l->pid, SIGKILL);
		reap(l->pid);
		l->pid = 0;
	}
	fd_close(&l->pidfd);
}

enum err_kind launch_set_limits(pid_t pid, const struct spec_process *proc, struct err *e)
{
	for (size_t i = 0; i < proc->rlimits.n; i++) {
		const struct spec_rlimit *l = &proc->rlimits.v[i];
		struct rlimit value = { .rlim_cur = l->soft, .rlim_max = l->hard };

		if (prlimit(pid, (__rlimit_resource_t)(l->type - 1), &value, NULL) < 0)
			return err_sys(e, __func__, "process.rlimits[%zu]: set %s", i,
				       spec_rlimit_names[l->type - 1]);
	}
	return ERR_OK;
}

/* An ordinary user may not lower the score: then it stays where it is, as with every rootless engine. */
enum err_kind launch_set_oom_score(pid_t pid, const struct spec_process *proc, const struct host *h,
				   struct err *e)
{
	char path[64], text[16];
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (!proc || !proc->oom_score_adj.set)
		return ERR_OK;
	(void)snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	(void)snprintf(text, sizeof(text), "%lld", (long long)proc->oom_score_adj.v);
	k = fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd, e);
	if (k == ERR_OK && write(fd, text, strlen(text)) < 0)
		k = err_sys(e, __func__, "process.oomScoreAdj: set %s", text);
	if (k != ERR_OK && (h->in_userns || h->euid != 0))
		return ERR_OK;
	return k;
}
