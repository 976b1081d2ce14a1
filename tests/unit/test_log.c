#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jv.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static int real_stderr = -1, sink = -1;

/* From here on the log goes to memory. */
static void capture(void)
{
	sink = memfd_create("log", MFD_CLOEXEC);
	MUST(sink >= 0 && fcntl(sink, F_SETFL, O_APPEND) == 0 && dup2(sink, STDERR_FILENO) >= 0);
}

/* What was written since; stderr is as before. */
static struct sbuf captured(void)
{
	struct sbuf b;
	ssize_t n;
	char buf[4096];

	sbuf_init(&b, SBUF_MAX);
	MUST(dup2(real_stderr, STDERR_FILENO) >= 0 && lseek(sink, 0, SEEK_SET) == 0);
	while ((n = read(sink, buf, sizeof(buf))) > 0)
		sbuf_add(&b, buf, (size_t)n);
	sbuf_add(&b, "", 0);
	(void)close(sink);
	MUST(n == 0 && !b.failed);
	return b;
}

/* The text of a line after "ts=... ". */
static const char *after_time(const char *line)
{
	assert_memory_equal(line, "ts=2", 4);
	assert_int_equal(strcspn(line, " "), 3 + sizeof("2026-01-01T00:00:00.000Z") - 1);
	return line + strcspn(line, " ") + 1;
}

static const struct {
	const char *name;
	struct str value;
	const char *text;
} values[] = {
	{ "plain", { "abc/d:e,f", 9 }, "abc/d:e,f" },
	{ "empty", { "", 0 }, "\"\"" },
	{ "blank", { "a b", 3 }, "\"a b\"" },
	{ "equals sign", { "a=b", 3 }, "\"a=b\"" },
	{ "quote", { "a\"b", 3 }, "\"a\\x22b\"" },
	{ "backslash", { "a\\b", 3 }, "\"a\\x5cb\"" },
	{ "newline", { "a\nev=fake", 9 }, "\"a\\x0aev=fake\"" },
	{ "carriage return", { "a\r", 2 }, "\"a\\x0d\"" },
	{ "NUL", { "a\0b", 3 }, "\"a\\x00b\"" },
	{ "escape sequence", { "\x1b[31m", 5 }, "\"\\x1b[31m\"" },
	{ "delete", { "\x7f", 1 }, "\"\\x7f\"" },
	{ "not ASCII", { "\xc3\xa4", 2 }, "\"\\xc3\\xa4\"" },
	{ "escapes side by side", { "\n\n", 2 }, "\"\\x0a\\x0a\"" },
};

static void test_value(void **state)
{
	__typeof__(&values[0]) c = *state;
	AUTO_SBUF out = { .p = NULL };
	struct log_line l;
	char want[256];

	capture();
	log_begin(&l, LOG_WARN, "some.event");
	log_str(&l, "key", c->value);
	log_num(&l, "n", 0);
	log_end(&l);
	out = captured();
	(void)snprintf(want, sizeof(want), "level=warn ev=some.event key=%s n=0\n", c->text);
	assert_string_equal(after_time(out.p), want);
}

static void test_numbers(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	struct log_line l;

	(void)state;
	capture();
	log_begin(&l, LOG_ERROR, "e");
	log_num(&l, "a", 7);
	log_num(&l, "b", UINT64_MAX);
	log_end(&l);
	out = captured();
	assert_string_equal(after_time(out.p), "level=error ev=e a=7 b=18446744073709551615\n");
}

static void test_event(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	char text[5000];

	(void)state;
	capture();
	log_event(LOG_INFO, "e", "%s of %d", "two words", 2);
	out = captured();
	assert_string_equal(after_time(out.p), "level=info ev=e msg=\"two words of 2\"\n");
	sbuf_clear(&out);
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	capture();
	log_event(LOG_INFO, "e", "%s", text);
	out = captured();
	assert_in_range(out.n, LOG_LINE_MAX - 8, LOG_LINE_MAX);
	assert_string_equal(out.p + out.n - 4, "a~\"\n"); /* the cut is marked */
}

