/* Namespaces, id maps and lists of CPUs of a plan; the state that hooks read. */
#include "tests/lib/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/oci/plan/build.h"

struct made {
	struct spec spec;
	struct host host;
	struct plan plan;
	struct arena arena;
	struct err e;
	enum err_kind k;
};

static void clear(struct made *m)
{
	plan_clear(&m->plan);
	spec_clear(&m->spec);
	arena_clear(&m->arena);
	fd_close(&m->host.proc);
}
#define AUTO_MADE CLEANUP(clear) struct made

/* extra: members of config.json, behind a comma, with ' for " */
static void make(struct made *m, const char *namespaces, const char *extra)
{
	char text[4096];

	*m = (struct made){ .plan = { .root_tree = -1, .root_dir = -1 } };
	arena_init(&m->arena, 1 << 20);
	assert_true(snprintf(text, sizeof(text),
			     "{'ociVersion':'1.0.0','root':{'path':'r'},'annotations':{'a':'b'}%s,"
			     "'linux':{'namespaces':[%s]%s}}",
			     extra[0] == '+' ? extra + 1 : "", namespaces,
			     extra[0] == '+' ? "" : extra) < (int)sizeof(text));
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	if (spec_parse(str_of(text), &m->spec, &m->e) != ERR_OK)
		fail_msg("%s", m->e.msg);
	m->host.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	m->plan.arena = &m->arena;
	m->plan.proc = m->host.proc;
	m->k = plan_namespaces(&m->plan, &m->spec, &m->host, &m->e);
}

static void test_new(void **state)
{
	AUTO_MADE m;

	(void)state;
	make(&m, "{'type':'pid'},{'type':'mount'},{'type':'uts'},{'type':'ipc'},{'type':'network'}",
	     "");
	assert_int_equal(m.k, ERR_OK);
	assert_int_equal(m.plan.new_flags,
			 CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET);
	assert_false(m.plan.needs_stage || m.plan.in_userns || m.plan.is_new_userns);
	assert_null(m.plan.uid_map);
}

static void test_maps(void **state)
{
	AUTO_MADE m;

	(void)state;
	make(&m, "{'type':'user'}",
	     ",'uidMappings':[{'containerID':0,'hostID':1000,'size':1},{'containerID':1,'hostID':"
	     "100000,"
	     "'size':65535}],'gidMappings':[{'containerID':0,'hostID':4294967294,'size':1}]");
	assert_int_equal(m.k, ERR_OK);
	assert_int_equal(m.plan.new_flags, CLONE_NEWUSER);
	assert_true(m.plan.in_userns && m.plan.is_new_userns);
	assert_string_equal(m.plan.uid_map, "0 1000 1\n1 100000 65535\n");
	assert_string_equal(m.plan.gid_map, "0 4294967294 1\n");
}

static void test_time(void **state)
{
	AUTO_MADE m;

	(void)state;
	make(&m, "{'type':'time'}",
	     ",'timeOffsets':{'boottime':{'secs':-5,'nanosecs':7},'monotonic':{'secs':9}}");
	assert_int_equal(m.k, ERR_OK);
	assert_true(m.plan.needs_stage); /* who makes it does not enter it */
	assert_string_equal(m.plan.time_offsets, "monotonic 9 0\nboottime -5 7\n");
}

static void test_own_is_not_joined(void **state)
{
	AUTO_MADE m;

	(void)state;
	make(&m,
	     "{'type':'network','path':'/proc/self/ns/net'},{'type':'user','path':'/proc/self/ns/"
	     "user'}",
	     "");
	assert_int_equal(m.k, ERR_OK);
	assert_int_equal(m.plan.joins_n, 0);
	assert_false(m.plan.needs_stage || m.plan.joins_user);
}

static const struct {
	const char *namespaces, *extra, *said;
} refused[] = {
	{ "{'type':'network','path':'/nonexistent'}", "",
	  "linux.namespaces[0].path: open /nonexistent" },
	{ "{'type':'pid'},{'type':'ipc','path':'/proc/self/ns/net'}", "",
	  "linux.namespaces[1].path: /proc/self/ns/net is not a ipc namespace" },
	{ "{'type':'network','path':'/dev/null'}", "",
	  "linux.namespaces[0].path: /dev/null is not a namespace" },
	{ "{'type':'network','path':'/proc/self/ns/net'}", ",'sysctl':{'net.ipv4.ip_forward':'1'}",
	  "linux.sysctl.net.ipv4.ip_forward: the network namespace is the runtime's own" },
	{ "{'type':'ipc','path':'/proc/self/ns/ipc'}", ",'sysctl':{'kernel.msgmax':'1'}",
	  "linux.sysctl.kernel.msgmax: the ipc namespace is the runtime's own" },
	{ "{'type':'uts','path':'/proc/self/ns/uts'}", "+,'hostname':'h'",
	  "hostname: the uts namespace is the runtime's own" },
	{ "{'type':'uts','path':'/proc/self/ns/uts'}", "+,'domainname':'h'",
	  "domainname: the uts namespace is the runtime's own" },
	{ "{'type':'network','path':'/proc/self/ns/net'}", ",'netDevices':{'eth0':{}}",
	  "linux.netDevices: the network namespace is the runtime's own" },
};

static void test_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		AUTO_MADE m;

		make(&m, refused[i].namespaces, refused[i].extra);
		assert_int_not_equal(m.k, ERR_OK);
		if (!str_starts(str_of(m.e.msg), str_of(refused[i].said)))
			fail_msg("\"%s\", wanted \"%s\"", m.e.msg, refused[i].said);
	}
}

static void test_cpu_lists(void **state)
{
	static const struct {
		const char *list;
		int n; /* -1: refused */
		size_t last;
	} rows[] = {
		{ "0", 1, 0 },       { "0-3", 4, 3 },     { "0,2,4", 3, 4 },
		{ "0-1,1-2", 3, 2 }, { "1023", 1, 1023 }, { "1024", -1, 0 },
		{ "3-1", -1, 0 },    { "", -1, 0 },       { "0-", -1, 0 },
		{ ",", -1, 0 },      { "0,", 1, 0 },      { "-1", -1, 0 },
		{ "0--1", -1, 0 },   { "a", -1, 0 },      { "99999999999999999999", -1, 0 },
	};
	cpu_set_t set;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool ok = plan_cpu_set(rows[i].list, &set);

		if (ok != (rows[i].n >= 0) ||
		    (ok && (CPU_COUNT(&set) != rows[i].n || !CPU_ISSET(rows[i].last, &set))))
			fail_msg("\"%s\": %d, %d CPUs", rows[i].list, ok, CPU_COUNT(&set));
	}
}

static void test_state_text(void **state)
{
	const struct plan_options o = { .id = "c\"1", .bundle = "/b" };
	struct state_text text;
	AUTO_MADE m;

	(void)state;
	make(&m, "", "");
	assert_int_equal(plan_state_text(&m.spec, &o, "created", &m.arena, &text, &m.e), ERR_OK);
	assert_string_equal(
	    text.head,
	    "{\"ociVersion\":\"1.0.0\",\"id\":\"c\\\"1\",\"status\":\"created\",\"pid\":");
	assert_string_equal(text.tail, ",\"bundle\":\"/b\",\"annotations\":{\"a\":\"b\"}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_new),        cmocka_unit_test(test_maps),
		cmocka_unit_test(test_time),       cmocka_unit_test(test_own_is_not_joined),
		cmocka_unit_test(test_refused),    cmocka_unit_test(test_cpu_lists),
		cmocka_unit_test(test_state_text),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
