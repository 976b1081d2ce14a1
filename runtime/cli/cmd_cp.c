/* cp: files into and out of containers. */
#include <errno.h>

#include "runtime/cli/ctl.h"
#include "runtime/cli/report.h"
#include "runtime/container/idmount.h"
#include "runtime/image/copy.h"
#include "runtime/image/tar.h"
#include "runtime/image/unpack.h"

#define PROC_PATH_MAX sizeof("/proc/self/fd/-2147483648")

struct cp_args {
	bool archive, follow, quiet;
};

/* What an argument names. */
struct place {
	const char *container;    /* NULL: this machine */
	const struct idmaps *ids; /* of the container; NULL */
	bool is_stream;           /* "-" */
	const char *text;         /* the path as it was typed */
	int root;         /* where it begins: the container's root, "/", or the working directory */
	uint64_t resolve; /* how names below it are resolved */
	char path[MEMBER_PATH_MAX]; /* without ".", ".." and slashes too many; "" is root itself */
	bool contents;              /* "dir/.": what is in it, not itself */
	bool must_be_dir;           /* "dir/" */
};

/* --- Arguments --- */

/* By what is written, as others do: "a/../b" is "b" even if a is a link. */
static bool clean(struct str in, char ret[static MEMBER_PATH_MAX])
{
	size_t n = 0;
	struct str part;

	ret[0] = '\0';
	while (in.n) {
		(void)str_cut(in, '/', &part, &in);
		if (part.n == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR(".."))) {
			while (n > 0 && ret[--n] != '/')
				;
			ret[n] = '\0';
			continue;
		}
		if (part.n > MEMBER_NAME_MAX || n + part.n + 2 > MEMBER_PATH_MAX)
			return false;
		n += (size_t)snprintf(ret + n, MEMBER_PATH_MAX - n, "%s%.*s", n ? "/" : "",
				      STR_FMT(part));
	}
	return true;
}

static bool ends_in(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && strcmp(s + n - m, suffix) == 0;
}

static enum err_kind take_path(struct cli *c, struct place *p, const char *text, struct err *e)
{
	const char *whole = text;
	char *here;

	p->text = text;
	p->contents = ends_in(text, "/.") || strcmp(text, ".") == 0;
	p->must_be_dir = p->contents || ends_in(text, "/");
	if (!p->container && text[0] != '/') {
		here = arena_get(&c->arena, MEMBER_PATH_MAX);
		if (!here || !getcwd(here, MEMBER_PATH_MAX))
			return err_sys(e, __func__, "the working directory");
		whole = arena_printf(&c->arena, "%s/%s", here, text);
	}
	if (!whole || !*text || !clean(str_of(whole), p->path))
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is no path", text);
	return ERR_OK;
}

/* "CONTAINER:PATH"; what begins with a dot or a slash is a path. */
static enum err_kind take_place(struct cli *c, const char *arg, struct place *p, struct err *e)
{
	const char *colon = arg[0] == '.' || arg[0] == '/' ? NULL : strchr(arg, ':');

	p->is_stream = strcmp(arg, "-") == 0;
	if (p->is_stream)
		return ERR_OK;
	if (!colon)
		return take_path(c, p, arg, e);
	p->container = arena_text(&c->arena, (struct str){ arg, (size_t)(colon - arg) });
	if (!p->container)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	p->resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
	return take_path(c, p, colon + 1, e);
}

/* --- Files --- */

/* ERR_NOT_FOUND if it is not there.  O_PATH, or open for reading where there is something to read. */
static enum err_kind open_place(const struct place *p, bool follow, bool read, int *ret,
				struct stat *s, struct err *e)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW),
				.resolve = p->resolve };
	AUTO_CLOSE fd = sys_openat2(p->root, *p->path ? p->path : ".", &how);
	char self[PROC_PATH_MAX];

	if (fd < 0 || fstat(fd, s) < 0)
		return err_sys(e, __func__, "%s", p->text);
	if (!read || !(S_ISREG(s->st_mode) || S_ISDIR(s->st_mode))) {
		*ret = TAKE_FD(fd);
		return ERR_OK;
	}
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	*ret = sys_openat(AT_FDCWD, self, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "%s", p->text) : ERR_OK;
}

static const char *base_of(const struct place *p)
{
	const char *slash = strrchr(p->path, '/');

	return slash ? slash + 1 : p->path;
}

/*
 * The path below to->root that the source gets: in a directory by its own name, else by the destination's; *ret_contents:
 * what is in it goes there, without it.
 */
