#include "runtime/oci/cgroup/systemd.h"

#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/cgroup/convert.h"

#define PROPERTIES_MAX 64
#define ERROR_BYTES_MAX 4096
#define USEC_PER_SEC 1000000u
#define PERIOD_US_DEFAULT 100000u

extern char **environ;

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a systemd unit");
}

enum err_kind systemd_name_of(const char *path, const char *id, bool is_root, struct arena *a,
			      struct systemd_name *ret, struct err *e)
{
	struct str slice = { 0 }, prefix = STR("berth"), name = str_of(id), rest;

	if (path && path[0] &&
	    (!str_cut(str_of(path), ':', &slice, &rest) || !str_cut(rest, ':', &prefix, &name) ||
	     !name.n || memchr(name.p, ':', name.n) || strchr(path, '/')))
		return err_set(e, ERR_INVALID, __func__,
			       "linux.cgroupsPath: \"%.100s\" is not slice:prefix:name, which the "
			       "systemd cgroup manager needs",
			       path);
	if (!slice.n)
		slice = is_root ? STR("system.slice") : STR("user.slice");
	ret->slice = arena_text(a, slice);
	ret->unit = arena_printf(a, "%.*s%s%.*s.scope", STR_FMT(prefix), prefix.n ? "-" : "",
				 STR_FMT(name));
	return ret->slice && ret->unit ? ERR_OK : no_memory(e);
}

const char *systemd_slice_path(const char *slice, struct arena *a)
{
	static const char suffix[] = ".slice";
	size_t n = strlen(slice), end = sizeof(suffix) - 1;
	AUTO_SBUF b;

	sbuf_init(&b, 65536);
	if (n <= end || strcmp(slice + n - end, suffix) != 0 || strchr(slice, '/'))
		return NULL;
	n -= end;
	if (n == 1 && slice[0] == '-')
		return "";
	for (size_t i = 0; i <= n; i++) {
		if (i < n && slice[i] != '-')
			continue;
		if (i == 0 || slice[i - 1] == '-')
			return NULL;
		sbuf_addf(&b, "/%.*s%s", (int)i, slice, suffix);
	}
	return b.failed ? NULL : arena_text(a, (struct str){ b.p, b.n });
}

/* ---- properties ---- */

static void put_u64(struct texts *t, struct arena *a, const char *name, uint64_t v)
{
	char *text = arena_printf(a, "t:%s=%" PRIu64, name, v);

	if (text && t->n < PROPERTIES_MAX)
		t->v[t->n++] = text;
}

static void put_limit(struct texts *t, struct arena *a, const char *name, int64_t v)
{
	put_u64(t, a, name, v < 0 ? UINT64_MAX : (uint64_t)v);
}

static void put_text(struct texts *t, struct arena *a, const char *kind, const char *name,
		     const char *v)
{
	char *text = arena_printf(a, "%s:%s=%s", kind, name, v);

	if (text && t->n < PROPERTIES_MAX)
		t->v[t->n++] = text;
}

static void cpu_properties(const struct spec_cpu *c, bool is_unified, struct arena *a,
			   struct texts *t)
{
	if (c->shares.set && c->shares.v) {
		if (is_unified)
			put_u64(t, a, "CPUWeight", cgroup_cpu_weight(c->shares.v));
		else
			put_u64(t, a, "CPUShares", c->shares.v);
	}
	if (c->period.set && c->period.v)
		put_u64(t, a, "CPUQuotaPeriodUSec", c->period.v);
	if (c->quota.set && c->quota.v > 0) {
		uint64_t period = c->period.set && c->period.v ? c->period.v : PERIOD_US_DEFAULT;
		uint64_t per_sec = (uint64_t)c->quota.v * USEC_PER_SEC / period;

		/* systemd rounds down to 10 ms itself; up, so that nobody gets less than asked for */
		put_u64(t, a, "CPUQuotaPerSecUSec", (per_sec + 9999) / 10000 * 10000);
	} else if (c->quota.set && c->quota.v < 0) {
		put_u64(t, a, "CPUQuotaPerSecUSec", UINT64_MAX);
	}
	if (is_unified && c->cpus && c->cpus[0])
		put_text(t, a, "m", "AllowedCPUs", c->cpus);
	if (is_unified && c->mems && c->mems[0])
		put_text(t, a, "m", "AllowedMemoryNodes", c->mems);
}

static void memory_properties(const struct spec_memory *m, bool is_unified, struct arena *a,
			      struct texts *t)
{
	int64_t swap;

	if (m->limit.set && m->limit.v)
		put_limit(t, a, is_unified ? "MemoryMax" : "MemoryLimit", m->limit.v);
	if (!is_unified)
		return;
	if (m->reservation.set && m->reservation.v)
		put_limit(t, a, "MemoryLow", m->reservation.v);
	if (m->swap.set && m->swap.v &&
	    cgroup_swap_max(m->swap.v, m->limit.set ? m->limit.v : 0, &swap))
		put_limit(t, a, "MemorySwapMax", swap);
}

