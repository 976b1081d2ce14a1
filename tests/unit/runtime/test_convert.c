/* Resources as writes to cgroup files, of either version. */
#include "tests/lib/unit.h"

#include "runtime/oci/cgroup/convert.h"
#include "runtime/oci/spec/spec.h"

struct row {
	const char *resources; /* JSON with ' for " */
	const char *v1, *v2;   /* "file value; file value", or "! error" */
};

#define V2_ONLY "! linux.resources.unified: needs cgroup version 2"

static const struct row rows[] = {
	{ "{}", "", "" },
	{ "{'memory':{'limit':1000}}", "memory.limit_in_bytes 1000", "memory.max 1000" },
	{ "{'memory':{'limit':-1}}", "memory.limit_in_bytes -1; memory.memsw.limit_in_bytes -1",
	  "memory.max max" },
	{ "{'memory':{'limit':0,'swap':0}}", "", "" },
	{ "{'memory':{'limit':1000,'swap':1500}}",
	  "memory.limit_in_bytes 1000; memory.memsw.limit_in_bytes 1500",
	  "memory.swap.max 500; memory.max 1000" },
	{ "{'memory':{'limit':1000,'swap':1000}}",
	  "memory.limit_in_bytes 1000; memory.memsw.limit_in_bytes 1000",
	  "memory.swap.max 0; memory.max 1000" },
	{ "{'memory':{'limit':1000,'swap':-1}}",
	  "memory.limit_in_bytes 1000; memory.memsw.limit_in_bytes -1",
	  "memory.swap.max max; memory.max 1000" },
	{ "{'memory':{'swap':1000}}", "memory.memsw.limit_in_bytes 1000",
	  "! linux.resources.memory.swap: must not be less than memory.limit" },
	{ "{'memory':{'reservation':500,'swappiness':60}}",
	  "memory.soft_limit_in_bytes 500; memory.swappiness 60",
	  "! linux.resources.memory.swappiness: cgroup version 2 has no such value" },
	{ "{'memory':{'reservation':500}}", "memory.soft_limit_in_bytes 500", "memory.low 500" },
	{ "{'memory':{'kernelTCP':5}}", "memory.kmem.tcp.limit_in_bytes 5",
	  "! linux.resources.memory.kernelTCP: cgroup version 2 has no such limit" },
	{ "{'memory':{'kernel':5}}", "memory.kmem.limit_in_bytes 5", "" },
	{ "{'memory':{'disableOOMKiller':true}}", "memory.oom_control 1",
	  "! linux.resources.memory.disableOOMKiller: cgroup version 2 cannot do that" },
	{ "{'memory':{'disableOOMKiller':false}}", "memory.oom_control 0", "" },

	{ "{'cpu':{'shares':2}}", "cpu.shares 2", "cpu.weight 1" },
	{ "{'cpu':{'shares':1024}}", "cpu.shares 1024", "cpu.weight 39" },
	{ "{'cpu':{'shares':262144}}", "cpu.shares 262144", "cpu.weight 10000" },
	{ "{'cpu':{'shares':0}}", "", "" },
	{ "{'cpu':{'quota':5000}}", "cpu.cfs_quota_us 5000", "cpu.max 5000" },
	{ "{'cpu':{'quota':-1}}", "cpu.cfs_quota_us -1", "cpu.max max" },
	{ "{'cpu':{'quota':5000,'period':10000}}", "cpu.cfs_period_us 10000; cpu.cfs_quota_us 5000",
	  "cpu.max 5000 10000" },
	{ "{'cpu':{'period':10000}}", "cpu.cfs_period_us 10000", "cpu.max ~ 10000" },
	{ "{'cpu':{'burst':7}}", "cpu.cfs_burst_us 7", "cpu.max.burst 7" },
	{ "{'cpu':{'idle':1,'shares':50}}", "cpu.idle 1", "cpu.idle 1" },
	{ "{'cpu':{'idle':0,'shares':2}}", "cpu.idle 0; cpu.shares 2", "cpu.idle 0; cpu.weight 1" },
	{ "{'cpu':{'cpus':'0-1','mems':'0'}}", "cpuset.cpus 0-1; cpuset.mems 0",
	  "cpuset.cpus 0-1; cpuset.mems 0" },
	{ "{'cpu':{'realtimeRuntime':5,'realtimePeriod':10}}",
	  "cpu.rt_period_us 10; cpu.rt_runtime_us 5",
	  "! linux.resources.cpu.realtimeRuntime: cgroup version 2 has no realtime limits" },

	{ "{'pids':{'limit':5}}", "pids.max 5", "pids.max 5" },
	{ "{'pids':{'limit':-1}}", "pids.max max", "pids.max max" },
	{ "{'pids':{'limit':0}}", "pids.max 0", "pids.max 0" },

	{ "{'blockIO':{'weight':10}}", "blkio.weight 10 | blkio.bfq.weight 10",
	  "io.weight default 1 | io.bfq.weight 10" },
	{ "{'blockIO':{'weight':1000}}", "blkio.weight 1000 | blkio.bfq.weight 1000",
	  "io.weight default 10000 | io.bfq.weight 1000" },
	{ "{'blockIO':{'leafWeight':10}}", "blkio.leaf_weight 10",
	  "! linux.resources.blockIO.leafWeight: cgroup version 2 has no such weight" },
	{ "{'blockIO':{'weightDevice':[{'major':8,'minor':1,'weight':100}]}}",
	  "blkio.weight_device 8:1 100 | blkio.bfq.weight_device 8:1 100",
	  "io.weight 8:1 910 | io.bfq.weight 8:1 100" },
	{ "{'blockIO':{'throttleReadBpsDevice':[{'major':8,'minor':1,'rate':5}],"
	  "'throttleWriteIOPSDevice':[{'major':8,'minor':2,'rate':0}]}}",
	  "blkio.throttle.read_bps_device 8:1 5; blkio.throttle.write_iops_device 8:2 0",
	  "io.max 8:1 rbps=5; io.max 8:2 wiops=max" },

	{ "{'hugepageLimits':[{'pageSize':'2MB','limit':9}]}",
	  "hugetlb.2MB.rsvd.limit_in_bytes 9; hugetlb.2MB.limit_in_bytes 9",
	  "hugetlb.2MB.rsvd.max 9; hugetlb.2MB.max 9" },
	{ "{'network':{'classID':5,'priorities':[{'name':'eth0','priority':3}]}}",
	  "net_cls.classid 5; net_prio.ifpriomap eth0 3",
	  "! linux.resources.network: cgroup version 2 has no network controllers" },
	{ "{'rdma':{'mlx':{'hcaHandles':3,'hcaObjects':4},'x':{'hcaObjects':1}}}",
	  "rdma.max mlx hca_handle=3 hca_object=4; rdma.max x hca_object=1",
	  "rdma.max mlx hca_handle=3 hca_object=4; rdma.max x hca_object=1" },
	{ "{'unified':{'memory.high':'5','io.max':'8:0 rbps=1'}}", V2_ONLY,
	  "memory.high 5; io.max 8:0 rbps=1" },
	/* what unified says comes after, and so holds */
	{ "{'pids':{'limit':5},'unified':{'pids.max':'7'}}", V2_ONLY, "pids.max 5; pids.max 7" },
};

