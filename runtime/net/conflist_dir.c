#include <errno.h>

#include "base/fd.h"
#include "runtime/net/conflist_impl.h"

#define FILES_MAX 4096

struct files {
	struct str ending;
	char **names;
	size_t n;
};

static void files_clear(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->names[i]);
	free(f->names);
	*f = (struct files){ 0 };
}
#define AUTO_FILES CLEANUP(files_clear) struct files

static bool ends_with(struct str s, struct str ending)
{
	return s.n >= ending.n && str_eq((struct str){ s.p + s.n - ending.n, ending.n }, ending);
}

static enum err_kind add_file(void *arg, const char *name, struct err *e)
{
	struct files *f = arg;
	struct str s = str_of(name);
	char **names;

	if (!ends_with(s, STR(".conflist")) && !ends_with(s, STR(".conf")) &&
	    !ends_with(s, STR(".json")))
		return ERR_OK;
	if (f->n == FILES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d configurations",
			       FILES_MAX);
	names = reallocarray(f->names, f->n + 1, sizeof(*names));
	if (!names)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for file names");
	f->names = names;
	f->names[f->n] = strdup(name);
	if (!f->names[f->n])
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for file names");
	f->n++;
	return ERR_OK;
}

static bool is_list(const char *name)
{
	return ends_with(str_of(name), STR(".conflist"));
}

/* Lists first, then single configurations; by name within. */
static int by_order(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;

	if (is_list(x) != is_list(y))
		return is_list(x) ? -1 : 1;
	return strcmp(x, y);
}

static enum err_kind open_dir(int at, const char *dir, int *ret, struct err *e)
{
	/* An administrator may have made it a link to somewhere else. */
	*ret = sys_openat(at, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return *ret >= 0 ? ERR_OK : err_sys(e, __func__, "open directory %s", dir);
}

/* Nothing is there for a directory that is not. */
static enum err_kind list_files(int at, const char *dir, struct files *ret, int *ret_fd,
				struct err *e)
{
	enum err_kind k = open_dir(at, dir, ret_fd, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK)
		k = fd_list_dir(*ret_fd, ".", add_file, ret, e);
	if (k == ERR_OK && ret->n)
		qsort(ret->names, ret->n, sizeof(*ret->names), by_order);
	return k;
}

static enum err_kind read_text(int dir, const char *name, struct sbuf *b, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, __func__, "open %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, __func__, "%s is not a file", name);
	return fd_read_rest(fd, b, name, e);
}

static enum err_kind append_file(int dir, const char *name, struct conflist *l, struct err *e)
{
	AUTO_JV *plugin = NULL;
	AUTO_SBUF text;
	enum err_kind k;

	sbuf_init(&text, CONFLIST_BYTES_MAX);
	k = read_text(dir, name, &text, e);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ text.p, text.n }, CONFLIST_JSON_DEPTH - 2,
				    &plugin, e);
	if (k == ERR_OK)
		k = conflist_append(l, plugin, e);
	return k == ERR_OK ? k : err_wrap(e, "%s", name);
}

/* C3 */
static enum err_kind append_files(int dir, struct conflist *l, struct err *e)
{
	AUTO_FILES files = { 0 };
	AUTO_CLOSE sub = -1;
	size_t before = conflist_count(l);
	enum err_kind k = list_files(dir, l->name.s, &files, &sub, e);

	for (size_t i = 0; k == ERR_OK && i < files.n; i++) {
		if (ends_with(str_of(files.names[i]), STR(".conf")))
			k = append_file(sub, files.names[i], l, e);
	}
	if (k == ERR_OK && conflist_count(l) > before)
		k = conflist_rewrite(l, e);
	return k == ERR_OK ? k : err_wrap(e, "directory %s", l->name.s);
}

static enum err_kind load_list(int dir, struct str text, struct conflist *ret, struct err *e)
{
	bool only;
	enum err_kind k = conflist_read(text, ret, &only, e);

	if (k == ERR_OK && !only)
		k = append_files(dir, ret, e);
	return k == ERR_OK ? conflist_need_plugins(ret, e) : k;
}

static enum err_kind load(int dir, const char *file, struct conflist *ret, struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k;

	*ret = (struct conflist){ 0 };
	sbuf_init(&text, CONFLIST_BYTES_MAX);
	k = read_text(dir, file, &text, e);
	if (k == ERR_OK && is_list(file))
		k = load_list(dir, (struct str){ text.p, text.n }, ret, e);
	else if (k == ERR_OK)
		k = conflist_parse_single((struct str){ text.p, text.n }, ret, e);
	if (k == ERR_OK)
		ret->file = strdup(file);
	if (k == ERR_OK && !ret->file)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", file);
	if (k != ERR_OK)
		conflist_clear(ret);
	return k;
}

enum err_kind conflist_each(const char *dir, conflist_fn *fn, void *arg, struct err *e)
{
	AUTO_FILES files = { 0 };
	AUTO_CLOSE fd = -1;
	enum err_kind k = list_files(AT_FDCWD, dir, &files, &fd, e);

	for (size_t i = 0; k == ERR_OK && i < files.n; i++) {
		AUTO_CONFLIST list = { 0 };
		struct err wrong;
		enum err_kind loaded = load(fd, files.names[i], &list, &wrong);

		k = fn(arg, files.names[i], &list, loaded == ERR_OK ? NULL : &wrong, e);
	}
	return k;
}

struct search {
	const struct net_name *name;
	struct conflist *ret;
	bool found, any_wrong;
	struct err wrong; /* of the first file that is no configuration */
	char wrong_file[64];
};

static enum err_kind match(void *arg, const char *file, struct conflist *list,
			   const struct err *wrong, struct err *e)
{
	struct search *s = arg;

	(void)e;
	if (s->found)
		return ERR_OK;
	if (wrong && !s->any_wrong) {
		s->any_wrong = true;
		s->wrong = *wrong;
		(void)snprintf(s->wrong_file, sizeof(s->wrong_file), "%s", file);
	}
	if (wrong || strcmp(list->name.s, s->name->s) != 0)
		return ERR_OK;
	s->found = true;
	*s->ret = *list;
	*list = (struct conflist){ 0 };
	return ERR_OK;
}

enum err_kind conflist_find(const char *dir, const struct net_name *name, struct conflist *ret,
			    struct err *e)
{
	struct search s = { .name = name, .ret = ret };
	enum err_kind k;

	*ret = (struct conflist){ 0 };
	k = conflist_each(dir, match, &s, e);
	if (k != ERR_OK || s.found)
		return k;
	if (s.any_wrong)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "no network \"%s\" in %s, where %s is no configuration: %.120s",
			       name->s, dir, s.wrong_file, s.wrong.msg);
	return err_set(e, ERR_NOT_FOUND, __func__, "no network \"%s\" in %s", name->s, dir);
}