/*
 * A line well-formed as logfmt: no raw control byte but the newline at its end, and each value either free of
 * quotes or in a pair of them.
 */
static void check_line(const char *p, size_t n)
{
	bool quoted = false;

	assert_in_range(n, 1, LOG_LINE_MAX);
	assert_int_equal(p[n - 1], '\n');
	for (size_t i = 0; i + 1 < n; i++) {
		unsigned char c = (unsigned char)p[i];

		assert_in_range(c, ' ', '~');
		if (c == '"') {
			assert_int_equal(p[i + (quoted ? 1 : (size_t)-1)],
					 quoted ? (i + 2 == n ? '\n' : ' ') : '=');
			quoted = !quoted;
		}
		if (c == '\\') {
			assert_true(quoted && i + 4 < n && p[i + 1] == 'x' &&
				    hex_value(p[i + 2]) >= 0 && hex_value(p[i + 3]) >= 0);
		}
	}
	assert_false(quoted);
}

static const struct {
	const char *name;
	char fill;
} fills[] = {
	{ "plain bytes", 'a' },
	{ "blanks", ' ' },
	{ "bytes to be escaped", '\n' },
};

/* Every length around the border: the line stays one line, well-formed, and tells when it was cut. */
static void test_border(void **state)
{
	__typeof__(&fills[0]) c = *state;
	size_t step = c->fill == '\n' ? 4 : 1;
	char text[LOG_LINE_MAX + 64];

	memset(text, c->fill, sizeof(text));
	for (size_t n = (LOG_LINE_MAX - 120) / step; n < (LOG_LINE_MAX + 20) / step; n++) {
		AUTO_SBUF out = { .p = NULL };
		struct log_line l;
		bool whole;

		capture();
		log_begin(&l, LOG_INFO, "e");
		log_str(&l, "key", (struct str){ text, n });
		log_num(&l, "after", 12345);
		log_str(&l, "last", STR("two words"));
		log_end(&l);
		out = captured();
		check_line(out.p, out.n);
		whole = strstr(out.p, " last=\"two words\"\n") != NULL;
		assert_int_equal(strchr(out.p, '~') != NULL, !whole);
	}
}

static void test_all_bytes(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	struct log_line l;
	char bytes[256];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (char)i;
	capture();
	log_begin(&l, LOG_INFO, "e");
	log_str(&l, "all", (struct str){ bytes, sizeof(bytes) });
	log_end(&l);
	out = captured();
	check_line(out.p, out.n);
}

static void test_levels(void **state)
{
	static const char *const names[] = { "error", "warn", "info", "debug" };
	enum log_level l = LOG_WARN;

	(void)state;
	for (unsigned max = 0; max < LOG_LEVEL_N; max++) {
		AUTO_SBUF out = { .p = NULL };

		log_set_level((enum log_level)max);
		capture();
		for (unsigned i = 0; i < LOG_LEVEL_N; i++) {
			struct log_line line;

			assert_int_equal(log_is_on((enum log_level)i), i <= max);
			log_event((enum log_level)i, "e", "x");
			log_begin(&line, (enum log_level)i, "l");
			log_end(&line);
			log_begin_always(&line, (enum log_level)i, "always");
			log_end(&line);
		}
		out = captured();
		for (unsigned i = 0; i < LOG_LEVEL_N; i++) {
			char want[32];

			(void)snprintf(want, sizeof(want), "level=%s ev=e", names[i]);
			assert_int_equal(strstr(out.p, want) != NULL, i <= max);
			(void)snprintf(want, sizeof(want), "level=%s ev=l", names[i]);
			assert_int_equal(strstr(out.p, want) != NULL, i <= max);
			(void)snprintf(want, sizeof(want), "level=%s ev=always", names[i]);
			assert_non_null(strstr(out.p, want));
		}
		assert_true(log_level_parse(&l, str_of(names[max])));
		assert_int_equal(l, max);
	}
	log_set_level(LOG_INFO);
	l = LOG_WARN;
	assert_false(log_level_parse(&l, STR("INFO")));
	assert_false(log_level_parse(&l, STR("")));
	assert_int_equal(l, LOG_WARN);
}

