/*
 * killat - runs a program under its own pid, and kills it before its n'th system call that changes anything outside it.
 *
 * usage: PROGRAM ARGUMENT...    where PROGRAM is a link to killat, and the file PROGRAM.killat has four lines:
 *
 *     what to run in its place
 *     the number n, from 1; 0: it is not killed
 *     a word that must be among the arguments, or it is run as it is; an empty line: none
 *     a file that gets the number of such calls that were made, once it has ended
 *
 * Nothing of the program is kept by the tracer, which is no child of it: descriptors close when it ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

#define LINE_BYTES 4096

struct plan {
	char program[LINE_BYTES], number[LINE_BYTES], word[LINE_BYTES], count_file[LINE_BYTES];
	uint64_t n;
};

/* clang-format off */
static const long changing[] = {
	SYS_mkdirat,  SYS_renameat, SYS_renameat2, SYS_linkat,    SYS_symlinkat,	 SYS_unlinkat,
	SYS_mknodat,  SYS_fchmod,   SYS_fchmodat,  SYS_fchownat,  SYS_ftruncate,	 SYS_flock,
	SYS_write,    SYS_pwrite64, SYS_sendmsg,   SYS_sendto,    SYS_socket,	 SYS_bind,
	SYS_listen,   SYS_connect,  SYS_accept4,   SYS_clone,     SYS_clone3,	 SYS_wait4,
	SYS_kill,     SYS_mount,    SYS_umount2,   SYS_unshare,   SYS_setns,	 SYS_fsopen,
	SYS_fsconfig, SYS_fsmount,  SYS_move_mount, SYS_open_tree, SYS_mount_setattr, SYS_pidfd_send_signal,
#ifdef SYS_vfork
	SYS_vfork,    SYS_mkdir,    SYS_rename,    SYS_unlink,    SYS_rmdir,
#endif
};
/* clang-format on */

static bool is_changing(uint64_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
		if ((uint64_t)changing[i] == number)
			return true;
	}
	return false;
}

static void fail(const char *what)
{
	perror(what);
	_exit(125);
}

static void read_line(FILE *f, char *line)
{
	if (!fgets(line, LINE_BYTES, f))
		fail("killat: a line of the plan");
	line[strcspn(line, "\n")] = '\0';
}

static void read_plan(const char *self, struct plan *p)
{
	char path[LINE_BYTES];
	struct str digits;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s.killat", self);
	f = fopen(path, "re");
	if (!f)
		fail(path);
	read_line(f, p->program);
	read_line(f, p->number);
	read_line(f, p->word);
	read_line(f, p->count_file);
	(void)fclose(f);
	digits = str_of(p->number);
	if (!scan_u64(&digits, UINT32_MAX, &p->n) || !scan_end(&digits))
		fail("killat: a number");
}

static void write_count(const char *file, uint64_t n)
{
	FILE *f = fopen(file, "we");

	if (f)
		(void)fprintf(f, "%llu\n", (unsigned long long)n);
	if (!f || fclose(f) != 0)
		fail(file);
}

/* What to pass on to the program with PTRACE_SYSCALL. */
static int signal_at(int status)
{
	return status >> 16 ? 0 : WSTOPSIG(status);
}

static void trace(pid_t pid, const struct plan *p, int go)
{
	uint64_t n = 0;
	int status, pass = 0;

	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0 ||
	    ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		fail("killat: trace");
	(void)close(go);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		struct __ptrace_syscall_info info = { 0 };

		pass = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			pass = signal_at(status);
		} else if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0 &&
			   info.op == PTRACE_SYSCALL_INFO_ENTRY && is_changing(info.entry.nr) &&
			   ++n == p->n) {
			(void)kill(pid, SIGKILL);
		}
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)pass);
	}
	write_count(p->count_file, n);
	_exit(0);
}

/* A child of nobody's, which has none of the program's descriptors. */
static void start_tracer(const struct plan *p)
{
	pid_t self = getpid(), between;
	int go[2];
	char c;

	if (pipe(go) < 0)
		fail("killat: pipe");
	between = fork();
	if (between == 0) {
		if (fork() != 0)
			_exit(0);
		if (dup2(go[1], 3) < 0 || syscall(SYS_close_range, 4, ~0U, 0) < 0)
			fail("killat: descriptors");
		(void)setsid();
		trace(self, p, 3);
	}
	if (between < 0 || waitpid(between, NULL, 0) != between)
		fail("killat: fork");
	(void)close(go[1]);
	while (read(go[0], &c, 1) < 0 && errno == EINTR)
		;
	(void)close(go[0]);
}

static bool is_meant(const struct plan *p, int argc, char **argv)
{
	bool meant = !p->word[0];

	for (int i = 1; i < argc; i++)
		meant = meant || strcmp(argv[i], p->word) == 0;
	return meant;
}

int main(int argc, char **argv)
{
	struct plan p;

	read_plan(argv[0], &p);
	if (is_meant(&p, argc, argv))
		start_tracer(&p);
	argv[0] = p.program;
	(void)execv(p.program, argv);
	fail(p.program);
}
