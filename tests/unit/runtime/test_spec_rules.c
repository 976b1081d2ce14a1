/* Rules of config.json beyond types: what the specification, or the kernel, does not take. */
#include "tests/lib/unit.h"

#include "runtime/oci/spec/spec.h"
#include "tests/unit/runtime/document.h"

struct rule {
	const char *path, *json;
	const char *said; /* how the error starts; "": none */
};

static const struct rule rules[] = {
	{ "ociVersion", "\"1.0.0\"", "" },
	{ "ociVersion", "\"1.0.2-dev\"", "" },
	{ "ociVersion", "\"1.2.1+build.5\"", "" },
	{ "ociVersion", "\"1.4.0\"", "ociVersion: \"1.4.0\" is not a version from 1.0.0 to 1.3.0" },
	{ "ociVersion", "\"2.0.0\"", "ociVersion: " },
	{ "ociVersion", "\"0.5.0\"", "ociVersion: " },
	{ "ociVersion", "\"1.0\"", "ociVersion: " },
	{ "ociVersion", "\"1.0.0x\"", "ociVersion: " },
	{ "ociVersion", "\"1.0.0-\"", "ociVersion: " },
	{ "ociVersion", "\"\"", "ociVersion: " },
	{ "vm", "{\"kernel\":{}}", "vm: this runtime starts no virtual machines" },
	{ "vm", "null", "" },
	{ "windows", "{\"layerFolders\":1}", "" },
	{ "annotations", "{\"\":\"v\"}", "annotations: a key is empty" },
	{ "process", "null", "" },

	{ "process.args", "[\"\"]", "process.args[0]: must not be empty" },
	{ "process.args", "[\"a\",\"\"]", "" },
	{ "process.env", "[\"A=b\",\"novalue\"]", "process.env[1]: \"novalue\" has no \"=\"" },
	{ "process.env", "[\"=b\"]", "process.env[0]: the variable has no name" },
	{ "process.env", "[\"A=\"]", "" },
	{ "process.consoleSize.height", "65536", "process.consoleSize.height: " },
	{ "process.consoleSize.width", "65536", "process.consoleSize.width: " },
	{ "process.user.uid", "4294967295", "process.user.uid: 4294967295 is no user id" },
	{ "process.user.gid", "4294967295", "process.user.gid: 4294967295 is no group id" },
	{ "process.user.additionalGids", "[1,4294967295]", "process.user.additionalGids[1]: " },
	{ "process.user.umask", "512", "process.user.umask: " },
	{ "process.user.umask", "511", "" },
	{ "process.rlimits[0].soft", "21", "process.rlimits[0].soft: 21 is over the hard limit" },
	{ "process.rlimits[1].type", "\"RLIMIT_NOFILE\"",
	  "process.rlimits[1].type: RLIMIT_NOFILE is there twice" },
	{ "process.rlimits[0].type", "\"RLIMIT_RTTIME\"", "" },
	{ "process.rlimits[0].type", "\"rlimit_nofile\"", "process.rlimits[0].type: " },
	{ "process.oomScoreAdj", "1001", "process.oomScoreAdj: must be from -1000 to 1000" },
	{ "process.oomScoreAdj", "-1001", "process.oomScoreAdj: " },
	{ "process.oomScoreAdj", "-1000", "" },
	{ "process.scheduler.policy", "\"SCHED_ISO\"", "process.scheduler.policy: " },
	{ "process.scheduler.policy", "\"SCHED_FIFO\"", "process.scheduler.runtime: " },
	{ "process.scheduler", "{\"policy\":\"SCHED_OTHER\",\"priority\":1}",
	  "process.scheduler.priority: must be 0 with SCHED_OTHER" },
	{ "process.scheduler", "{\"policy\":\"SCHED_RR\",\"priority\":99}", "" },
	{ "process.scheduler.priority", "100", "process.scheduler.priority: " },
	{ "process.scheduler.nice", "20", "process.scheduler.nice: must be from -20 to 19" },
	{ "process.ioPriority.priority", "8", "process.ioPriority.priority: must be from 0 to 7" },
	{ "process.ioPriority.priority", "-1", "process.ioPriority.priority: " },
	{ "process.execCPUAffinity.initial", "\"x\"", "process.execCPUAffinity.initial: " },
	{ "process.execCPUAffinity.final", "\"0;1\"", "process.execCPUAffinity.final: " },
	{ "process.execCPUAffinity.final", "\"0,2-3\"", "" },

	{ "mounts[1].uidMappings", "[]", "mounts[1].uidMappings: is missing" },
	{ "mounts[1].gidMappings", "[]", "mounts[1].gidMappings: is missing" },
	{ "mounts[1].uidMappings[0].size", "0", "mounts[1].uidMappings[0].size: must not be 0" },
	{ "mounts[0].destination", "\"relative\"", "" }, /* read from "/": runc's bundles have it */
	{ "hooks.prestart[0].timeout", "0", "hooks.prestart[0].timeout: " },
	{ "hooks.poststop[0].timeout", "-1", "hooks.poststop[0].timeout: " },

	{ "linux.namespaces[3].type", "\"mount\"", "linux.namespaces[4].type: \"mount\" is there" },
	{ "linux.namespaces[1].path", "\"ns/net\"",
	  "linux.namespaces[1].path: must be an absolute" },
	{ "linux.namespaces[1].path", "\"\"", "" },
	{ "linux.namespaces", "[]", "hostname: needs a uts namespace of the container's own" },
	{ "linux.namespaces[3].type", "\"ipc\"",
	  "linux.namespaces[3].type: \"ipc\" is there twice" },
	{ "linux.uidMappings", "[]", "linux.uidMappings: is missing, and the other mappings" },
	{ "linux.gidMappings", "[]", "linux.gidMappings: is missing, and the other mappings" },
	{ "linux.uidMappings[0].size", "0", "linux.uidMappings[0].size: must not be 0" },
	{ "linux.uidMappings[0].hostID", "4294967290", "linux.uidMappings[0].size: the range on" },
	{ "linux.uidMappings[0].containerID", "4294967290",
	  "linux.uidMappings[0].size: the range" },
	{ "linux.namespaces[5].type", "\"none\"", "linux.namespaces[5].type: unknown value" },
	{ "linux.timeOffsets.boottime.nanosecs", "1000000000",
	  "linux.timeOffsets.boottime.nanosecs: 1000000000 is more than a second" },
	{ "linux.namespaces[7].path", "\"/proc/1/ns/time\"",
	  "linux.timeOffsets: needs a new time" },
	{ "linux.devices[0].type", "\"x\"", "linux.devices[0].type: unknown value \"x\"" },
	{ "linux.devices[0].type", "\"cc\"", "linux.devices[0].type: " },
	{ "linux.devices[0].type", "\"\"", "linux.devices[0].type: " },
	{ "linux.devices[0].major", "-1", "linux.devices[0].major: -1 is no device number" },
	{ "linux.devices[0].minor", "4294967296", "linux.devices[0].minor: " },
	{ "linux.netDevices.eth0.name", "\"a/b\"", "linux.netDevices.eth0.name: " },
	{ "linux.netDevices.eth0.name", "\"a-name-too-long-\"", "linux.netDevices.eth0.name: " },
	{ "linux.netDevices", "{\"a b\":{}}", "linux.netDevices.a b: is no name of a network" },
	{ "linux.netDevices", "{\"eth1\":{}}", "" },
	{ "linux.personality.flags", "[\"X\"]", "linux.personality.flags: no flags are defined" },
	{ "linux.sysctl", "{\"kernel.hostname\":\"x\"}",
	  "linux.sysctl.kernel.hostname: is not a sysctl of a namespace" },
	{ "linux.sysctl", "{\"vm.swappiness\":\"1\"}", "linux.sysctl.vm.swappiness: " },
	{ "linux.sysctl", "{\"net.ipv4/../../kernel.core_pattern\":\"|x\"}", "linux.sysctl.net." },
	{ "linux.sysctl", "{\"kernel.msgmaxx\":\"1\"}", "linux.sysctl.kernel.msgmaxx: " },
	{ "linux.sysctl", "{\"fs.mqueue.msg_max\":\"1\"}", "" },
	{ "linux.maskedPaths", "[\"/a\",\"b\"]", "linux.maskedPaths[1]: must be an absolute path" },
	{ "linux.readonlyPaths", "[\"b\"]", "linux.readonlyPaths[0]: must be an absolute path" },
	{ "linux.memoryPolicy.nodes", "\"a\"", "linux.memoryPolicy.nodes: \"a\" is no list" },
	{ "linux.memoryPolicy.nodes", "\"\"", "linux.memoryPolicy.nodes: is missing" },
	{ "linux.memoryPolicy.mode", "\"MPOL_LOCAL\"",
	  "linux.memoryPolicy.nodes: must not be set" },
	{ "linux.intelRdt.closID", "\"a/b\"", "linux.intelRdt.closID: " },
	{ "linux.intelRdt.closID", "\"..\"", "linux.intelRdt.closID: " },
	{ "linux.intelRdt.closID", "\"/\"", "" },
	{ "linux.intelRdt.memBwSchema", "\"L3:0=1\"", "linux.intelRdt.memBwSchema: " },
	{ "linux.intelRdt.memBwSchema", "\"MB:0=1\\nL3:0=1\"", "linux.intelRdt.memBwSchema: " },
	{ "linux.intelRdt.l3CacheSchema", "\"L3:0=1\\n\"", "linux.intelRdt.l3CacheSchema: " },
	{ "linux.intelRdt.schemata", "[\"a\",\"b\\n\"]", "linux.intelRdt.schemata[1]: " },

	{ "linux.resources.devices[1].type", "\"p\"", "linux.resources.devices[1].type: unknown" },
	{ "linux.resources.devices[1].access", "\"rwx\"", "linux.resources.devices[1].access: " },
	{ "linux.resources.devices[1].access", "\"rrww\"", "linux.resources.devices[1].access: " },
	{ "linux.resources.devices[1].major", "-2", "linux.resources.devices[1].major: is out" },
	{ "linux.resources.devices[1].major", "-1", "" },
	{ "linux.resources.memory.swappiness", "201", "linux.resources.memory.swappiness: " },
	{ "linux.resources.memory.swap", "1000", "linux.resources.memory.swap: memory and swap" },
	{ "linux.resources.memory.swap", "-1", "" },
	{ "linux.resources.cpu.idle", "2", "linux.resources.cpu.idle: must be 0 or 1" },
	{ "linux.resources.blockIO.weight", "9",
	  "linux.resources.blockIO.weight: must be from 10" },
	{ "linux.resources.blockIO.weight", "1001", "linux.resources.blockIO.weight: " },
	{ "linux.resources.blockIO.weight", "0", "" },
	{ "linux.resources.blockIO.weightDevice[0].leafWeight", "5",
	  "linux.resources.blockIO.weightDevice[0].leafWeight: " },
	{ "linux.resources.blockIO.weightDevice", "[{\"major\":1,\"minor\":1}]",
	  "linux.resources.blockIO.weightDevice[0].weight: is missing" },
	{ "linux.resources.blockIO.throttleReadBpsDevice[0].major", "-1",
	  "linux.resources.blockIO.throttleReadBpsDevice[0].major: " },
	{ "linux.resources.hugepageLimits[0].pageSize", "\"2M\"",
	  "linux.resources.hugepageLimits[0].pageSize: " },
	{ "linux.resources.hugepageLimits[0].pageSize", "\"../2MB\"",
	  "linux.resources.hugepageLimits[0].pageSize: " },
	{ "linux.resources.hugepageLimits[0].pageSize", "\"64KB\"", "" },
	{ "linux.resources.rdma", "{\"mlx\":{}}", "linux.resources.rdma.mlx: hcaHandles or" },
	{ "linux.resources.unified", "{\"../x.y\":\"1\"}", "linux.resources.unified." },
	{ "linux.resources.unified", "{\"memory\":\"1\"}", "linux.resources.unified.memory: " },
	{ "linux.resources.unified", "{\".x\":\"1\"}", "linux.resources.unified." },

	{ "linux.seccomp.defaultErrnoRet", "4096", "linux.seccomp.defaultErrnoRet: 4096 is no" },
	{ "linux.seccomp.defaultAction", "\"SCMP_ACT_ALLOW\"",
	  "linux.seccomp.defaultErrnoRet: action SCMP_ACT_ALLOW takes no errno" },
	{ "linux.seccomp.defaultAction", "\"SCMP_ACT_NOTIFY\"", "linux.seccomp.defaultAction: " },
	{ "linux.seccomp.syscalls[0].errnoRet", "4096", "linux.seccomp.syscalls[0].errnoRet: " },
	{ "linux.seccomp.syscalls[0].action", "\"SCMP_ACT_TRACE\"", "" },
	{ "linux.seccomp.syscalls[0].action", "\"SCMP_ACT_LOG\"",
	  "linux.seccomp.syscalls[0].errnoRet: action SCMP_ACT_LOG takes no errno" },
	{ "linux.seccomp.syscalls[0].args[0].index", "6",
	  "linux.seccomp.syscalls[0].args[0].index: a system call has 6 arguments" },
	{ "linux.seccomp.syscalls[0].names", "[]", "linux.seccomp.syscalls[0].names: must not be" },
	{ "linux.seccomp.listenerPath", "null", "linux.seccomp.listenerPath: is missing, and" },
};