/* A module may say more or less than the rest; its name ends at a dot, and nothing shorter is one. */
static void test_modules(void **state)
{
	static const char *const events[] = { "gc", "gc.cycle", "gcx", "g", "tls.read", "other" };
	static const bool said[] = { true, true, false, false, false, false };
	AUTO_SBUF out = { .p = NULL };

	(void)state;
	log_set_level(LOG_WARN);
	log_set_module(LOG_GC, LOG_DEBUG);
	log_set_module(LOG_TLS, LOG_ERROR);
	assert_true(log_is_on(LOG_DEBUG));
	capture();
	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		log_event(LOG_DEBUG, events[i], "x");
	log_event(LOG_WARN, "tls.read", "not this");
	log_event(LOG_WARN, "other", "but this");
	log_event(LOG_ERROR, "tls.read", "and that");
	out = captured();
	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		char want[64];

		(void)snprintf(want, sizeof(want), "level=debug ev=%s msg", events[i]);
		assert_int_equal(strstr(out.p, want) != NULL, said[i]);
	}
	assert_null(strstr(out.p, "not this"));
	assert_non_null(strstr(out.p, "but this"));
	assert_non_null(strstr(out.p, "and that"));
	log_set_module(LOG_GC, LOG_LEVEL_N);
	log_set_module(LOG_TLS, LOG_LEVEL_N);
	log_set_level(LOG_INFO);
	assert_false(log_is_on(LOG_DEBUG));
}

static const struct {
	const char *name;
	struct str value;
	const char *text;
} json_values[] = {
	{ "plain", { "a b=c", 5 }, "\"a b=c\"" },
	{ "empty", { "", 0 }, "\"\"" },
	{ "quote and backslash", { "\"\\", 2 }, "\"\\u0022\\u005c\"" },
	{ "newline and NUL", { "\n\0", 2 }, "\"\\u000a\\u0000\"" },
	{ "escape and delete", { "\x1b\x7f", 2 }, "\"\\u001b\\u007f\"" },
	{ "UTF-8", { "\xc3\xa4", 2 }, "\"\\u00e4\"" },
	{ "right to left", { "\xe2\x80\xae", 3 }, "\"\\u202e\"" },
	{ "beyond 16 bits", { "\xf0\x9f\x90\xb3", 4 }, "\"\\ud83d\\udc33\"" },
	{ "no UTF-8", { "\xff\xc3", 2 }, "\"\\ufffd\\ufffd\"" },
};

static void test_json(void **state)
{
	__typeof__(&json_values[0]) v = *state;
	AUTO_SBUF out = { .p = NULL };
	AUTO_JV *parsed = NULL;
	struct log_line l;
	char want[128];
	struct err e;

	capture();
	log_set_format(LOG_JSON);
	log_begin(&l, LOG_WARN, "x.y");
	log_str(&l, "k", v->value);
	log_num(&l, "n", 7);
	log_set_format(LOG_LOGFMT); /* the line stays what it began as */
	log_end(&l);
	out = captured();
	(void)snprintf(want, sizeof(want),
		       "\",\"level\":\"warn\",\"ev\":\"x.y\",\"k\":%s,\"n\":7}\n", v->text);
	assert_non_null(strstr(out.p, want));
	assert_memory_equal(out.p, "{\"ts\":\"2", 8);
	if (!memchr(v->value.p, 0, v->value.n)) /* our own parser wants no NUL */
		assert_ok(jv_parse_object((struct str){ out.p, out.n - 1 }, 4, &parsed, &e), &e);
}