static enum err_kind choose_name(const struct place *from, bool from_is_dir, const struct place *to,
				 char ret[static MEMBER_PATH_MAX], bool *ret_contents,
				 struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct stat s;
	struct err missing;
	enum err_kind k = open_place(to, true, false, &fd, &s, &missing);

	*ret_contents = from->contents || (from_is_dir && !*from->path);
	if (k == ERR_NOT_FOUND) {
		if (to->must_be_dir && !from_is_dir)
			return err_set(e, k, __func__, "there is no directory %s", to->text);
		(void)str_copy(str_of(to->path), ret, MEMBER_PATH_MAX);
		*ret_contents = false; /* it is made, with what is in it */
		return ERR_OK;
	}
	if (k != ERR_OK) {
		*e = missing;
		return k;
	}
	if (!S_ISDIR(s.st_mode) && (from_is_dir || to->must_be_dir))
		return err_set(e, ERR_INVALID, __func__, "%s is no directory", to->text);
	if (!S_ISDIR(s.st_mode) || *ret_contents)
		(void)str_copy(str_of(to->path), ret, MEMBER_PATH_MAX);
	else if (snprintf(ret, MEMBER_PATH_MAX, "%s%s%s", to->path, *to->path ? "/" : "",
			  base_of(from)) >= MEMBER_PATH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "a path longer than 4,095 bytes");
	return ERR_OK;
}

/* The directory that something new goes into must be there: trees would make it. */
static enum err_kind check_parent(const struct place *to, const char *path, struct err *e)
{
	struct place parent = *to;
	AUTO_CLOSE fd = -1;
	struct str dir, name;
	struct stat s;

	member_split(str_of(path), &dir, &name);
	(void)str_copy(dir, parent.path, sizeof(parent.path));
	return open_place(&parent, true, false, &fd, &s, e);
}

/* --- Into a tree --- */

static struct tree_options tree_options_of(const struct cp_args *a, const struct place *to)
{
	/* Devices are rights, too: without --archive they are left out, as where there can be none. */
	return (struct tree_options){ .form = TREE_COPY,
				      .in_userns = !a->archive || cli_is_in_userns(),
				      .umask = CLI_UMASK,
				      .ids = to->ids };
}

static enum err_kind copy_files(const struct cp_args *a, const struct place *from,
				const struct place *to, struct err *e)
{
	AUTO_TREE *tree = NULL;
	AUTO_CLOSE fd = -1;
	struct copy_into into = { .fd = -1 };
	struct pack_sink sink = copy_sink(&into);
	struct pack_options o = { .is_reowned = !a->archive, .ids = from->ids };
	struct tree_options options = tree_options_of(a, to);
	struct tree_stats stats = { 0 };
	char path[MEMBER_PATH_MAX];
	struct stat s;
	bool contents;
	enum err_kind k = open_place(from, a->follow, true, &fd, &s, e);

	if (!to->container) {
		o.uid = geteuid();
		o.gid = getegid();
	}
	if (k == ERR_OK && from->must_be_dir && !S_ISDIR(s.st_mode))
		k = err_set(e, ERR_INVALID, __func__, "%s is no directory", from->text);
	if (k == ERR_OK)
		k = choose_name(from, S_ISDIR(s.st_mode), to, path, &contents, e);
	if (k == ERR_OK)
		k = check_parent(to, path, e);
	if (k == ERR_OK)
		k = tree_open(to->root, &options, &tree, e);
	into.tree = tree;
	if (k == ERR_OK)
		k = contents ? pack_below(fd, path, &o, &sink, e)
			     : pack_file(fd, path, &o, &sink, e);
	if (k == ERR_OK)
		k = tree_finish(tree, &stats, e);
	fd_close(&into.fd);
	if (k == ERR_OK && !a->quiet)
		image_tell_left_out(&stats);
	return k;
}

/* --- Archives --- */

static enum err_kind add_member(void *arg, const struct member *m, struct err *e)
{
	return tar_writer_add(arg, m, e);
}

static enum err_kind add_data(void *arg, const void *p, size_t n, struct err *e)
{
	return tar_writer_data(arg, p, n, e);
}

static enum err_kind write_out(void *arg, const void *p, size_t n, struct err *e)
{
	(void)arg;
	return fd_write_all(STDOUT_FILENO, p, n, "standard output", e);
}

static enum err_kind copy_out(const struct cp_args *a, const struct place *from, struct err *e)
{
	AUTO_TAR_WRITER *tar = NULL;
	AUTO_CLOSE fd = -1;
	struct pack_sink sink = { .member = add_member, .data = add_data };
	struct pack_options o = { .form = PACK_FILES, .ids = from->ids };
	struct stat s;
	bool contents;
	enum err_kind k = open_place(from, a->follow, true, &fd, &s, e);

	if (k == ERR_OK)
		k = tar_writer_open(write_out, NULL, &tar, e);
	sink.arg = tar;
	contents = from->contents || !*from->path;
	if (k == ERR_OK)
		k = contents ? pack_below(fd, "", &o, &sink, e)
			     : pack_file(fd, base_of(from), &o, &sink, e);
	return k == ERR_OK ? tar_writer_finish(tar, e) : k;
}