static void test_rules(void **state)
{
	size_t wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		const struct rule *r = &rules[i];
		const char *said = document_refusal_of(r->path, r->json);

		if (r->said[0] ? strncmp(said, r->said, strlen(r->said)) == 0 : !said[0])
			continue;
		print_error("%s = %s: \"%s\", wanted \"%s\"\n", r->path, r->json, said, r->said);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static const char *parse(const char *text)
{
	static struct err e;
	AUTO_SPEC s = { 0 };

	return spec_parse(str_of(text), &s, &e) == ERR_OK ? "" : e.msg;
}

static void test_texts(void **state)
{
	(void)state;
	assert_string_equal(parse("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"}}"), "");
	assert_string_not_equal(parse(""), "");
	assert_string_not_equal(parse("[]"), "");
	assert_string_not_equal(parse("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"}} x"),
				"");
	/* two parsers would see two documents */
	assert_string_not_equal(
	    parse("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"a\",\"path\":\"b\"}}"), "");
	assert_string_not_equal(
	    parse("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"a\\u0000b\"}}"), "");
}

#define LIMIT(hard)                                                                                \
	"{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"a\"],"       \
	"\"cwd\":\"/\","                                                                           \
	"\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":" hard "}]}}"

/* RLIM_INFINITY, as Go writes it. */
static void test_largest_numbers(void **state)
{
	AUTO_SPEC s = { 0 };
	struct err e;

	(void)state;
	assert_int_equal(spec_parse(STR(LIMIT("18446744073709551615")), &s, &e), ERR_OK);
	assert_true(s.process->rlimits.v[0].hard == UINT64_MAX);
	assert_string_not_equal(parse(LIMIT("18446744073709551616")), "");
	assert_string_not_equal(parse(LIMIT("1e3")), "");
}