/* Whatever the length: one line, whole JSON, and marked if it is cut. */
static void test_json_border(void **state)
{
	static const char *const bytes[] = { "x", "\n", "\xf0\x9f\x90\xb3" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bytes) * 400; i++) {
		size_t n = LOG_LINE_MAX - 300 + i % 400, step = strlen(bytes[i / 400]);
		AUTO_SBUF out = { .p = NULL }, value = { .max = SBUF_MAX };
		AUTO_JV *parsed = NULL;
		struct log_line l;
		struct str got;
		struct err e;

		for (size_t k = 0; k < n; k += step)
			sbuf_add(&value, bytes[i / 400], step);
		capture();
		log_set_format(LOG_JSON);
		log_begin(&l, LOG_INFO, "e");
		log_str(&l, "k", (struct str){ value.p, value.n });
		log_str(&l, "after", STR("y"));
		log_num(&l, "n", UINT64_MAX);
		log_end(&l);
		log_set_format(LOG_LOGFMT);
		out = captured();
		assert_true(out.n <= LOG_LINE_MAX);
		assert_ptr_equal(memchr(out.p, '\n', out.n), out.p + out.n - 1);
		assert_ok(jv_parse_object_u64((struct str){ out.p, out.n - 1 }, 4, &parsed, &e),
			  &e);
		assert_true(jv_text(jv_member(parsed, "k"), &got));
		assert_int_equal(jv_is_true(jv_member(parsed, "cut")),
				 got.n < value.n || !jv_member(parsed, "n"));
	}
}

/* The journal wants a priority before each line, if stderr is its stream and nothing else. */
static void test_journal(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	struct stat s;
	char text[64];

	(void)state;
	capture();
	MUST(fstat(STDERR_FILENO, &s) == 0);
	(void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)s.st_dev,
		       (unsigned long long)s.st_ino + 1);
	MUST(setenv("JOURNAL_STREAM", text, 1) == 0);
	log_find_journal();
	log_event(LOG_ERROR, "e", "another");
	(void)snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)s.st_dev,
		       (unsigned long long)s.st_ino);
	MUST(setenv("JOURNAL_STREAM", text, 1) == 0);
	log_find_journal();
	log_event(LOG_ERROR, "e", "bad");
	log_event(LOG_WARN, "e", "x");
	log_event(LOG_INFO, "e", "x\n<0>forged");
	MUST(unsetenv("JOURNAL_STREAM") == 0);
	log_find_journal();
	log_event(LOG_INFO, "e", "after");
	out = captured();
	assert_memory_equal(out.p, "ts=", 3);
	assert_non_null(strstr(out.p, "msg=another\n<3>ts="));
	assert_non_null(strstr(out.p, "msg=bad\n<4>ts="));
	assert_non_null(strstr(out.p, "msg=x\n<6>ts="));
	assert_non_null(strstr(out.p, "msg=\"x\\x0a<0>forged\"\nts="));
}

/* G2: a log that cannot be written loses lines, and counts them. */
static void test_unwritable(void **state)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	uint64_t before = log_lost();

	(void)state;
	MUST(full >= 0 && dup2(full, STDERR_FILENO) >= 0);
	log_event(LOG_INFO, "e", "one");
	log_event(LOG_INFO, "e", "two");
	MUST(dup2(real_stderr, STDERR_FILENO) >= 0 && close(full) == 0);
	assert_int_equal(log_lost() - before, 2);
}

#define THREADS 4
#define LINES_EACH 2000

static _Atomic bool stop_talking;

static void *talk(void *arg)
{
	uint64_t *said = arg;

	while (*said < LINES_EACH && !stop_talking) {
		struct log_line l;

		log_begin(&l, LOG_INFO, "talk");
		log_num(&l, "i", (*said)++);
		log_str(&l, "text", STR("a value\nof two lines"));
		log_end(&l);
	}
	return NULL;
}

