#include "server/conf_table.h"

#include "tests/lib/conf_fixture.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

/* clang-format off */
/* Every option, with three values that are not its preset, written as conf_dump writes them. */
static const struct option_case {
	const char *name;
	const char *values[3];
	const char *least, *below, *most, *above; /* NULL: there is no such bound */
	const char *bad, *message;                /* NULL: any text is good */
	bool reloads;
} cases[] = {
	{ "root", { "\"/a\"", "\"b c\"", "\"./d\"" }, NULL, NULL, NULL, NULL, "", "root is empty or too long", false },
	{ "listen", { "\"[::1]:0\"", "\"127.0.0.1:1\"", "\"localhost:2\"" }, NULL, NULL, NULL, NULL, "", "listen is empty or too long", false },
	{ "metrics.listen", { "\"[::1]:0\"", "\"127.0.0.1:1\"", "\"localhost:2\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "health.free_min", { "0", "1M", "2G" }, "0", NULL, "1T", "1025G", "much", "a size (K M G T) from 0 to 1T", true },
	{ "threads", { "1", "3", "64" }, "1", "0", "64", "65", "2K", "a number from 1 to 64", false },
	{ "workers", { "1", "2", "512" }, "1", "0", "512", "513", "-1", "a number from 1 to 512", false },
	{ "http.connections", { "2", "3", "4" }, "2", "1", "1000000", "1000001", "many", "a number from 2 to 1000000", false },
	{ "http.connections_per_address", { "1", "2", "3" }, "1", "0", "1000000", "1000001", "", "a number from 1 to 1000000", false },
	{ "http.idle_timeout", { "1s", "1500ms", "1d" }, "1s", "999ms", "1d", "25h", "30", "a duration (ms s m h d) from 1s to 1d", false },
	{ "http.head_timeout", { "1s", "2m", "3h" }, "1s", "999ms", "1d", "86401s", "5 s", "a duration (ms s m h d) from 1s to 1d", true },
	{ "http.min_rate", { "0", "1", "2M" }, "0", NULL, "1G", "1025M", "1k", "a size (K M G T) from 0 to 1G", true },
	{ "http.min_rate_grace", { "1s", "2s", "1m" }, "1s", "0", "1d", "2d", "1S", "a duration (ms s m h d) from 1s to 1d", true },
	{ "http.target_max", { "1K", "1025", "64K" }, "1K", "1023", "64K", "65537", "8KB", "a size (K M G T) from 1K to 64K", true },
	{ "http.head_max", { "16K", "17K", "512K" }, "16K", "16383", "512K", "1M", "0x10000", "a size (K M G T) from 16K to 512K", false },
	{ "http.drain", { "0ms", "1ms", "1d" }, "0", NULL, "1d", "2d", "now", "a duration (ms s m h d) from 0ms", true },
	{ "http.insecure", { "true", "true", "true" }, NULL, NULL, NULL, NULL, "1", "must be true or false", false },
	{ "http.external_url", { "\"https://a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, true },
	{ "http.trusted_proxies", { "\"10.0.0.1\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, true },
	{ "tls.certificates", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "/cert.pem", "one list is wanted here", true },
	{ "tls.client_ca", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "tls.client_crl", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "tls.client_name", { "uri", "dns", "cn" }, NULL, NULL, NULL, NULL, "subject", "must be one of san uri email dns cn", false },
	{ "auth.htpasswd", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.groups", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "dev", "one list is wanted here", true },
	{ "auth.workers", { "1", "2", "64" }, "1", "0", "64", "65", "x", "a number from 1 to 64", false },
	{ "auth.password_cache", { "0ms", "1s", "1d" }, "0", NULL, "1d", "25h", "5", "a duration (ms s m h d) from 0ms to 1d", true },
	{ "auth.throttle.failures", { "1", "2", "1000" }, "1", "0", "1000", "1001", "", "a number from 1 to 1000", true },
	{ "auth.throttle.wait", { "1ms", "2s", "1h" }, "1ms", "0", "1h", "61m", "1", "a duration (ms s m h d) from 1ms to 1h", true },
	{ "auth.throttle.wait_max", { "1ms", "2s", "1d" }, "1ms", "0", "1d", "25h", "1", "a duration (ms s m h d) from 1ms to 1d", true },
	{ "auth.throttle.window", { "1s", "2s", "1d" }, "1s", "0", "1d", "25h", "1", "a duration (ms s m h d) from 1s to 1d", true },
	{ "auth.directory", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.tokens.enabled", { "false", "false", "false" }, NULL, NULL, NULL, NULL, "1", "must be true or false", false },
	{ "auth.tokens.service", { "\"a\"", "\"b\"", "\"c\"" }, NULL, NULL, NULL, NULL, "", "auth.tokens.service is empty or too long", false },
	{ "auth.tokens.lifetime", { "1m", "2m", "1d" }, "1m", "59s", "1d", "25h", "5", "a duration (ms s m h d) from 1m to 1d", true },
	{ "auth.tokens.refresh", { "1m", "2m", "365d" }, "1m", "59s", "365d", "366d", "5", "a duration (ms s m h d) from 1m to 365d", true },
	{ "auth.tokens.replace_keys", { "1m", "2m", "3650d" }, "1m", "59s", "3650d", "3651d", "5", "a duration (ms s m h d) from 1m to 3650d", true },
	{ "auth.tokens.realm", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, true },
	{ "auth.issuers", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", false },
	{ "auth.oidc", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", false },
	{ "auth.ldap.url", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.ca", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.bind_dn", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.bind_password", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.users", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.user_filter", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.groups", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.group_filter", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "auth.ldap.user_name", { "\"a\"", "\"b\"", "\"c\"" }, NULL, NULL, NULL, NULL, "", "auth.ldap.user_name is empty or too long", false },
	{ "auth.ldap.group_name", { "\"a\"", "\"b\"", "\"c\"" }, NULL, NULL, NULL, NULL, "", "auth.ldap.group_name is empty or too long", false },
	{ "auth.ldap.start_tls", { "true", "true", "true" }, NULL, NULL, NULL, NULL, "1", "must be true or false", false },
	{ "auth.ldap.timeout", { "100ms", "2s", "1m" }, "100ms", "99ms", "1m", "61s", "5", "a duration (ms s m h d) from 100ms to 1m", false },
	{ "limits.address.requests", { "1", "100", "1000000" }, "0", NULL, "1000000", "1000001", "many", "a number from 0 to 1000000", true },
	{ "limits.identity.requests", { "1", "100", "1000000" }, "0", NULL, "1000000", "1000001", "many", "a number from 0 to 1000000", true },
	{ "limits.identity.uploads", { "1", "100", "1000000" }, "0", NULL, "1000000", "1000001", "many", "a number from 0 to 1000000", true },
	{ "limits.address.bytes", { "1", "1M", "2G" }, "0", NULL, "1T", "1025G", "much", "a size (K M G T) from 0 to 1T", true },
	{ "limits.identity.bytes", { "1", "1M", "2G" }, "0", NULL, "1T", "1025G", "much", "a size (K M G T) from 0 to 1T", true },
	{ "limits.burst", { "1s", "2m", "1h" }, "1s", "999ms", "1h", "61m", "5", "a duration (ms s m h d) from 1s to 1h", true },
	{ "events.endpoints", { "[\"a\"]", "[{\"b\": \"c\"}]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", true },
	{ "events.timeout", { "1s", "2m", "100ms" }, "100ms", "99ms", "10m", "11m", "5", "a duration (ms s m h d) from 100ms to 10m", true },
	{ "events.retry", { "2s", "10ms", "1h" }, "10ms", "9ms", "1h", "61m", "5", "a duration (ms s m h d) from 10ms to 1h", true },
	{ "events.retry_max", { "2s", "10ms", "1d" }, "10ms", "9ms", "1d", "25h", "5", "a duration (ms s m h d) from 10ms to 1d", true },
	{ "events.keep", { "2s", "7d", "1h" }, "1s", "999ms", "3650d", "3651d", "ever", "never or a duration (ms s m h d) from 1s to 3650d", true },
	{ "process.user", { "\"/a\"", "\"b c\"", "\"\"" }, NULL, NULL, NULL, NULL, NULL, NULL, false },
	{ "process.confine", { "false", "false", "false" }, NULL, NULL, NULL, NULL, "1", "must be true or false", false },
	{ "process.writable", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", false },
	{ "access", { "[{\"a\": \"b\"}]", "[\"c\"]", "[]" }, NULL, NULL, NULL, NULL, "[", "access: ", true },
	{ "manifest.size_max", { "1K", "2K", "64M" }, "1K", "1023", "64M", "65M", "4 M", "a size (K M G T) from 1K to 64M", true },
	{ "manifest.json_depth_max", { "8", "9", "2048" }, "8", "7", "2048", "2049", "2K", "a number from 8 to 2048", true },
	{ "manifest.sparse", { "none", "all", "none" }, NULL, NULL, NULL, NULL, "some", "must be one of none index all", true },
	{ "uploads.idle", { "1s", "2d", "365d" }, "1s", "999ms", "365d", "366d", "1w", "a duration (ms s m h d) from 1s to 365d", true },
	{ "uploads.sessions_max", { "1", "2", "3" }, "1", "0", "1000000", "1000001", "1e3", "a number from 1 to 1000000", true },
	{ "list.page_max", { "1", "2", "3" }, "1", "0", "1000000", "1000001", "+5", "a number from 1 to 1000000", true },
	{ "referrers.page_bytes_max", { "64K", "65K", "64M" }, "64K", "65535", "64M", "65M", "4m", "a size (K M G T) from 64K to 64M", true },
	{ "index.map_size", { "1M", "2M", "1T" }, "1M", "1023K", "1T", "1025G", "18446744073709551616", "a size (K M G T) from 1M to 1T", false },
	{ "gc.enabled", { "false", "true", "false" }, NULL, NULL, NULL, NULL, "2", "true or false", false },
	{ "gc.interval", { "1s", "5m", "1d" }, "1s", "999ms", "365d", "366d", "0", "a duration (ms s m h d) from 1s to 365d", true },
	{ "gc.max_share", { "1", "50", "100" }, "1", "0", "100", "101", "30 %", "a number from 1 to 100", true },
	{ "gc.untagged_keep", { "never", "0ms", "7d" }, "0", NULL, "3650d", "3651d", "always", "never or a duration (ms s m h d) from 0ms to 3650d", true },
	{ "trash.keep", { "0ms", "5m", "1d" }, "0", NULL, "365d", "366d", "never", "a duration (ms s m h d) from 0ms to 365d", true },
	{ "scrub.rate", { "0", "1", "2M" }, "0", NULL, "1T", "1025G", "1k", "a size (K M G T) from 0 to 1T", true },
	{ "scrub.interval", { "0ms", "5m", "1d" }, "0", NULL, "3650d", "3651d", "", "a duration (ms s m h d) from 0ms to 3650d", true },
	{ "gc.lease", { "0ms", "1ms", "36h" }, "0", NULL, "365d", "366d", "99999999999999999999d", "a duration (ms s m h d) from 0ms to 365d", true },
	{ "log.level", { "error", "warn", "debug" }, NULL, NULL, NULL, NULL, "INFO", "must be one of error warn info debug", true },
	{ "retention", { "[\"a\"]", "[{\"b\": \"c\"}]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", true },
	{ "quotas", { "[\"a\"]", "[{\"b\": \"c\"}]", "[]" }, NULL, NULL, NULL, NULL, "{}", "one list is wanted here", true },
	{ "log.format", { "json", "logfmt", "json" }, NULL, NULL, NULL, NULL, "xml", "must be one of logfmt json", true },
	{ "log.levels.access", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.auth", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.config", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.events", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.gc", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.http", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.request", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.scrub", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.store", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.tls", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.levels.uploads", { "error", "debug", "warn" }, NULL, NULL, NULL, NULL, "all", "must be one of default error warn info debug", true },
	{ "log.access", { "false", "false", "false" }, NULL, NULL, NULL, NULL, "TRUE", "must be true or false", true },
};
/* clang-format on */

/* A value without the quotes that conf_dump puts around text. */
static const char *bare(const char *value, char buf[static 128])
{
	size_t n = strlen(value);

	if (value[0] != '"')
		return value;
	MUST(str_copy((struct str){ value + 1, n - 2 }, buf, 128));
	return buf;
}

/* The value of an option as conf_dump shows it: below its groups, each indented by two more. */
static void assert_value(const struct conf *c, const char *key, const char *want)
{
	AUTO_SBUF b;
	struct str rest, line, name, value;
	char at[128] = "";
	bool found = false;

	sbuf_init(&b, SBUF_MAX);
	conf_dump(c, &b);
	rest = (struct str){ b.p, b.n };
	while (str_cut(rest, '\n', &line, &rest)) {
		struct str text = str_trim(line);
		size_t depth = (line.n - text.n) / 2, n = 0;

		if (text.n == 0 || text.p[0] == '#' || !str_cut(text, ':', &name, &value))
			continue;
		for (; depth && at[n]; n++)
			depth -= at[n] == '.';
		(void)snprintf(at + n, sizeof(at) - n, "%.*s.", STR_FMT(name));
		if (value.n == 0 || strlen(key) + 1 != strlen(at) ||
		    strncmp(at, key, strlen(key)) != 0)
			continue;
		found = true;
		if (!str_eq(str_trim(value), str_of(want)))
			fail_msg("%s is %.*s, not %s", key, STR_FMT(value), want);
	}
	assert_true(found);
}

static void env_name(const char *key, char buf[static 64])
{
	size_t n = (size_t)snprintf(buf, 64, "BERTHD_%s", key);

	for (size_t i = 0; i < n; i++) {
		if (buf[i] == '.')
			buf[i] = '_';
		else if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	}
}

/* A file that sets one option; returns its path. */
static const char *file_with(const char *key, const char *value, char path[static 128])
{
	const char *dir = unit_dir();
	char text[512];
	int n = 0, indent = 0;

	for (const char *dot; (dot = strchr(key, '.')) != NULL; key = dot + 1, indent += 2)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%*s%.*s:\n", indent, "",
			      (int)(dot - key), key);
	(void)snprintf(text + n, sizeof(text) - (size_t)n, "%*s%s: %s\n", indent, "", key, value);
	file_write(dir, "conf", str_of(text));
	(void)snprintf(path, 128, "%s/conf", dir);
	return path;
}

/* O1: one name in three places, the strongest last. */
static void test_sources(void **state)
{
	const struct option_case *o = *state;
	char path[128], env[64], flag[256], buf[128];
	struct conf c;
	struct err e;

	file_with(o->name, o->values[0], path);
	assert_ok(LOAD(&c, &e, "--config", path), &e);
	assert_value(&c, o->name, o->values[0]);
	conf_clear(&c);

	env_name(o->name, env);
	MUST(setenv(env, bare(o->values[1], buf), 1) == 0);
	assert_ok(LOAD(&c, &e, "--config", path), &e);
	assert_value(&c, o->name, o->values[1]);
	conf_clear(&c);

	(void)snprintf(flag, sizeof(flag), "--%s=%s", o->name, bare(o->values[2], buf));
	assert_ok(LOAD(&c, &e, flag, "--config", path), &e); /* in any order */
	assert_value(&c, o->name, o->values[2]);
	conf_clear(&c);
	MUST(unsetenv(env) == 0);
}

static void assert_refused(const char *key, const char *value, const char *message)
{
	char flag[256], env[64], path[128], quoted[128];
	unsigned line = 1;
	struct conf c;
	struct err e;

	(void)snprintf(flag, sizeof(flag), "--%s=%s", key, value);
	assert_err(LOAD(&c, &e, flag), ERR_INVALID, &e, message);
	assert_memory_equal(e.msg, "command line: ", 14);
	env_name(key, env);
	MUST(setenv(env, value, 1) == 0);
	assert_err(LOAD(&c, &e), ERR_INVALID, &e, message);
	assert_memory_equal(e.msg, env, strlen(env));
	MUST(unsetenv(env) == 0);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", value);
	file_with(key, quoted, path);
	assert_err(LOAD(&c, &e, "--config", path), ERR_INVALID, &e, message);
	for (const char *at = key; *at; at++)
		line += *at == '.';
	(void)snprintf(flag, sizeof(flag), "/conf:%u: ", line);
	assert_non_null(strstr(e.msg, flag));
}

/* O2: what is refused, and that the message says where, what and what is allowed. */
static void test_bad(void **state)
{
	const struct option_case *o = *state;

	if (o->bad) {
		assert_refused(o->name, o->bad, o->message);
		assert_refused(o->name, o->bad, o->name);
	}
	if (o->below)
		assert_refused(o->name, o->below, o->message);
	if (o->above)
		assert_refused(o->name, o->above, o->message);
}

static void test_bounds(void **state)
{
	const struct option_case *o = *state;
	const char *const texts[] = { o->least, o->most };

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char flag[256];
		struct conf c;
		struct err e;

		if (!texts[i])
			continue;
		(void)snprintf(flag, sizeof(flag), "--%s=%s", o->name, texts[i]);
		assert_ok(LOAD(&c, &e, flag), &e);
		conf_clear(&c);
	}
}

/* The table says of each whether SIGHUP is enough for another value, and the example tells it. */
static void test_reloads(void **state)
{
	const struct option_case *o = *state;
	const struct option *row = option_find(str_of(o->name));

	assert_non_null(row);
	assert_int_equal(row->reloads, o->reloads);
}

/* Every option of the table is tested here. */
static void test_all_known(void **state)
{
	struct conf c;
	AUTO_SBUF b;
	struct err e;
	size_t n = 0;

	(void)state;
	assert_ok(LOAD(&c, &e), &e);
	sbuf_init(&b, SBUF_MAX);
	conf_dump(&c, &b);
	conf_clear(&c);
	for (const char *at = b.p; (at = strchr(at, '#')); at++)
		n++; /* one line of meaning for each */
	assert_int_equal(n, ARRAY_LEN(cases));
}

int main(void)
{
	UNIT_TABLE("file, environment, command line", test_sources, cases);
	UNIT_TABLE("refused", test_bad, cases);
	UNIT_TABLE("bounds", test_bounds, cases);
	UNIT_TABLE("reload", test_reloads, cases);
	unit_case("every option is here", test_all_known);
	return unit_run();
}
