#include "server/manager.h"

#include <errno.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static void set(const char *name, const char *value)
{
	if (value)
		MUST(setenv(name, value, 1) == 0);
	else
		MUST(unsetenv(name) == 0);
}

static const struct {
	const char *name, *address;
	bool found;
} addresses[] = {
	{ "none", NULL, false },
	{ "empty", "", false },
	{ "a path", "/run/systemd/notify", true },
	{ "without a path", "@berth", true },
	{ "relative", "run/notify", false },
	{ "nothing but the mark", "@", false },
	{ "another family", "vsock:2:1234", false },
	{ "too long",
	  "/0123456789012345678901234567890123456789012345678901234567890123456789012345678901"
	  "23456789012345678901234567890",
	  false },
};

static void test_addresses(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
		struct manager m;

		set("NOTIFY_SOCKET", addresses[i].address);
		manager_find(&m);
		if ((m.fd >= 0) != addresses[i].found)
			fail_msg("%s: descriptor %d", addresses[i].name, m.fd);
		manager_clear(&m);
		assert_int_equal(m.fd, -1);
	}
}

static const struct {
	const char *name, *us;
	const char *pid; /* "self": ours */
	uint64_t every_ms;
} watchdogs[] = {
	{ "a minute", "60000000", NULL, 15001 },
	{ "for us", "60000000", "self", 15001 },
	{ "for another", "60000000", "1", 0 },
	{ "none", NULL, NULL, 0 },
	{ "nought", "0", NULL, 0 },
	{ "no number", "1s", NULL, 0 },
	{ "pid is no number", "1000", "self ", 0 },
	{ "the shortest", "1", NULL, 1 },
};

static void test_watchdogs(void **state)
{
	char self[32];

	(void)state;
	(void)snprintf(self, sizeof(self), "%d", getpid());
	set("NOTIFY_SOCKET", "@berth");
	for (size_t i = 0; i < ARRAY_LEN(watchdogs); i++) {
		const char *pid = watchdogs[i].pid;
		struct manager m;

		set("WATCHDOG_USEC", watchdogs[i].us);
		set("WATCHDOG_PID", pid && strcmp(pid, "self") == 0 ? self : pid);
		manager_find(&m);
		if (m.look_every_ms != watchdogs[i].every_ms)
			fail_msg("%s: every %llu ms", watchdogs[i].name,
				 (unsigned long long)m.look_every_ms);
		manager_clear(&m);
	}
	set("WATCHDOG_USEC", NULL);
	set("WATCHDOG_PID", NULL);
}

static const struct {
	const char *name, *n, *names;
	const char *pid; /* NULL: ours */
	int fd, watch_fd;
	const char *wrong; /* in the message */
} passed[] = {
	{ "nothing", NULL, NULL, NULL, -1, -1, NULL },
	{ "none", "0", "", NULL, -1, -1, NULL },
	{ "one", "1", NULL, NULL, 3, -1, NULL },
	{ "one with its unit's name", "1", "berthd.socket", NULL, 3, -1, NULL },
	{ "metrics alone", "1", "metrics", NULL, -1, 3, NULL },
	{ "both", "2", "berthd.socket:metrics", NULL, 3, 4, NULL },
	{ "the other way round", "2", "metrics:http", NULL, 4, 3, NULL },
	{ "two to serve on", "2", "a:b", NULL, 0, 0, "to serve on" },
	{ "two for metrics", "2", "metrics:metrics", NULL, 0, 0, "for metrics" },
	{ "for another process", "1", "a", "1", -1, -1, NULL },
	{ "no number", "one", "a", NULL, -1, -1, NULL },
};

static void test_passed(void **state)
{
	char self[32];

	(void)state;
	(void)snprintf(self, sizeof(self), "%d", getpid());
	for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
		int fd, watch_fd;
		struct err e = { 0 };
		enum err_kind k;

		set("LISTEN_PID", passed[i].pid ? passed[i].pid : self);
		set("LISTEN_FDS", passed[i].n);
		set("LISTEN_FDNAMES", passed[i].names);
		k = manager_take_sockets(&fd, &watch_fd, &e);
		if (passed[i].wrong) {
			if (k != ERR_INVALID || !strstr(e.msg, passed[i].wrong))
				fail_msg("%s: %s", passed[i].name, e.msg);
		} else if (k != ERR_OK || fd != passed[i].fd || watch_fd != passed[i].watch_fd) {
			fail_msg("%s: %d and %d", passed[i].name, fd, watch_fd);
		}
	}
}

/* What a text from elsewhere says cannot become an assignment of its own. */
static void test_one_line(void **state)
{
	const struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "\0berth-test-manager" };
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct manager m;
	char got[1024];
	ssize_t n;

	(void)state;
	MUST(bind(fd, (const struct sockaddr *)&a,
		  (socklen_t)(sizeof(a.sun_family) + sizeof("@berth-test-manager") - 1)) == 0);
	set("NOTIFY_SOCKET", "@berth-test-manager");
	manager_find(&m);
	manager_stopping(&m, "no\nMAINPID=1\n");
	n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > 0);
	got[n] = '\0';
	assert_string_equal(got, "STOPPING=1\nSTATUS=no MAINPID=1 \n");
	manager_clear(&m);
	manager_alive(&m); /* nobody is there any more */
	assert_true(recv(fd, got, sizeof(got), MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_watchdogs),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
