#include "runtime/oci/cgroup/stats.h"

#include <inttypes.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "base/fd.h"
#include "base/jv.h"

#define TEXT_BYTES 65536
#define PERCPU_MAX 1024

struct source {
	const struct cgroup *cg;
	char text[TEXT_BYTES];
};

static uint64_t number_at(const struct cgroup_dir *d, const char *file)
{
	char text[64];
	struct str s;
	uint64_t v = 0;

	if (!d || !cgroup_read(d, file, text, sizeof(text)))
		return 0;
	s = str_of(text);
	return scan_u64(&s, UINT64_MAX, &v) ? v : strcmp(text, "max") == 0 ? UINT64_MAX : 0;
}

/* The value behind key in lines "key value". */
static uint64_t keyed(const char *text, const char *key)
{
	struct str rest = str_of(text), line, name;
	uint64_t v;

	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ' ', &name, &line) && str_eq(name, str_of(key)) &&
		    scan_u64(&line, UINT64_MAX, &v))
			return v;
	}
	return 0;
}

/* jansson has no unsigned integers: what is over its range means "no limit". */
static int64_t clamped(uint64_t v)
{
	return v > INT64_MAX ? INT64_MAX : (int64_t)v;
}

static struct jv *integer(uint64_t v)
{
	return jv_pack("I", clamped(v));
}

static struct jv *numbers_of(const char *text)
{
	struct jv *list = jv_new_array();
	struct str rest = str_of(text), word;
	uint64_t v;

	for (unsigned i = 0; rest.n && i < PERCPU_MAX; i++) {
		(void)str_cut(rest, ' ', &word, &rest);
		if (scan_u64(&word, UINT64_MAX, &v) && !jv_append(list, integer(v)))
			break;
	}
	return list;
}

/* "0-3,7" as [0,1,2,3,7] */
static struct jv *members_of(const char *text)
{
	struct jv *list = jv_new_array();
	struct str rest = str_of(text), one;

	while (rest.n) {
		uint64_t first, last;

		(void)str_cut(rest, ',', &one, &rest);
		if (!scan_u64(&one, PERCPU_MAX, &first))
			break;
		last = first;
		if (scan_char(&one, '-') && !scan_u64(&one, PERCPU_MAX, &last))
			break;
		for (uint64_t i = first; i <= last; i++) {
			if (!jv_append(list, integer(i)))
				return list;
		}
	}
	return list;
}

static struct jv *cpu_v1(struct source *s)
{
	enum { NS_PER_TICK = 10000000 };
	const struct cgroup_dir *acct = cgroup_dir_of(s->cg, "cpuacct"),
				*cpu = cgroup_dir_of(s->cg, "cpu");
	uint64_t user = 0, kernel = 0;
	struct jv *percpu = NULL;

	if (acct && cgroup_read(acct, "cpuacct.stat", s->text, sizeof(s->text))) {
		user = keyed(s->text, "user") * NS_PER_TICK;
		kernel = keyed(s->text, "system") * NS_PER_TICK;
	}
	if (acct && cgroup_read(acct, "cpuacct.usage_percpu", s->text, sizeof(s->text)))
		percpu = numbers_of(s->text);
	if (!cpu || !cgroup_read(cpu, "cpu.stat", s->text, sizeof(s->text)))
		s->text[0] = '\0';
	return jv_pack("{s:{s:o, s:o, s:o, s:o}, s:{s:o, s:o, s:o}}", "usage", "total",
		       integer(number_at(acct, "cpuacct.usage")), "percpu",
		       percpu ? percpu : jv_new_array(), "kernel", integer(kernel), "user",
		       integer(user), "throttling", "periods",
		       integer(keyed(s->text, "nr_periods")), "throttledPeriods",
		       integer(keyed(s->text, "nr_throttled")), "throttledTime",
		       integer(keyed(s->text, "throttled_time")));
}

