#include "runtime/oci/run/rdt.h"

#include <errno.h>
#include <sys/vfs.h>

#include "base/fd.h"

#define ROOT "/sys/fs/resctrl"
#define RESCTRL_MAGIC 0x7655821
#define SCHEMATA_BYTES_MAX 65536

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "linux.intelRdt: no memory");
}

static enum err_kind write_to(const char *dir, const char *file, const char *text, struct err *e)
{
	AUTO_CLOSE d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (d < 0)
		return err_sys(e, __func__, "linux.intelRdt: open %s", dir);
	k = fd_open_at(d, file, O_WRONLY, 0, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, text, strlen(text), file, e);
	return k == ERR_OK ? k : err_wrap(e, "linux.intelRdt");
}

/* config-linux.md: a group that is there already must say what is asked for. */
static enum err_kind compare(const char *dir, const char *want, struct err *e)
{
	AUTO_CLOSE d = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	struct str rest, line;
	enum err_kind k;

	sbuf_init(&b, SCHEMATA_BYTES_MAX);
	k = fd_open_at(d, "schemata", O_RDONLY, 0, &fd, e);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &b, "schemata", e);
	if (k != ERR_OK)
		return err_wrap(e, "linux.intelRdt");
	for (rest = (struct str){ b.p, b.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		while (line.n && line.p[0] == ' ')
			line = (struct str){ line.p + 1, line.n - 1 };
		if (str_eq(line, str_of(want)))
			return ERR_OK;
	}
	return err_set(e, ERR_INVALID, __func__,
		       "linux.intelRdt: the group %s is there with another schema than \"%.60s\"",
		       dir, want);
}

static enum err_kind apply(const char *dir, const char *line, bool is_new, struct err *e)
{
	char text[1024];

	if (!line || !line[0])
		return ERR_OK;
	if (!is_new)
		return compare(dir, line, e);
	if (snprintf(text, sizeof(text), "%s\n", line) >= (int)sizeof(text))
		return err_set(e, ERR_TOO_LARGE, __func__, "linux.intelRdt: a schema is too long");
	return write_to(dir, "schemata", text, e);
}

static enum err_kind apply_all(const struct spec_rdt *r, const char *dir, bool is_new,
			       struct err *e)
{
	enum err_kind k = apply(dir, r->l3_cache_schema, is_new, e);

	if (k == ERR_OK)
		k = apply(dir, r->mem_bw_schema, is_new, e);
	for (size_t i = 0; k == ERR_OK && i < r->schemata.n; i++)
		k = apply(dir, r->schemata.v[i], is_new, e);
	return k;
}

static enum err_kind monitor(const struct spec_rdt *r, struct state *st, const char *dir,
			     const char *pid, struct arena *a, struct err *e)
{
	const char *path;

	if (!r->enable_monitoring)
		return ERR_OK;
	path = arena_printf(a, "%s/mon_groups/%s", dir, st->id);
	if (!path)
		return no_memory(e);
	if (mkdir(path, 0755) < 0)
		return err_sys(e, __func__, "linux.intelRdt.enableMonitoring: make %s", path);
	st->rdt_monitor = path;
	return write_to(path, "tasks", pid, e);
}

static enum err_kind make_group(const struct spec_rdt *r, struct state *st, const char *dir,
				bool *is_new, struct err *e)
{
	bool has_schema = r->l3_cache_schema || r->mem_bw_schema || r->schemata.n;

	*is_new = false;
	if (r->clos_id && strcmp(r->clos_id, "/") == 0)
		return ERR_OK;
	if (r->clos_id && !has_schema) {
		if (access(dir, F_OK) < 0)
			return err_sys(e, __func__, "linux.intelRdt.closID: %s", dir);
		return ERR_OK;
	}
	if (mkdir(dir, 0755) == 0) {
		*is_new = true;
		if (!r->clos_id)
			st->rdt_group = dir;
		return ERR_OK;
	}
	return errno == EEXIST && r->clos_id
		   ? ERR_OK
		   : err_sys(e, __func__, "linux.intelRdt: make group %s", dir);
}

enum err_kind rdt_make(const struct spec_rdt *r, struct state *st, pid_t pid, struct arena *a,
		       struct err *e)
{
	struct statfs fs;
	const char *dir, *pid_text;
	bool is_new;
	enum err_kind k;

	if (!r)
		return ERR_OK;
	if (statfs(ROOT, &fs) < 0 || (unsigned long)fs.f_type != RESCTRL_MAGIC)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "linux.intelRdt: no resctrl filesystem is mounted on " ROOT);
	if (r->clos_id && strcmp(r->clos_id, "/") == 0)
		dir = ROOT;
	else
		dir = arena_printf(a, ROOT "/%s", r->clos_id ? r->clos_id : st->id);
	pid_text = arena_printf(a, "%d", pid);
	if (!dir || !pid_text)
		return no_memory(e);
	k = make_group(r, st, dir, &is_new, e);
	if (k == ERR_OK)
		k = apply_all(r, dir, is_new, e);
	if (k == ERR_OK)
		k = write_to(dir, "tasks", pid_text, e);
	return k == ERR_OK ? monitor(r, st, dir, pid_text, a, e) : k;
}

void rdt_remove(const struct state *st)
{
	if (st->rdt_monitor)
		(void)rmdir(st->rdt_monitor); /* gone with the group otherwise */
	if (st->rdt_group)
		(void)rmdir(st->rdt_group);
}