static void print(const struct cgroup_writes *w, struct sbuf *out)
{
	for (size_t i = 0; i < w->n; i++) {
		const struct cgroup_write *one = &w->v[i];

		assert_true(str_starts(str_of(one->property), STR("linux.resources.")));
		assert_true(str_starts(str_of(one->file), str_of(one->controller)) ||
			    strcmp(one->controller, "cpuset") == 0);
		sbuf_addf(out, "%s%s %s%s", i ? "; " : "", one->file,
			  one->flags & CGROUP_WRITE_KEEP_FIRST ? "~ " : "", one->value);
		if (one->other_file)
			sbuf_addf(out, " | %s %s", one->other_file, one->other_value);
	}
}

static bool check(const struct spec_resources *r, bool is_v2, struct arena *a, const char *want)
{
	struct cgroup_writes w;
	AUTO_SBUF got;
	struct err e;
	enum err_kind k = is_v2 ? cgroup_writes_v2(r, a, &w, &e) : cgroup_writes_v1(r, a, &w, &e);

	sbuf_init(&got, 4096);
	if (k == ERR_OK)
		print(&w, &got);
	else
		sbuf_addf(&got, "! %s", e.msg);
	if (strcmp(got.p ? got.p : "", want) == 0)
		return true;
	print_error("v%d: \"%s\", wanted \"%s\"\n", is_v2 ? 2 : 1, got.p, want);
	return false;
}

static void test_rows(void **state)
{
	bool good = true;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_ARENA a;
		struct jv *doc = NULL;
		struct spec_resources *r;
		struct err e;
		char *json;

		arena_init(&a, 1 << 20);
		json = arena_text(&a, str_of(rows[i].resources));
		for (char *p = json; *p; p++)
			*p = *p == '\'' ? '"' : *p;
		assert_int_equal(spec_parse_resources(str_of(json), &a, &doc, &r, &e), ERR_OK);
		good = check(r, false, &a, rows[i].v1) && good;
		good = check(r, true, &a, rows[i].v2) && good;
		jv_free(&doc);
	}
	assert_true(good);
}

static void test_weights(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (uint64_t shares = 0; shares < 300000; shares += 7) {
		uint64_t w = cgroup_cpu_weight(shares);

		assert_true(w >= 1 && w <= 10000 && w >= last);
		last = w;
	}
	assert_int_equal(cgroup_cpu_weight(UINT64_MAX), 10000);
	for (uint64_t w = 10; w <= 1000; w++)
		assert_true(cgroup_io_weight(w) >= 1 && cgroup_io_weight(w) <= 10000);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
					    cmocka_unit_test(test_weights) };

	return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
