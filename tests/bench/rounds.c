/*
 * rounds - times commands against each other: one run of each in turn, many rounds, so that whatever the machine does
 * meanwhile happens to all of them alike.
 *
 * usage: rounds N COMMAND [ARGUMENT]... [::: COMMAND [ARGUMENT]...]...
 *
 * "{}" in an argument becomes the number of the run.  One line a command: median, lowest and highest wall time in ms,
 * ratio to the first command's median, and the largest resident set in KiB of the command and all it waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define COMMANDS_MAX 16
#define ARGS_MAX 64

extern char **environ;

struct command {
	char **argv;
	size_t argc;
	uint64_t *us;
	long rss_kib;
};

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void expand(const char *arg, unsigned n, char *buf, size_t cap)
{
	const char *at = strstr(arg, "{}");

	if (at)
		(void)snprintf(buf, cap, "%.*s%u%s", (int)(at - arg), arg, n, at + 2);
	else
		(void)snprintf(buf, cap, "%s", arg);
}

/* Microseconds; 0 if the command failed. */
static uint64_t run(struct command *c, unsigned n, const posix_spawn_file_actions_t *actions)
{
	static char text[ARGS_MAX][1024];
	char *argv[ARGS_MAX + 1];
	struct rusage usage;
	uint64_t start;
	int status;
	pid_t pid;

	for (size_t i = 0; i < c->argc; i++) {
		expand(c->argv[i], n, text[i], sizeof(text[i]));
		argv[i] = text[i];
	}
	argv[c->argc] = NULL;
	start = mono_us();
	if (posix_spawnp(&pid, argv[0], actions, NULL, argv, environ) != 0)
		return 0;
	while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR)
		;
	if (status != 0)
		return 0;
	if (usage.ru_maxrss > c->rss_kib)
		c->rss_kib = usage.ru_maxrss;
	return mono_us() - start;
}

static size_t split(int argc, char **argv, struct command *list)
{
	size_t n = 0;

	for (int i = 0; i < argc && n < COMMANDS_MAX; n++) {
		int first = i;

		while (i < argc && strcmp(argv[i], ":::") != 0)
			i++;
		list[n] = (struct command){ .argv = argv + first,
					    .argc = MIN((size_t)(i - first), (size_t)ARGS_MAX) };
		i++;
	}
	return n;
}

static void report(struct command *list, size_t n, size_t rounds)
{
	uint64_t first = 1;

	for (size_t i = 0; i < n; i++) {
		uint64_t *v = list[i].us;

		qsort(v, rounds, sizeof(*v), by_value);
		if (i == 0)
			first = v[rounds / 2];
		(void)printf("%8.2f %8.2f %8.2f  %6.3f  %8ld  %s\n", (double)v[rounds / 2] / 1000,
			     (double)v[0] / 1000, (double)v[rounds - 1] / 1000,
			     (double)v[rounds / 2] / (double)first, list[i].rss_kib,
			     list[i].argv[0]);
	}
}

int main(int argc, char **argv)
{
	struct command list[COMMANDS_MAX];
	posix_spawn_file_actions_t actions;
	struct str number = str_of(argc > 2 ? argv[1] : "");
	uint64_t rounds;
	size_t n;

	if (argc < 3 || !scan_u64(&number, 100000, &rounds) || !scan_end(&number) || rounds == 0) {
		(void)fprintf(stderr, "usage: %s N COMMAND... [::: COMMAND...]...\n", argv[0]);
		return 2;
	}
	n = split(argc - 2, argv + 2, list);
	if (posix_spawn_file_actions_init(&actions) != 0 ||
	    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0) != 0)
		return 1;
	for (size_t i = 0; i < n; i++)
		list[i].us = calloc(rounds, sizeof(uint64_t));
	for (unsigned r = 0; r < rounds; r++) {
		for (size_t i = 0; i < n; i++) {
			list[i].us[r] = run(&list[i], r, &actions);
			if (!list[i].us[r]) {
				(void)fprintf(stderr, "%s failed in round %u\n", list[i].argv[0],
					      r);
				return 1;
			}
		}
	}
	report(list, n, rounds);
	return 0;
}