/* exec --process and update --resources. */
static void test_parts(void **state)
{
	AUTO_ARENA a;
	struct jv *doc = NULL;
	struct spec_process *p;
	struct spec_resources *r;
	struct err e;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(
	    spec_parse_process(STR("{\"args\":[\"a\"],\"cwd\":\"/\"}"), &a, &doc, &p, &e), ERR_OK);
	assert_string_equal(p->args.v[0], "a");
	jv_free(&doc);
	assert_int_equal(
	    spec_parse_process(STR("{\"args\":[\"a\"],\"cwd\":\"x\"}"), &a, &doc, &p, &e),
	    ERR_INVALID);
	assert_string_equal(e.msg, "process.cwd: must be an absolute path, not \"x\"");
	jv_free(&doc);
	assert_int_equal(spec_parse_resources(STR("{\"pids\":{\"limit\":5}}"), &a, &doc, &r, &e),
			 ERR_OK);
	assert_int_equal(r->pids->limit.v, 5);
	jv_free(&doc);
	assert_int_equal(spec_parse_resources(STR("{\"pids\":5}"), &a, &doc, &r, &e), ERR_INVALID);
	assert_string_equal(e.msg, "resources.pids: expected an object, not an integer");
	jv_free(&doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rules),
					    cmocka_unit_test(test_texts),
					    cmocka_unit_test(test_largest_numbers),
					    cmocka_unit_test(test_parts) };

	return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
