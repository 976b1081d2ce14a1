#include "runtime/oci/init/hook.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "runtime/oci/init/kernel.h"

#define MILLISECONDS 1000

static int write_text(int fd, const char *text, size_t n)
{
	while (n) {
		ssize_t r = write(fd, text, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		text += r;
		n -= (size_t)r;
	}
	return 0;
}

static int write_state(int fd, const struct state_text *state, pid_t pid)
{
	char digits[DECIMAL_MAX];
	const char *parts[] = { state->head, decimal((uint64_t)pid, digits), state->tail };
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(parts); i++)
		r = write_text(fd, parts[i], strlen(parts[i]));
	return r;
}

static _Noreturn void become_hook(const struct hook_op *h, int input, int report)
{
	sigset_t none;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	r = NEG_ERRNO(dup2(input, 0));
	if (r >= 0)
		r = NEG_ERRNO(close_range(3, ~0u, CLOSE_RANGE_CLOEXEC));
	if (r >= 0)
		r = NEG_ERRNO(execve(h->path, h->argv, h->envp));
	(void)write_text(report, (const char *)&r, sizeof(r));
	_exit(127);
}

/* The errno of an exec that failed, 0 once the program runs. */
static int exec_result(int report)
{
	int r = 0;
	ssize_t n;

	do
		n = read(report, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(r) ? r : 0;
}

static int explain(int status, struct note *why)
{
	char digits[DECIMAL_MAX];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		note_set(why, "exit status ", decimal((uint64_t)WEXITSTATUS(status), digits), NULL);
	else
		note_set(why, "killed by signal ", decimal((uint64_t)WTERMSIG(status), digits),
			 NULL);
	return -ECHILD;
}

static int wait_for(pid_t pid, int pidfd, int timeout_s, struct note *why)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	int status = 0, r = 1;
	bool late = false;

	if (timeout_s > 0) {
		do
			r = NEG_ERRNO(poll(&p, 1, timeout_s * MILLISECONDS));
		while (r == -EINTR);
	}
	if (r == 0) {
		late = true;
		(void)k_pidfd_signal(pidfd, SIGKILL);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	if (late) {
		note_set(why, "timed out", NULL);
		return -ETIMEDOUT;
	}
	return explain(status, why);
}

static int spawn(const struct hook_op *h, int input, int report, int *pidfd)
{
	struct clone_args args = { .flags = CLONE_PIDFD,
				   .pidfd = (uint64_t)(uintptr_t)pidfd,
				   .exit_signal = SIGCHLD };
	pid_t pid = k_clone(&args);

	if (pid == 0)
		become_hook(h, input, report);
	return pid;
}

/* All of the input goes into the pipe before the hook runs: whether and when it reads is its own affair. */
static int feed(int fd, const struct hook_op *h, pid_t pid)
{
	(void)fcntl(fd, F_SETPIPE_SZ,
		    1024 * 1024); /* more than any state; an ordinary user may get less */
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	return write_state(fd, &h->state, pid);
}

int hook_run(const struct hook_op *h, pid_t pid_in_state, struct note *why)
{
	int input[2], report[2], pidfd = -1, r, failed;
	pid_t pid;

	if (pipe2(input, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(report, O_CLOEXEC) < 0) {
		r = -errno;
		(void)close(input[0]);
		(void)close(input[1]);
		return r;
	}
	r = feed(input[1], h, pid_in_state);
	(void)close(input[1]);
	pid = r < 0 ? r : spawn(h, input[0], report[1], &pidfd);
	(void)close(input[0]);
	(void)close(report[1]);
	if (pid < 0) {
		(void)close(report[0]);
		return pid;
	}
	failed = exec_result(report[0]);
	(void)close(report[0]);
	r = wait_for(pid, pidfd, h->timeout_s, why);
	(void)close(pidfd);
	if (failed < 0) {
		note_set(why, "cannot be run", NULL);
		return failed;
	}
	return r;
}
