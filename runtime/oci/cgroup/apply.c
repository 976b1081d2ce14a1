/* Limits and device rules, written to the files of a container's cgroups. */
#include <errno.h>

#include "base/fd.h"
#include "runtime/oci/cgroup/cgroup.h"
#include "runtime/oci/cgroup/convert.h"
#include "runtime/oci/cgroup/device.h"

static bool file_exists(const struct cgroup_dir *d, const char *file)
{
	char path[4096];

	return snprintf(path, sizeof(path), "%s/%s", d->path, file) < (int)sizeof(path) &&
	       access(path, F_OK) == 0;
}

static enum err_kind write_value(const struct cgroup_dir *d, const struct cgroup_write *w,
				 struct err *e)
{
	const char *file = w->file, *value = w->value;
	char kept[256], first[128];
	enum err_kind k;

	if (w->other_file && file_exists(d, w->other_file)) {
		file = w->other_file;
		value = w->other_value;
	}
	if ((w->flags & CGROUP_WRITE_KEEP_FIRST) && cgroup_read(d, file, first, sizeof(first))) {
		first[strcspn(first, " ")] = '\0';
		(void)snprintf(kept, sizeof(kept), "%s %s", first, value);
		value = kept;
	}
	k = cgroup_write_file(d, file, value, e);
	if (k != ERR_OK && (w->flags & CGROUP_WRITE_OPTIONAL) &&
	    (e->sys == ENOENT || e->sys == EOPNOTSUPP || e->sys == EACCES || e->sys == EINVAL))
		return ERR_OK;
	return k == ERR_OK ? k : err_wrap(e, "%s", w->property);
}

static enum err_kind write_one(const struct cgroup *cg, const struct cgroup_write *w, struct err *e)
{
	const struct cgroup_dir *d = cgroup_dir_of(cg, w->controller);

	if (d && (!d->is_v2 || file_exists(d, w->file) ||
		  (w->other_file && file_exists(d, w->other_file))))
		return write_value(d, w, e);
	if (w->flags & CGROUP_WRITE_OPTIONAL)
		return ERR_OK;
	return err_set(e, ERR_UNSUPPORTED, __func__, "%s: no cgroup has %s here", w->property,
		       d ? w->file : w->controller);
}

/* memory and memory+swap, period and quota: which of them must come first depends on what is set now. */
static enum err_kind write_pair(const struct cgroup *cg, const struct cgroup_write *w,
				struct err *e)
{
	struct err second;
	enum err_kind k = write_one(cg, &w[0], e);

	if (k == ERR_OK)
		return write_one(cg, &w[1], e);
	if (write_one(cg, &w[1], &second) != ERR_OK)
		return k;
	return write_one(cg, &w[0], e);
}

static enum err_kind write_all(const struct cgroup *cg, const struct cgroup_writes *list,
			       struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < list->n; i++) {
		if (list->v[i].flags & CGROUP_WRITE_PAIR) {
			k = write_pair(cg, &list->v[i], e);
			i++;
		} else {
			k = write_one(cg, &list->v[i], e);
		}
	}
	return k;
}

static enum err_kind devices_v1(const struct cgroup_dir *d, const struct device_rules *rules,
				struct err *e)
{
	char line[DEVICE_LINE_MAX];

	for (size_t i = 0; i < rules->n; i++) {
		const char *file = rules->v[i].allow ? "devices.allow" : "devices.deny";
		enum err_kind k =
		    cgroup_write_file(d, file, device_rule_line(&rules->v[i], line), e);

		if (k != ERR_OK)
			return err_wrap(e, "linux.resources.devices");
	}
	return ERR_OK;
}

static enum err_kind devices_v2(const struct cgroup_dir *d, const struct device_rules *rules,
				struct arena *a, struct err *e)
{
	AUTO_CLOSE dir = -1;
	struct bpf_insn *program;
	size_t n;
	enum err_kind k = device_program(rules, a, &program, &n, e);

	if (k == ERR_OK)
		k = fd_open_at(AT_FDCWD, d->path, O_RDONLY | O_DIRECTORY, 0, &dir, e);
	return k == ERR_OK ? device_attach(program, n, dir, e) : k;
}

static enum err_kind apply_devices(const struct cgroup *cg, const struct spec_resources *r,
				   struct arena *a, struct err *e)
{
	const struct cgroup_dir *d = cgroup_dir_of(cg, "devices");
	struct device_rules rules;
	enum err_kind k = device_rules_of(r, a, &rules, e);

	if (k != ERR_OK || rules.n == 0)
		return k;
	if (!d)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "linux.resources.devices: no cgroup controls devices here");
	return d->is_v2 ? devices_v2(d, &rules, a, e) : devices_v1(d, &rules, e);
}

/* hugetlb and unified keys may live in the v2 hierarchy of a hybrid layout. */
static enum err_kind writes_of(const struct cgroup *cg, const struct spec_resources *r,
			       struct arena *a, struct cgroup_writes *ret, struct err *e)
{
	struct spec_resources v1 = *r, v2 = { 0 };
	const struct cgroup_dir *unified = cgroup_dir_of(cg, ""), *huge;
	struct cgroup_writes more;
	enum err_kind k;

	if (cg->is_unified)
		return cgroup_writes_v2(r, a, ret, e);
	huge = cgroup_dir_of(cg, "hugetlb");
	if (unified && unified->is_v2) {
		v2.unified = r->unified;
		v1.unified.n = 0;
	}
	if (huge && huge->is_v2) {
		v2.hugepage_limits = r->hugepage_limits;
		v1.hugepage_limits.n = 0;
	}
	k = cgroup_writes_v1(&v1, a, ret, e);
	if (k == ERR_OK)
		k = cgroup_writes_v2(&v2, a, &more, e);
	if (k == ERR_OK && more.n) {
		struct cgroup_write *all = arena_array(a, ret->n + more.n, sizeof(*all));

		if (!all)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for limits");
		if (ret->n)
			memcpy(all, ret->v, ret->n * sizeof(*all));
		memcpy(all + ret->n, more.v, more.n * sizeof(*all));
		ret->v = all;
		ret->n += more.n;
	}
	return k;
}

enum err_kind cgroup_apply(const struct cgroup *cg, const struct spec_resources *r, struct arena *a,
			   struct err *e)
{
	struct cgroup_writes list;
	enum err_kind k = writes_of(cg, r, a, &list, e);

	if (k == ERR_OK)
		k = write_all(cg, &list, e);
	return k == ERR_OK ? apply_devices(cg, r, a, e) : k;
}

enum err_kind cgroup_check_usage(const struct cgroup *cg, const struct spec_memory *m,
				 struct err *e)
{
	const struct cgroup_dir *d = cgroup_dir_of(cg, "memory");
	char text[64];
	struct str digits;
	uint64_t usage;

	if (!m->check_before_update.v || !m->limit.set || m->limit.v <= 0 || !d)
		return ERR_OK;
	if (!cgroup_read(d, d->is_v2 ? "memory.current" : "memory.usage_in_bytes", text,
			 sizeof(text)))
		return ERR_OK;
	digits = str_of(text);
	if (scan_u64(&digits, UINT64_MAX, &usage) && usage > (uint64_t)m->limit.v)
		return err_set(e, ERR_INVALID, __func__,
			       "linux.resources.memory.limit: %lld is less than the %llu in use",
			       (long long)m->limit.v, (unsigned long long)usage);
	return ERR_OK;
}