static uint64_t count_lines(const struct sbuf *b)
{
	uint64_t n = 0;

	for (const char *at = b->p, *end; (end = strchr(at, '\n')); at = end + 1, n++)
		check_line(at, (size_t)(end - at) + 1);
	return n;
}

static void test_threads(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	uint64_t said[THREADS] = { 0 }, before = log_lost();
	pthread_t t[THREADS];

	(void)state;
	capture();
	MUST(log_start());
	for (unsigned i = 0; i < THREADS; i++)
		MUST(pthread_create(&t[i], NULL, talk, &said[i]) == 0);
	for (unsigned i = 0; i < THREADS; i++)
		MUST(pthread_join(t[i], NULL) == 0);
	log_stop();
	log_stop(); /* is let be */
	out = captured();
	assert_int_equal(count_lines(&out) + (log_lost() - before), THREADS * LINES_EACH);
}

/* Threads that log while the writer ends: what they say is written, or counted as lost. */
static void test_stop_while_busy(void **state)
{
	AUTO_SBUF out = { .p = NULL };
	uint64_t said[THREADS] = { 0 }, total = 0, before = log_lost();
	pthread_t t[THREADS];

	(void)state;
	stop_talking = false;
	capture();
	MUST(log_start());
	for (unsigned i = 0; i < THREADS; i++)
		MUST(pthread_create(&t[i], NULL, talk, &said[i]) == 0);
	log_event(LOG_INFO, "e", "x");
	log_stop();
	log_event(LOG_INFO, "e", "x");
	stop_talking = true;
	for (unsigned i = 0; i < THREADS; i++) {
		MUST(pthread_join(t[i], NULL) == 0);
		total += said[i];
	}
	out = captured();
	assert_int_equal(count_lines(&out) + (log_lost() - before), total + 2);
}

/* A reader that does not read: the queue fills, lines are dropped, nobody waits. */
static void test_queue_full(void **state)
{
	uint64_t before = log_lost(), said = 3000, got = 0;
	char text[1000], buf[8192];
	int fds[2];
	ssize_t n;

	(void)state;
	memset(text, 'a', sizeof(text));
	MUST(pipe2(fds, O_CLOEXEC) == 0 && dup2(fds[1], STDERR_FILENO) >= 0);
	MUST(log_start());
	for (uint64_t i = 0; i < said; i++) {
		struct log_line l;

		log_begin(&l, LOG_INFO, "e");
		log_str(&l, "text", (struct str){ text, sizeof(text) });
		log_end(&l);
	}
	assert_in_range(log_lost() - before, 1000, said);
	/* the writer sits in a full pipe until somebody reads */
	MUST(fcntl(fds[0], F_SETFL, 0) == 0);
	while (got < said - (log_lost() - before)) {
		n = read(fds[0], buf, sizeof(buf));
		MUST(n > 0);
		for (ssize_t i = 0; i < n; i++)
			got += buf[i] == '\n';
	}
	log_stop();
	MUST(dup2(real_stderr, STDERR_FILENO) >= 0 && close(fds[1]) == 0);
	assert_int_equal(read(fds[0], buf, 1), 0);
	assert_int_equal(got + (log_lost() - before), said);
	(void)close(fds[0]);
}

int main(void)
{
	real_stderr = dup(STDERR_FILENO);
	UNIT_TABLE("value", test_value, values);
	unit_case("numbers", test_numbers);
	unit_case("log_event", test_event);
	UNIT_TABLE("every length at the border", test_border, fills);
	unit_case("every byte", test_all_bytes);
	unit_case("levels", test_levels);
	unit_case("levels of modules", test_modules);
	UNIT_TABLE("JSON value", test_json, json_values);
	unit_case("JSON of every length at the border", test_json_border);
	unit_case("the journal", test_journal);
	unit_case("stderr that is full", test_unwritable);
	unit_case("lines of many threads", test_threads);
	unit_case("a queue that is full", test_queue_full);
	unit_case("lines while the writer ends", test_stop_while_busy);
	return unit_run();
}