static struct jv *cpu_v2(struct source *s)
{
	enum { NS_PER_US = 1000 };
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "cpu");

	if (!d || !cgroup_read(d, "cpu.stat", s->text, sizeof(s->text)))
		s->text[0] = '\0';
	return jv_pack("{s:{s:o, s:o, s:o}, s:{s:o, s:o, s:o}}", "usage", "total",
		       integer(keyed(s->text, "usage_usec") * NS_PER_US), "kernel",
		       integer(keyed(s->text, "system_usec") * NS_PER_US), "user",
		       integer(keyed(s->text, "user_usec") * NS_PER_US), "throttling", "periods",
		       integer(keyed(s->text, "nr_periods")), "throttledPeriods",
		       integer(keyed(s->text, "nr_throttled")), "throttledTime",
		       integer(keyed(s->text, "throttled_usec") * NS_PER_US));
}

static struct jv *cpuset(struct source *s)
{
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "cpuset");
	const char *cpus = d && d->is_v2 ? "cpuset.cpus.effective" : "cpuset.effective_cpus";
	const char *mems = d && d->is_v2 ? "cpuset.mems.effective" : "cpuset.effective_mems";
	struct jv *cpu_list = NULL, *mem_list = NULL;

	if (d && cgroup_read(d, cpus, s->text, sizeof(s->text)))
		cpu_list = members_of(s->text);
	if (d && cgroup_read(d, mems, s->text, sizeof(s->text)))
		mem_list = members_of(s->text);
	return jv_pack("{s:o, s:o}", "cpus", cpu_list ? cpu_list : jv_new_array(), "mems",
		       mem_list ? mem_list : jv_new_array());
}

/* Lines "key value" as an object. */
static struct jv *raw_values(const char *text)
{
	struct jv *v = jv_pack("{}");
	struct str rest = str_of(text), line, name;
	char key[64];
	uint64_t n;

	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ' ', &name, &line) && str_copy(name, key, sizeof(key)) &&
		    scan_u64(&line, UINT64_MAX, &n) && !jv_set(v, key, integer(n)))
			break;
	}
	return v;
}

static struct jv *memory_entry_v1(const struct cgroup_dir *d, const char *prefix)
{
	char limit[64], usage[64], max[64], failcnt[64];

	(void)snprintf(limit, sizeof(limit), "%s.limit_in_bytes", prefix);
	(void)snprintf(usage, sizeof(usage), "%s.usage_in_bytes", prefix);
	(void)snprintf(max, sizeof(max), "%s.max_usage_in_bytes", prefix);
	(void)snprintf(failcnt, sizeof(failcnt), "%s.failcnt", prefix);
	return jv_pack("{s:o, s:o, s:o, s:o}", "limit", integer(number_at(d, limit)), "usage",
		       integer(number_at(d, usage)), "max", integer(number_at(d, max)), "failcnt",
		       integer(number_at(d, failcnt)));
}

static struct jv *memory_v1(struct source *s)
{
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "memory");

	if (!d || !cgroup_read(d, "memory.stat", s->text, sizeof(s->text)))
		s->text[0] = '\0';
	return jv_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cache", integer(keyed(s->text, "cache")),
		       "usage", memory_entry_v1(d, "memory"), "swap",
		       memory_entry_v1(d, "memory.memsw"), "kernel",
		       memory_entry_v1(d, "memory.kmem"), "kernelTCP",
		       memory_entry_v1(d, "memory.kmem.tcp"), "raw", raw_values(s->text));
}

static struct jv *memory_v2(struct source *s)
{
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "memory");

	if (!d || !cgroup_read(d, "memory.stat", s->text, sizeof(s->text)))
		s->text[0] = '\0';
	return jv_pack("{s:o, s:{s:o, s:o}, s:{s:o, s:o}, s:o}", "cache",
		       integer(keyed(s->text, "file")), "usage", "limit",
		       integer(number_at(d, "memory.max")), "usage",
		       integer(number_at(d, "memory.current")), "swap", "limit",
		       integer(number_at(d, "memory.swap.max")), "usage",
		       integer(number_at(d, "memory.swap.current")), "raw", raw_values(s->text));
}

