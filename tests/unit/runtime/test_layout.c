/* Where cgroup hierarchies are mounted, from texts of /proc. */
#include "tests/lib/unit.h"

#include "runtime/oci/cgroup/layout.h"

#define PROC "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
#define V1(controllers, root, at)                                                                  \
	"30 26 0:27 " root " " at " rw,nosuid shared:9 master:3 - cgroup cgroup rw," controllers   \
	",release_agent=/lib/agent\n"
#define V2(root, at) "31 26 0:28 " root " " at " rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

struct row {
	const char *mountinfo, *cgroup;
	const char *want; /* "controllers@mount:own ..." */
	bool is_unified;
};

static const struct row rows[] = {
	{ PROC, "", "", false },
	{ PROC V2("/", "/sys/fs/cgroup"), "0::/user.slice/a\n", "@/sys/fs/cgroup:/user.slice/a",
	  true },
	{ V2("/", "/sys/fs/cgroup"), "0::/\n", "@/sys/fs/cgroup:/", true },
	{ V1("cpu,cpuacct", "/", "/sys/fs/cgroup/cpu,cpuacct") V1("memory", "/", "/c/memory"),
	  "3:cpu,cpuacct:/a\n2:memory:/b\n1:name=systemd:/c\n",
	  "cpu,cpuacct@/sys/fs/cgroup/cpu,cpuacct:/a memory@/c/memory:/b", false },
	{ V1("xattr,name=systemd", "/", "/c/systemd"), "1:name=systemd:/c\n",
	  "name=systemd@/c/systemd:/c", false },
	{ V1("clone_children,cpuset,noprefix", "/", "/c/cpuset"), "1:cpuset:/c\n",
	  "cpuset@/c/cpuset:/c", false },
	/* hybrid */
	{ V1("pids", "/", "/c/pids") V2("/", "/c/unified"), "1:pids:/c\n0::/d\n",
	  "pids@/c/pids:/c @/c/unified:/d", false },
	/* mounted twice: the first counts */
	{ V1("pids", "/", "/a") V1("pids", "/", "/b"), "1:pids:/c\n", "pids@/a:/c", false },
	/* in a container: the mount's root is our group, or above or beside it */
	{ V1("pids", "/docker/1", "/c/pids"), "1:pids:/docker/1\n", "pids@/c/pids:/", false },
	{ V1("pids", "/docker/1", "/c/pids"), "1:pids:/docker/1/x\n", "pids@/c/pids:/x", false },
	{ V1("pids", "/docker/1", "/c/pids"), "1:pids:/docker/12\n", "pids@/c/pids:/", false },
	/* names with blanks come as octal numbers; a group's name may hold a colon */
	{ V1("pids", "/", "/c/a\\040b\\134"), "1:pids:/a:b\n", "pids@/c/a b\\:/a:b", false },
	/* what is no line of its file */
	{ "\n30 26\n30 26 0:27 / /c rw -\n30 26 0:27 / /c rw - cgroup\n", "x\n:\n", "", false },
	{ "30 26 0:27 / /c rw - cgroup cgroup rw,pids", "garbage", "pids@/c:/", false },
};

static void print(const struct layout *l, struct sbuf *out)
{
	for (size_t i = 0; i < l->n; i++)
		sbuf_addf(out, "%s%s@%s:%s", i ? " " : "", l->v[i].controllers, l->v[i].mount,
			  l->v[i].own);
	sbuf_addf(out, "%s", "");
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_ARENA a;
		AUTO_SBUF got;
		struct layout l;
		struct err e;

		arena_init(&a, 1 << 20);
		sbuf_init(&got, 4096);
		assert_int_equal(
		    layout_parse(str_of(rows[i].mountinfo), str_of(rows[i].cgroup), &a, &l, &e),
		    ERR_OK);
		print(&l, &got);
		assert_string_equal(got.p, rows[i].want);
		assert_int_equal(l.is_unified, rows[i].is_unified);
	}
}

static void test_too_many(void **state)
{
	AUTO_ARENA a;
	AUTO_SBUF b;
	struct layout l;
	struct err e;

	(void)state;
	arena_init(&a, 1 << 20);
	sbuf_init(&b, 1 << 20);
	for (unsigned i = 0; i <= HIERARCHIES_MAX; i++)
		sbuf_addf(&b, "30 26 0:27 / /c%u rw - cgroup cgroup rw,name=n%u\n", i, i);
	assert_int_equal(layout_parse((struct str){ b.p, b.n }, STR(""), &a, &l, &e), ERR_TOO_MANY);
}

static void test_has(void **state)
{
	(void)state;
	assert_true(layout_has("cpu,cpuacct", "cpu"));
	assert_true(layout_has("cpu,cpuacct", "cpuacct"));
	assert_false(layout_has("cpuacct", "cpu"));
	assert_false(layout_has("", "cpu"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
					    cmocka_unit_test(test_too_many),
					    cmocka_unit_test(test_has) };

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