static enum err_kind copy_in(const struct cp_args *a, const struct place *to, struct err *e)
{
	AUTO_CLOSE dir = -1;
	int in = STDIN_FILENO;
	struct unpack_source from = { .read = unpack_read_fd, .arg = &in };
	struct unpack_options o = { .tree = tree_options_of(a, to), .below = to->path };
	struct unpack_result r;
	struct stat s;
	enum err_kind k = open_place(to, true, false, &dir, &s, e);

	o.tree.in_userns = cli_is_in_userns(); /* an archive is one that somebody made on purpose */
	if (k == ERR_OK && !S_ISDIR(s.st_mode))
		k = err_set(e, ERR_INVALID, __func__, "%s is no directory", to->text);
	if (k == ERR_OK)
		k = unpack_layer(to->root, &from, &o, &r, e);
	if (k == ERR_OK && !a->quiet)
		image_tell_left_out(&r.stats);
	return k;
}

/* --- The command --- */

static enum err_kind copy(const struct cp_args *a, const struct place *from, const struct place *to,
			  struct err *e)
{
	if (to->is_stream)
		return copy_out(a, from, e);
	return from->is_stream ? copy_in(a, to, e) : copy_files(a, from, to, e);
}

/* One that does not run must not begin to in the middle. */
static enum err_kind open_files(struct ctl *t, struct container *one, int *ret, struct err *e)
{
	struct status now;
	bool supervised;
	enum err_kind k = status_now(one->dir, &now, &supervised, e);

	if (k == ERR_OK && !now.pid) {
		k = container_lock(one, e);
		if (k == ERR_OK)
			k = status_now(one->dir, &now, &supervised, e);
	}
	return k == ERR_OK ? ctl_files(t, one, &now, ret, e) : k;
}

static enum err_kind run_cp_on(struct cli *c, struct place *from, struct place *to, struct err *e)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	AUTO_CLOSE inside = -1;
	AUTO_CLOSE outside = sys_openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	enum err_kind k = outside < 0 ? err_sys(e, __func__, "open /") : ctl_open(c, &t, e);

	if (k == ERR_OK)
		k = container_find(&t.cs, from->container ? from->container : to->container, &one,
				   e);
	if (k == ERR_OK &&
	    idmaps_are_set(&one.record.ids)) /* only whom it knows can make files in it */
		k = idmount_become_root(&one.record.ids, e);
	if (k == ERR_OK)
		k = open_files(&t, &one, &inside, e);
	if (k == ERR_OK && from->container)
		k = idmount_become(geteuid(), getegid(), e);
	from->root = from->container ? inside : outside;
	to->root = to->container ? inside : outside;
	*(from->container ? &from->ids : &to->ids) = &one.record.ids;
	return k == ERR_OK ? copy(c->options, from, to, e) : k;
}

static int run_cp(struct cli *c)
{
	struct place *p = arena_array(&c->arena, 2, sizeof(*p));
	struct err e;
	struct jv *v;

	if (!p)
		return cli_usage(c, "no memory");
	if (take_place(c, c->args[0], &p[0], &e) != ERR_OK ||
	    take_place(c, c->args[1], &p[1], &e) != ERR_OK)
		return cli_fail(&e);
	if (!p[0].container == !p[1].container)
		return cli_usage(c, "cp: one of the two must be CONTAINER:PATH");
	if (c->json && p[1].is_stream)
		return report_refuse(c, "cp",
				     "wants a destination: the archive goes to standard output");
	if (run_cp_on(c, &p[0], &p[1], &e) != ERR_OK)
		return cli_fail(&e);
	v = jv_pack("{s:s, s:s}", "source", c->args[0], "destination", c->args[1]);
	return report_one(c, &v, NULL);
}

static const struct opt opts[] = { { "archive", 'a', OPT_FLAG, offsetof(struct cp_args, archive),
				     NULL, "keep owners, set-id bits, attributes and devices" },
				   { "follow-link", 'L', OPT_FLAG, offsetof(struct cp_args, follow),
				     NULL, "copy what SOURCE leads to if it is a link" },
				   { "quiet", 'q', OPT_FLAG, offsetof(struct cp_args, quiet), NULL,
				     "do not tell what was left out" },
				   OPTS_END };

const struct command cmd_cp = {
	.name = "cp",
	.run = run_cp,
	.opts = opts,
	.options_size = sizeof(struct cp_args),
	.args_min = 2,
	.args_max = 2,
	.usage = "[OPTION]... CONTAINER:SOURCE DESTINATION|-\n"
		 "       berth cp [OPTION]... SOURCE|- CONTAINER:DESTINATION",
	.doc = "copy files into and out of containers; - is a tar archive",
};