static struct jv *pids(struct source *s)
{
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "pids");
	uint64_t limit = number_at(d, "pids.max");

	return jv_pack("{s:o, s:o}", "current", integer(number_at(d, "pids.current")), "limit",
		       integer(limit == UINT64_MAX ? 0 : limit));
}

/* v1: lines "8:0 Read 4096"; the total line is left out. */
static struct jv *block_entries(struct source *s, const char *file)
{
	const struct cgroup_dir *d = cgroup_dir_of(s->cg, "blkio");
	struct jv *list = jv_new_array();
	struct str rest, line, op;
	uint64_t major, minor, value;

	if (!d || d->is_v2 || !cgroup_read(d, file, s->text, sizeof(s->text)))
		return list;
	for (rest = str_of(s->text); rest.n;) {
		char name[32];

		(void)str_cut(rest, '\n', &line, &rest);
		if (!scan_u64(&line, UINT32_MAX, &major) || !scan_char(&line, ':') ||
		    !scan_u64(&line, UINT32_MAX, &minor) || !scan_char(&line, ' ') ||
		    !str_cut(line, ' ', &op, &line) || !str_copy(op, name, sizeof(name)) ||
		    !scan_u64(&line, UINT64_MAX, &value))
			continue;
		if (!jv_append(list,
			       jv_pack("{s:o, s:o, s:s, s:o}", "major", integer(major), "minor",
				       integer(minor), "op", name, "value", integer(value))))
			break;
	}
	return list;
}

struct jv *cgroup_stats(const struct cgroup *cg)
{
	struct source *s = malloc(sizeof(*s));
	struct jv *v;

	if (!s)
		return NULL;
	s->cg = cg;
	v = jv_pack("{s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:{}, s:{}, s:n}", "cpu",
		    cg->is_unified ? cpu_v2(s) : cpu_v1(s), "cpuset", cpuset(s), "memory",
		    cg->is_unified ? memory_v2(s) : memory_v1(s), "pids", pids(s), "blkio",
		    "ioServiceBytesRecursive",
		    block_entries(s, "blkio.throttle.io_service_bytes_recursive"),
		    "ioServicedRecursive", block_entries(s, "blkio.throttle.io_serviced_recursive"),
		    "hugetlb", "intel_rdt", "network_interfaces");
	free(s);
	return v;
}

/* ---- out of memory ---- */

static int watch_v1(const struct cgroup_dir *d)
{
	AUTO_CLOSE dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	AUTO_CLOSE event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	char text[64];
	struct err ignored;

	if (control < 0 || event < 0)
		return -1;
	(void)snprintf(text, sizeof(text), "%d %d", event, control);
	if (cgroup_write_file(d, "cgroup.event_control", text, &ignored) != ERR_OK)
		return -1;
	return TAKE_FD(event);
}

static int watch_v2(const struct cgroup_dir *d)
{
	AUTO_CLOSE fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[4096];

	if (fd < 0 ||
	    snprintf(path, sizeof(path), "%s/memory.events", d->path) >= (int)sizeof(path) ||
	    inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return -1;
	return TAKE_FD(fd);
}

int cgroup_oom_watch(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cgroup_dir_of(cg, "memory");

	if (!d)
		return -1;
	return d->is_v2 ? watch_v2(d) : watch_v1(d);
}

bool cgroup_oom_read(const struct cgroup *cg, int watch)
{
	const struct cgroup_dir *d = cgroup_dir_of(cg, "memory");
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n = read(watch, buf, sizeof(buf));

	/* v1 also wakes the descriptor when the group goes. */
	if (n <= 0 || !d || access(d->path, F_OK) < 0)
		return false;
	if (!d->is_v2)
		return true;
	return cgroup_read(d, "memory.events", buf, sizeof(buf)) && keyed(buf, "oom_kill") > 0;
}
