#include "runtime/oci/cli/signals.h"

#include <signal.h>

static const struct {
	const char *name;
	int number;
} names[] = {
	{ "HUP", SIGHUP },       { "INT", SIGINT },       { "QUIT", SIGQUIT },
	{ "ILL", SIGILL },       { "TRAP", SIGTRAP },     { "ABRT", SIGABRT },
	{ "IOT", SIGIOT },       { "BUS", SIGBUS },       { "FPE", SIGFPE },
	{ "KILL", SIGKILL },     { "USR1", SIGUSR1 },     { "SEGV", SIGSEGV },
	{ "USR2", SIGUSR2 },     { "PIPE", SIGPIPE },     { "ALRM", SIGALRM },
	{ "TERM", SIGTERM },     { "STKFLT", SIGSTKFLT }, { "CHLD", SIGCHLD },
	{ "CLD", SIGCHLD },      { "CONT", SIGCONT },     { "STOP", SIGSTOP },
	{ "TSTP", SIGTSTP },     { "TTIN", SIGTTIN },     { "TTOU", SIGTTOU },
	{ "URG", SIGURG },       { "XCPU", SIGXCPU },     { "XFSZ", SIGXFSZ },
	{ "VTALRM", SIGVTALRM }, { "PROF", SIGPROF },     { "WINCH", SIGWINCH },
	{ "IO", SIGIO },         { "POLL", SIGPOLL },     { "PWR", SIGPWR },
	{ "SYS", SIGSYS },
};

/* The kernel's own range: the C library keeps two of them for itself, a container's may not. */
#define RT_MIN 34
#define RT_MAX 64

/* "RTMIN", "RTMIN+n", "RTMAX-n" */
static bool parse_realtime(struct str s, int *ret)
{
	bool from_max = str_eq_nocase((struct str){ s.p, MIN(s.n, (size_t)5) }, STR("RTMAX"));
	uint64_t n = 0;

	if (!from_max && !str_eq_nocase((struct str){ s.p, MIN(s.n, (size_t)5) }, STR("RTMIN")))
		return false;
	s = (struct str){ s.p + 5, s.n - 5 };
	if (s.n && (!scan_char(&s, from_max ? '-' : '+') || !scan_u64(&s, RT_MAX - RT_MIN, &n) ||
		    !scan_end(&s)))
		return false;
	*ret = from_max ? RT_MAX - (int)n : RT_MIN + (int)n;
	return true;
}

bool signal_parse(const char *text, int *ret)
{
	struct str s = str_of(text), digits = s;
	uint64_t n;

	if (scan_u64(&digits, RT_MAX, &n) && scan_end(&digits)) {
		*ret = (int)n;
		return true;
	}
	if (s.n > 3 && str_eq_nocase((struct str){ s.p, 3 }, STR("SIG")))
		s = (struct str){ s.p + 3, s.n - 3 };
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq_nocase(s, str_of(names[i].name))) {
			*ret = names[i].number;
			return true;
		}
	}
	return parse_realtime(s, ret);
}
