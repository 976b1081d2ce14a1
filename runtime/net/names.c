#include "runtime/net/names.h"

#include <errno.h>

#include "base/fd.h"
#include "runtime/net/attachments.h"
#include "runtime/net/wants.h"

#define DIR_NAME "hosts"
#define FILE_MAX (1024u * 1024)
#define BEGIN_MARK "# names on its networks, by berth\n"
#define END_MARK "# end of names by berth\n"
#define NAMES_MAX 64
#define SHORT_ID 12

static enum err_kind open_dir(const struct cni_options *o, bool make, int *ret, struct err *e)
{
	AUTO_CLOSE state = -1;
	AUTO_CLOSE dir = -1;
	enum err_kind k;

	if (make && sys_mkdirat(AT_FDCWD, o->state_dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", o->state_dir);
	k = fd_open_at(AT_FDCWD, o->state_dir, O_RDONLY | O_DIRECTORY, 0, &state, e);
	if (k == ERR_OK && make)
		k = fd_mkdir_at(state, DIR_NAME, 0711, e);
	if (k == ERR_OK)
		k = fd_open_at(state, DIR_NAME, O_RDONLY | O_DIRECTORY, 0, &dir, e);
	if (k == ERR_OK)
		k = fd_lock(dir, "the directory of hosts files", e);
	if (k == ERR_OK)
		*ret = TAKE_FD(dir);
	return k;
}

/* ---- names of one attachment ---- */

struct name_list {
	const char *p[NAMES_MAX];
	size_t n;
	char short_id[SHORT_ID + 1];
};

static void add_name(struct name_list *list, const struct jv *v)
{
	struct str s;

	if (list->n < NAMES_MAX && jv_text(v, &s) && is_host_name(s))
		list->p[list->n++] = s.p;
}

static void add_names(struct name_list *list, const struct jv *array)
{
	for (size_t i = 0; i < jv_count(array); i++)
		add_name(list, jv_at(array, i));
}

/* Aliases are a list, or a list for each network (wants.h). */
static void names_of(const struct cache_entry *c, struct name_list *list)
{
	const struct jv *aliases = jv_member(c->capabilities, "aliases");
	struct str name;

	list->n = 0;
	if (net_args_find(c->args, STR("K8S_POD_NAME"), &name) && is_host_name(name))
		list->p[list->n++] = name.p;
	add_names(list, jv_is_array(aliases) ? aliases : jv_member(aliases, c->network.s));
	(void)snprintf(list->short_id, sizeof(list->short_id), "%.*s", SHORT_ID, c->container.s);
	if (list->n < NAMES_MAX && is_host_name(str_of(list->short_id)))
		list->p[list->n++] = list->short_id;
}

static void write_attachment(const struct cache_entry *c, struct sbuf *out)
{
	struct name_list names;
	struct err ignored;
	AUTO_RESULT r;

	result_init(&r);
	names_of(c, &names);
	if (c->incomplete || !c->result ||
	    result_read(c->result, CNI_VERSION_NEWEST, &r, &ignored) != ERR_OK)
		return;
	for (size_t i = 0; i < r.n_ips; i++)
		hosts_add(out, &r.ips[i].address, names.p, names.n);
}

/* ---- files ---- */

/* The link is in a directory of ours; what it leads to must be a file itself. */
static enum err_kind open_hosts(int dir, const char *name, int flags, int *ret, struct err *e)
{
	char target[NAMES_PATH_MAX];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n < 0)
		return fd_open_at(dir, name, flags, 0644, ret, e);
	target[n] = '\0';
	return fd_open_at(AT_FDCWD, target, flags, 0644, ret, e);
}

static bool shares_network(const struct attachments *all, const struct cache_entry *other,
			   const struct container_id *container)
{
	for (size_t i = 0; i < all->n; i++) {
		if (strcmp(all->p[i].container.s, container->s) == 0 &&
		    strcmp(all->p[i].network.s, other->network.s) == 0)
			return true;
	}
	return false;
}

static void write_block(const struct attachments *all, const struct container_id *container,
			struct sbuf *out)
{
	sbuf_add_str(out, STR(BEGIN_MARK));
	for (size_t i = 0; i < all->n; i++) {
		if (shares_network(all, &all->p[i], container))
			write_attachment(&all->p[i], out);
	}
	sbuf_add_str(out, STR(END_MARK));
}

/* Everything but what is between the marks, with the new part in its place. */
static void replace_block(struct str old, const struct sbuf *block, struct sbuf *out)
{
	struct str begin = STR(BEGIN_MARK), end = STR(END_MARK);
	const char *from = old.n ? memmem(old.p, old.n, begin.p, begin.n) : NULL;
	const char *to = from ? memmem(from, (size_t)(old.p + old.n - from), end.p, end.n) : NULL;

	if (!to) {
		sbuf_add_str(out, old);
		if (old.n && old.p[old.n - 1] != '\n')
			sbuf_add(out, "\n", 1);
		sbuf_add(out, block->p, block->n);
		return;
	}
	to += end.n;
	sbuf_add(out, old.p, (size_t)(from - old.p));
	sbuf_add(out, block->p, block->n);
	sbuf_add(out, to, (size_t)(old.p + old.n - to));
}

/* In place: the file is mounted in the container, so it must stay the same one. */
static enum err_kind write_in_place(int dir, const char *name, const struct sbuf *text,
				    struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (text->failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "hosts file of %s is too large", name);
	k = open_hosts(dir, name, O_WRONLY, &fd, e);
	if (k == ERR_OK)
		k = fd_pwrite_all(fd, text->p, text->n, 0, name, e);
	if (k == ERR_OK && sys_ftruncate(fd, (off_t)text->n) < 0)
		k = err_sys(e, __func__, "cut hosts file of %s", name);
	return k;
}

struct refreshing {
	int dir;
	const struct attachments *all;
};

static enum err_kind refresh_one(const struct refreshing *w, const struct container_id *container,
				 struct err *e)
{
	AUTO_SBUF old, block, text;
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	sbuf_init(&old, FILE_MAX);
	sbuf_init(&block, FILE_MAX);
	sbuf_init(&text, 2 * FILE_MAX);
	k = open_hosts(w->dir, container->s, O_RDONLY, &fd, e);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &old, container->s, e);
	if (k == ERR_NOT_FOUND)
		return ERR_OK; /* it takes no part */
	if (k != ERR_OK)
		return k;
	write_block(w->all, container, &block);
	if (block.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many names for %s", container->s);
	replace_block((struct str){ old.p ? old.p : "", old.n }, &block, &text);
	return write_in_place(w->dir, container->s, &text, e);
}

/* In the place of what an earlier life of the container left. */
static enum err_kind make_place(int dir, const char *name, const char *file, struct err *e)
{
	if (sys_unlinkat(dir, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove hosts file of %s", name);
	if (file && symlinkat(file, dir, name) < 0)
		return err_sys(e, __func__, "link hosts file of %s", name);
	return ERR_OK;
}

enum err_kind names_create(const struct cni_options *o, const struct container_id *container,
			   const char *file, struct str head, char ret_path[static NAMES_PATH_MAX],
			   struct err *e)
{
	AUTO_ATTACHMENTS all = { 0 };
	AUTO_CLOSE dir = -1;
	AUTO_CLOSE fd = -1;
	enum err_kind k = open_dir(o, true, &dir, e);

	if (k == ERR_OK)
		k = make_place(dir, container->s, file, e);
	if (k == ERR_OK)
		k = open_hosts(dir, container->s, O_WRONLY | O_CREAT | O_TRUNC, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, head.p, head.n, container->s, e);
	if (k == ERR_OK)
		k = attachments_find(o, NULL, NULL, &all, e);
	if (k == ERR_OK)
		k = refresh_one(&(struct refreshing){ dir, &all }, container, e);
	if (file)
		(void)snprintf(ret_path, NAMES_PATH_MAX, "%s", file);
	else
		(void)snprintf(ret_path, NAMES_PATH_MAX, "%s/" DIR_NAME "/%s", o->state_dir,
			       container->s);
	return k;
}

enum err_kind names_remove(const struct cni_options *o, const struct container_id *container,
			   struct err *e)
{
	AUTO_CLOSE dir = -1;
	enum err_kind k = open_dir(o, false, &dir, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK && sys_unlinkat(dir, container->s, 0) < 0 && errno != ENOENT)
		k = err_sys(e, __func__, "remove hosts file of %s", container->s);
	return k;
}

enum err_kind names_refresh(const struct cni_options *o, const struct net_name *network,
			    const struct container_id *left, struct err *e)
{
	AUTO_ATTACHMENTS all = { 0 };
	AUTO_CLOSE dir = -1;
	struct refreshing w = { .all = &all };
	enum err_kind k = open_dir(o, false, &dir, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK; /* nobody takes part */
	if (k == ERR_OK)
		k = attachments_find(o, NULL, NULL, &all, e);
	w.dir = dir;
	if (k != ERR_OK)
		return k;
	/* A container may have made its file too large for us; the others are written all the same. */
	for (size_t i = 0; i < all.n; i++) {
		struct err mine;

		if (strcmp(all.p[i].network.s, network->s) != 0 ||
		    refresh_one(&w, &all.p[i].container, &mine) == ERR_OK || k != ERR_OK)
			continue;
		k = mine.kind;
		*e = mine;
	}
	return k == ERR_OK && left ? refresh_one(&w, left, e) : k;
}