/* What systemd does not know of it leaves alone: the group is delegated, and cgroup_apply() writes the rest. */
enum err_kind systemd_properties(const struct spec_resources *r, bool is_unified, struct arena *a,
				 struct texts *ret, struct err *e)
{
	*ret = (struct texts){ .v = arena_array(a, PROPERTIES_MAX + 1, sizeof(*ret->v)) };
	if (!ret->v)
		return no_memory(e);
	if (!r)
		return ERR_OK;
	if (r->cpu)
		cpu_properties(r->cpu, is_unified, a, ret);
	if (r->memory)
		memory_properties(r->memory, is_unified, a, ret);
	if (r->pids && r->pids->limit.set)
		put_limit(ret, a, "TasksMax", r->pids->limit.v);
	if (r->block_io && r->block_io->weight.set && r->block_io->weight.v) {
		if (is_unified)
			put_u64(ret, a, "IOWeight", cgroup_io_weight(r->block_io->weight.v));
		else
			put_u64(ret, a, "BlockIOWeight", r->block_io->weight.v);
	}
	return ERR_OK;
}

/* ---- the helper ---- */

static enum err_kind result_of(const char *helper, pid_t pid, int err_fd, struct err *e)
{
	AUTO_SBUF text;
	struct err ignored;
	int status = 0;

	sbuf_init(&text, ERROR_BYTES_MAX);
	(void)!fd_read_rest(err_fd, &text, "errors", &ignored);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return ERR_OK;
	if (text.n && text.p[text.n - 1] == '\n')
		text.p[--text.n] = '\0';
	return err_set(e, ERR_IO, __func__, "systemd: %.200s", text.n ? text.p : helper);
}

static enum err_kind run(const char *helper, const char *const *argv, struct err *e)
{
	posix_spawn_file_actions_t actions;
	AUTO_CLOSE in = -1;
	AUTO_CLOSE out = -1;
	int pipe_fds[2], r;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "pipe");
	in = pipe_fds[0];
	out = pipe_fds[1];
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&actions, out, 2);
	if (r == 0)
		r = posix_spawn(&pid, helper, &actions, NULL, (char *const *)(uintptr_t)argv,
				environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	fd_close(&out);
	if (r != 0) {
		errno = r;
		return err_sys(e, __func__, "--systemd-cgroup: run %s", helper);
	}
	return result_of(helper, pid, in, e);
}

/* HELPER COMMAND UNIT [EXTRA...] [PROPERTY...] */
static enum err_kind run_with(const char *helper, const char *const *head, size_t head_n,
			      const struct texts *properties, struct arena *a, struct err *e)
{
	size_t n = properties ? properties->n : 0;
	const char **argv = arena_array(a, head_n + n + 1, sizeof(*argv));

	if (!argv)
		return no_memory(e);
	memcpy(argv, head, head_n * sizeof(*argv));
	for (size_t i = 0; i < n; i++)
		argv[head_n + i] = properties->v[i];
	return run(helper, argv, e);
}

static enum err_kind fill(const struct layout *l, const char *slice_path,
			  const struct systemd_name *name, struct arena *a, struct cgroup *ret,
			  struct err *e)
{
	ret->n = 0;
	ret->is_unified = l->is_unified;
	ret->unit = name->unit;
	ret->slice = name->slice;
	for (size_t i = 0; i < l->n; i++) {
		const struct hierarchy *h = &l->v[i];
		struct cgroup_dir *d = &ret->dirs[ret->n++];

		*d = (struct cgroup_dir){ .controllers = h->controllers,
					  .mount = h->mount,
					  .path = arena_printf(a, "%s%s/%s", h->mount, slice_path,
							       name->unit),
					  .is_v2 = h->is_v2 };
		if (!d->path)
			return no_memory(e);
	}
	return ERR_OK;
}

enum err_kind cgroup_systemd_make(const char *helper, const struct layout *l, const struct spec *s,
				  const char *id, pid_t pid, struct arena *a, struct cgroup *ret,
				  struct err *e)
{
	struct systemd_name name;
	struct texts properties;
	const char *slice_path;
	char pid_text[24];
	enum err_kind k = systemd_name_of(s->linux_.cgroups_path, id, geteuid() == 0, a, &name, e);

	if (k != ERR_OK)
		return k;
	slice_path = systemd_slice_path(name.slice, a);
	if (!slice_path)
		return err_set(e, ERR_INVALID, __func__,
			       "linux.cgroupsPath: \"%.100s\" is no slice", name.slice);
	(void)snprintf(pid_text, sizeof(pid_text), "%d", pid);
	k = systemd_properties(s->linux_.resources, l->is_unified, a, &properties, e);
	if (k == ERR_OK)
		k = run_with(
		    helper,
		    (const char *const[]){ helper, "start", name.unit, name.slice, pid_text }, 5,
		    &properties, a, e);
	if (k == ERR_OK)
		k = fill(l, slice_path, &name, a, ret, e);
	if (k == ERR_OK)
		k = cgroup_make(ret, e); /* v1: systemd makes its own hierarchy's group only */
	return k == ERR_OK ? cgroup_join(ret, pid, e) : k;
}

enum err_kind cgroup_systemd_update(const char *helper, const struct cgroup *cg,
				    const struct spec_resources *r, struct arena *a, struct err *e)
{
	struct texts properties;
	enum err_kind k = systemd_properties(r, cg->is_unified, a, &properties, e);

	if (k != ERR_OK || properties.n == 0)
		return k;
	return run_with(helper, (const char *const[]){ helper, "set", cg->unit }, 3, &properties, a,
			e);
}

enum err_kind cgroup_systemd_stop(const char *helper, const struct cgroup *cg, struct err *e)
{
	const char *const argv[] = { helper, "stop", cg->unit, NULL };

	return run(helper, argv, e);
}
