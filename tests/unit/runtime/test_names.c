/* Names: of signals, capabilities, containers, units of systemd, and options of commands. */
#include "tests/lib/unit.h"

#include <signal.h>

#include "runtime/oci/cgroup/systemd.h"
#include "runtime/oci/cli/opt.h"
#include "runtime/oci/cli/signals.h"
#include "runtime/oci/plan/caps.h"
#include "runtime/oci/spec/spec.h"
#include "runtime/oci/state/container.h"

static void test_signals(void **state)
{
	const struct {
		const char *text;
		int sig; /* -1: none */
	} rows[] = {
		{ "KILL", SIGKILL },
		{ "SIGKILL", SIGKILL },
		{ "sigkill", SIGKILL },
		{ "kill", SIGKILL },
		{ "9", 9 },
		{ "15", 15 },
		{ "64", 64 },
		{ "0", 0 },
		{ "65", -1 },
		{ "-9", -1 },
		{ "", -1 },
		{ "SIG", -1 },
		{ "SIGNOPE", -1 },
		{ "9x", -1 },
		{ "SIGSIGKILL", -1 },
		{ "WINCH", SIGWINCH },
		{ "RTMIN", SIGRTMIN },
		{ "SIGRTMIN+3", SIGRTMIN + 3 },
		{ "RTMAX", SIGRTMAX },
		{ "RTMAX-1", SIGRTMAX - 1 },
		{ "RTMIN+99", -1 },
		{ "99999999999999999999", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int sig = -1;
		bool ok = signal_parse(rows[i].text, &sig);

		if (ok != (rows[i].sig != -1) || (ok && sig != rows[i].sig))
			fail_msg("\"%s\": %d %d", rows[i].text, ok, sig);
	}
}

static void test_caps(void **state)
{
	unsigned cap;

	(void)state;
	for (unsigned i = 0; cap_name(i); i++) {
		assert_true(cap_parse(cap_name(i), &cap) && cap == i);
		assert_true(cap_parse(cap_name(i) + 4, &cap) && cap == i);
	}
	assert_true(cap_parse("cap_net_admin", &cap) && cap == 12);
	assert_true(cap_parse("CAP_CHECKPOINT_RESTORE", &cap) && cap == 40);
	assert_false(cap_parse("CAP_", &cap));
	assert_false(cap_parse("", &cap));
	assert_false(cap_parse("ALL", &cap));
	assert_false(cap_parse("CAP_CAP_CHOWN", &cap));
}

static void test_ids(void **state)
{
	static const char *const good[] = { "a", "0", "a.b", "..a", "_+-.", "A-z_9" };
	static const char *const bad[] = { "",         ".",   "..",       "a/b", "/",    "a b",
					   "~seccomp", "a\n", "\xc3\xa4", "a:b", "a\\b", "*" };
	char long_id[CONTAINER_ID_MAX + 2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(container_id_is_valid(good[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(container_id_is_valid(bad[i]));
	memset(long_id, 'a', sizeof(long_id));
	long_id[CONTAINER_ID_MAX + 1] = '\0';
	assert_false(container_id_is_valid(long_id));
	long_id[CONTAINER_ID_MAX] = '\0';
	assert_true(container_id_is_valid(long_id));
}

static void test_units(void **state)
{
	static const struct {
		const char *path;
		bool is_root;
		const char *unit, *slice; /* NULL: refused */
	} rows[] = {
		{ NULL, true, "berth-id.scope", "system.slice" },
		{ "", false, "berth-id.scope", "user.slice" },
		{ "a.slice:docker:12", true, "docker-12.scope", "a.slice" },
		{ ":docker:12", true, "docker-12.scope", "system.slice" },
		{ ":docker:12", false, "docker-12.scope", "user.slice" },
		{ "a.slice::12", true, "12.scope", "a.slice" },
		{ "a.slice:docker:", true, NULL, NULL },
		{ "a.slice:docker", true, NULL, NULL },
		{ "/a/b", true, NULL, NULL },
		{ "a:b:c:d", true, NULL, NULL },
		{ "a/../x.slice:b:c", true, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct systemd_name n;
		AUTO_ARENA a;
		struct err e;
		enum err_kind k;

		arena_init(&a, 1 << 20);
		k = systemd_name_of(rows[i].path, "id", rows[i].is_root, &a, &n, &e);
		assert_int_equal(k, rows[i].unit ? ERR_OK : ERR_INVALID);
		if (k != ERR_OK)
			continue;
		assert_string_equal(n.unit, rows[i].unit);
		assert_string_equal(n.slice, rows[i].slice);
	}
}

static void test_slices(void **state)
{
	static const struct {
		const char *slice, *path;
	} rows[] = {
		{ "system.slice", "/system.slice" },
		{ "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice" },
		{ "-.slice", "" },
		{ ".slice", NULL },
		{ "a", NULL },
		{ "a--b.slice", NULL },
		{ "-a.slice", NULL },
		{ "a-.slice", NULL },
		{ "a/b.slice", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_ARENA a;
		const char *path;

		arena_init(&a, 1 << 20);
		path = systemd_slice_path(rows[i].slice, &a);
		if (!rows[i].path)
			assert_null(path);
		else
			assert_string_equal(path, rows[i].path);
	}
}

static void check_properties(const char *json, bool is_unified, const char *want)
{
	struct spec_resources *r;
	struct jv *doc = NULL;
	char got[512] = "";
	struct texts t;
	AUTO_ARENA a;
	struct err e;

	arena_init(&a, 1 << 20);
	assert_int_equal(spec_parse_resources(str_of(json), &a, &doc, &r, &e), ERR_OK);
	assert_int_equal(systemd_properties(r, is_unified, &a, &t, &e), ERR_OK);
	for (size_t i = 0; i < t.n; i++)
		(void)snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i ? " " : "",
			       t.v[i]);
	assert_string_equal(got, want);
	jv_free(&doc);
}

static void test_properties(void **state)
{
	(void)state;
	check_properties("{}", true, "");
	check_properties("{\"cpu\":{\"shares\":1024,\"quota\":5000,\"period\":10000}}", false,
			 "t:CPUShares=1024 t:CPUQuotaPeriodUSec=10000 t:CPUQuotaPerSecUSec=500000");
	check_properties("{\"cpu\":{\"shares\":1024,\"quota\":3333,\"cpus\":\"0-1\"}}", true,
			 "t:CPUWeight=39 t:CPUQuotaPerSecUSec=40000 m:AllowedCPUs=0-1");
	check_properties("{\"memory\":{\"limit\":1000,\"swap\":3000,\"reservation\":5}}", true,
			 "t:MemoryMax=1000 t:MemoryLow=5 t:MemorySwapMax=2000");
	check_properties("{\"memory\":{\"limit\":1000},\"pids\":{\"limit\":-1}}", false,
			 "t:MemoryLimit=1000 t:TasksMax=18446744073709551615");
}

struct values {
	bool all, quiet;
	const char *name;
	struct texts env;
	struct opt_i64 count;
};

static const struct opt table[] = {
	{ "all", 'a', OPT_FLAG, offsetof(struct values, all), "" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct values, quiet), "" },
	{ "name", 'n', OPT_TEXT, offsetof(struct values, name), "" },
	{ "env", 'e', OPT_TEXTS, offsetof(struct values, env), "" },
	{ "count", 0, OPT_NUMBER, offsetof(struct values, count), "" },
	OPTS_END,
};

struct line {
	const char *argv[8];
	bool stops_early;
	const char *want; /* "name all quiet count env... | rest...", or "! error" */
};

static const struct line lines[] = {
	{ { "x" }, false, "- 0 0 - | x" },
	{ { "--all", "x" }, false, "- 1 0 - | x" },
	{ { "x", "-a", "y" }, false, "- 1 0 - | x y" },
	{ { "x", "-a", "y" }, true, "- 0 0 - | x -a y" },
	{ { "-aq", "x" }, true, "- 1 1 - | x" },
	{ { "--name", "n", "-name=m" }, false, "m 0 0 - |" },
	{ { "-n", "v", "-e", "A=b", "--env=C=d" }, false, "v 0 0 - A=b C=d |" },
	{ { "--name=" }, false, " 0 0 - |" },
	{ { "--count", "-5" }, false, "- 0 0 -5 |" },
	{ { "--all=false", "--quiet=true" }, false, "- 0 1 - |" },
	{ { "--", "--all" }, false, "- 0 0 - | --all" },
	{ { "-", "x" }, false, "- 0 0 - | - x" },
	{ { "--nope" }, false, "! flag provided but not defined: -nope" },
	{ { "-z" }, false, "! flag provided but not defined: -z" },
	{ { "--name" }, false, "! flag needs an argument: -name" },
	{ { "--count", "x" }, false, "! --count: a number is wanted" },
	{ { "--all=maybe" }, false, "! --all: true or false is wanted" },
};

static void print_line(const struct values *v, char **rest, size_t n, struct sbuf *b)
{
	sbuf_addf(b, "%s %d %d ", v->name ? v->name : "-", v->all, v->quiet);
	if (v->count.set)
		sbuf_addf(b, "%lld", (long long)v->count.v);
	else
		sbuf_addf(b, "-");
	for (size_t i = 0; i < v->env.n; i++)
		sbuf_addf(b, " %s", v->env.v[i]);
	sbuf_addf(b, " |");
	for (size_t i = 0; i < n; i++)
		sbuf_addf(b, " %s", rest[i]);
}

static void test_options(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct values v = { 0 };
		char *argv[8];
		int argc = 0;
		size_t n = 0;
		AUTO_ARENA a;
		AUTO_SBUF got;
		struct err e;

		arena_init(&a, 1 << 20);
		sbuf_init(&got, 4096);
		for (; argc < 8 && lines[i].argv[argc]; argc++)
			argv[argc] = arena_text(&a, str_of(lines[i].argv[argc]));
		if (opt_parse(table, argc, argv, lines[i].stops_early, &a, &v, &n, &e) == ERR_OK)
			print_line(&v, argv, n, &got);
		else
			sbuf_addf(&got, "! %s", e.msg);
		assert_string_equal(got.p, lines[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signals), cmocka_unit_test(test_caps),
		cmocka_unit_test(test_ids),     cmocka_unit_test(test_units),
		cmocka_unit_test(test_slices),  cmocka_unit_test(test_properties),
		cmocka_unit_test(test_options),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
