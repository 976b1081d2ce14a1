/*
 * berth-init - process 1 of a container that asks for one (berth run --init): starts the program, passes signals on to it,
 * reaps what is orphaned, and ends with the program's status.
 *
 * usage: berth-init -- PROGRAM [ARGUMENT]...
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"

#define EXIT_NOT_FOUND 127
#define EXIT_NOT_EXECUTABLE 126

/* A group of its own that has the terminal, so that keys reach the program and what it started. */
static void become_program(char **argv, const sigset_t *before)
{
	(void)setpgid(0, 0);
	(void)signal(SIGTTOU, SIG_IGN);
	(void)tcsetpgrp(STDIN_FILENO, getpgrp()); /* there may be no terminal */
	(void)signal(SIGTTOU, SIG_DFL);
	(void)sigprocmask(SIG_SETMASK, before, NULL);
	(void)execvp(argv[0], argv);
	perror(argv[0]);
	_exit(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* The program's status once it has ended; -1 before. */
static int reap(pid_t program)
{
	int status, code = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == program)
			code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	return code;
}

int main(int argc, char **argv)
{
	sigset_t all, before;
	pid_t program;
	int code = -1, number;

	if (argc < 3 || strcmp(argv[1], "--") != 0) {
		(void)fputs("usage: berth-init -- PROGRAM [ARGUMENT]...\n", stderr);
		return 2;
	}
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, &before);
	program = fork();
	if (program < 0) {
		perror("fork");
		return EXIT_NOT_EXECUTABLE;
	}
	if (program == 0)
		become_program(argv + 2, &before);
	while (code < 0) {
		if (sigwait(&all, &number) != 0)
			continue;
		if (number == SIGCHLD)
			code = reap(program);
		else
			(void)kill(program, number);
	}
	return code;
}
