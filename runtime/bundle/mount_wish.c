/* -v, --mount and --tmpfs: what is written there, as docker and podman understand it. */
#include <errno.h>

#include "base/fd.h"
#include "base/hash.h"
#include "base/quantity.h"
#include "runtime/bundle/bundle_impl.h"
#include "runtime/container/volumes.h"

#define ANONYMOUS_BYTES 32 /* of a name in hexadecimal digits */

static enum err_kind add_option(const struct making *m, struct mount_wish *w, const char *option,
				struct err *e)
{
	return option && arena_list_add(m->arena, &w->options, option) ? ERR_OK
								       : making_no_memory(e);
}

static bool has_option(const struct mount_wish *w, const char *option)
{
	for (size_t i = 0; i < w->options.n; i++) {
		if (strcmp(w->options.v[i], option) == 0)
			return true;
	}
	return false;
}

/* --- Where it comes from --- */

/* A name stands for a directory of berth's own, which outlives the container. */
static enum err_kind named_volume(const struct making *m, struct str name, struct mount_wish *w,
				  struct err *e)
{
	if (!container_name_is_valid(name))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is neither a path nor a name of a volume",
			       (int)MIN(name.n, (size_t)80), name.p);
	w->name = arena_text(m->arena, name);
	w->source =
	    arena_printf(m->arena, "%s/%.*s/" VOLUME_DATA, m->place->volumes, STR_FMT(name));
	return w->name && w->source ? ERR_OK : making_no_memory(e);
}

/* Without a name it is this container's alone. */
static enum err_kind anonymous_volume(const struct making *m, struct mount_wish *w, struct err *e)
{
	uint8_t bytes[ANONYMOUS_BYTES];
	char name[2 * ANONYMOUS_BYTES];
	enum err_kind k;

	random_bytes(bytes, sizeof(bytes));
	hex_lower(bytes, sizeof(bytes), name);
	k = named_volume(m, (struct str){ name, sizeof(name) }, w, e);
	if (k == ERR_OK && !arena_list_add(m->arena, &m->volumes->anonymous, w->name))
		k = making_no_memory(e);
	return k;
}

/* -v has made missing directories since docker's first days; --mount never did. */
static enum err_kind host_path(const struct making *m, struct str path, bool make, const char **ret,
			       struct err *e)
{
	char *text = arena_text(m->arena, path);
	AUTO_CLOSE made = -1;
	struct stat s;
	enum err_kind k;

	*ret = text ? arena_absolute(m->arena, text) : NULL;
	if (!*ret)
		return making_no_memory(e);
	if (fstatat(AT_FDCWD, *ret, &s, 0) == 0)
		return ERR_OK;
	if (!make || errno != ENOENT)
		return err_sys(e, __func__, "mount %s", *ret);
	k = fd_make_path(*ret, 0755, &made, e);
	return k == ERR_OK ? k : err_wrap(e, "make %s for a volume", *ret);
}

/* "/path", "./path", "../path" */
static bool is_path(struct str source)
{
	return source.n && (*source.p == '/' || *source.p == '.');
}

static enum err_kind check_target(const struct mount_wish *w, struct err *e)
{
	if (w->to && w->to[0] == '/' && w->to[1])
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "a volume wants an absolute path in the container, not \"%.80s\"",
		       w->to ? w->to : "");
}

/* --- Options --- */

/* What docker and podman take after the second colon, less what no kernel here has (SELinux). */
static enum err_kind take_flag(const struct making *m, struct mount_wish *w, struct str flag,
			       struct err *e)
{
	static const char *const known[] = { "ro",     "rw",      "rprivate", "private", "rslave",
					     "slave",  "nosuid",  "nodev",    "noexec",  "suid",
					     "dev",    "exec",    "bind",     "rbind",   "rro",
					     "shared", "rshared", "idmap" };
	static const char *const ignored[] = {
		"z", "Z", "copy", "cached", "delegated", "consistent"
	};
	bool shares = str_eq(flag, STR("shared")) || str_eq(flag, STR("rshared"));

	w->stays_empty = w->stays_empty || str_eq(flag, STR("nocopy"));
	w->is_owned = w->is_owned || str_eq(flag, STR("U"));
	m->volumes->shares_mounts = m->volumes->shares_mounts || shares;
	if (str_eq(flag, STR("nocopy")) || str_eq(flag, STR("U")))
		return ERR_OK;
	if (str_eq(flag, STR("idmap")) && !making_is_mapped(m))
		return ERR_OK; /* ids are what they are */
	if (str_eq(flag, STR("idmap")) && m->place->in_userns)
		return err_set(
		    e, ERR_UNSUPPORTED, __func__,
		    "idmap: the kernel lets no ordinary user mount files with other owners");
	for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
		if (str_eq(flag, str_of(ignored[i])))
			return ERR_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_eq(flag, str_of(known[i])))
			return add_option(m, w, known[i], e);
	}
	return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no option of a volume",
		       (int)MIN(flag.n, (size_t)40), flag.p);
}

static enum err_kind finish_bind(const struct making *m, struct mount_wish *w, struct err *e)
{
	enum err_kind k = check_target(w, e);

	if (k == ERR_OK && !has_option(w, "bind") && !has_option(w, "rbind"))
		k = add_option(m, w, "rbind", e);
	return k;
}

/* --- -v [SOURCE:]TARGET[:OPTIONS] --- */

enum err_kind mount_wish_short(const struct making *m, const char *text, struct mount_wish *ret,
			       struct err *e)
{
	struct str source, rest, to, one, flags = { "", 0 };
	struct mount_wish w = { 0 };
	enum err_kind k;

	if (str_cut(str_of(text), ':', &source, &rest)) {
		(void)str_cut(rest, ':', &to, &flags);
		k = is_path(source) ? host_path(m, source, true, &w.source, e)
				    : named_volume(m, source, &w, e);
	} else {
		to = source;
		k = anonymous_volume(m, &w, e);
	}
	w.to = arena_text(m->arena, to);
	while (k == ERR_OK && flags.n) {
		(void)str_cut(flags, ',', &one, &flags);
		k = take_flag(m, &w, one, e);
	}
	*ret = w;
	return k == ERR_OK ? finish_bind(m, ret, e) : k;
}

enum err_kind mount_wish_volume(const struct making *m, const char *to, struct mount_wish *ret,
				struct err *e)
{
	enum err_kind k;

	*ret = (struct mount_wish){ .to = to };
	k = anonymous_volume(m, ret, e);
	return k == ERR_OK ? finish_bind(m, ret, e) : k;
}

/* --- --tmpfs TARGET[:OPTIONS], whose options are the file system's own --- */

/* As strict as docker's, until an option says otherwise. */
static enum err_kind begin_tmpfs(const struct making *m, struct mount_wish *w, struct err *e)
{
	enum err_kind k = add_option(m, w, "nosuid", e);

	w->is_tmpfs = true;
	if (k == ERR_OK)
		k = add_option(m, w, "nodev", e);
	return k == ERR_OK ? add_option(m, w, "noexec", e) : k;
}

static enum err_kind take_tmpfs_flag(const struct making *m, struct mount_wish *w, struct str flag,
				     struct err *e)
{
	if (flag.n == 0 || str_eq(flag, STR("notmpcopyup")))
		return ERR_OK; /* so it is anyway */
	if (str_eq(flag, STR("U")))
		return add_option(m, w,
				  arena_printf(m->arena, "uid=%llu,gid=%llu",
					       (unsigned long long)m->uid,
					       (unsigned long long)m->gid),
				  e);
	return add_option(m, w, arena_text(m->arena, flag), e);
}

enum err_kind mount_wish_tmpfs(const struct making *m, const char *text, struct mount_wish *ret,
			       struct err *e)
{
	struct str to, one, options = { "", 0 };
	enum err_kind k;

	(void)str_cut(str_of(text), ':', &to, &options);
	*ret = (struct mount_wish){ .to = arena_text(m->arena, to) };
	k = begin_tmpfs(m, ret, e);
	while (k == ERR_OK && options.n) {
		(void)str_cut(options, ',', &one, &options);
		k = take_tmpfs_flag(m, ret, one, e);
	}
	return k == ERR_OK ? check_target(ret, e) : k;
}

/* --- --mount type=..,source=..,target=..,... --- */

struct long_form {
	struct str type, source, to;
	struct str key; /* one that is for one type alone; empty without */
};

struct pair {
	struct str key, value;
	bool has_value;
};

static bool is_one_of(struct str key, const char *a, const char *b, const char *c)
{
	return str_eq(key, str_of(a)) || (b && str_eq(key, str_of(b))) ||
	       (c && str_eq(key, str_of(c)));
}

/* "a,"b,c",d": a field in quotation marks may have commas, as in CSV. */
static bool next_field(const struct making *m, struct str *rest, struct str *ret)
{
	char *to = arena_text(m->arena, *rest);
	size_t n = 0, i = 0;

	if (!to)
		return false;
	if (!scan_char(rest, '"')) {
		(void)str_cut(*rest, ',', ret, rest);
		return true;
	}
	for (; i < rest->n; i++) {
		bool is_mark = rest->p[i] == '"';

		if (is_mark && (i + 1 >= rest->n || rest->p[i + 1] != '"'))
			break;
		i += is_mark;
		to[n++] = rest->p[i];
	}
	if (i >= rest->n) /* the mark at the end is missing */
		return false;
	*rest = (struct str){ rest->p + i + 1, rest->n - i - 1 };
	*ret = (struct str){ to, n };
	return rest->n == 0 || scan_char(rest, ',');
}

static enum err_kind bad_pair(const struct pair *p, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "--mount: \"%.*s%s%.*s\" is not understood",
		       (int)MIN(p->key.n, (size_t)40), p->key.p, p->has_value ? "=" : "",
		       (int)MIN(p->value.n, (size_t)40), p->value.p);
}

/* A key without a value says yes; the words are Go's. */
static bool is_yes_or_no(const struct pair *p, bool *ret)
{
	static const char *const no[] = { "0", "f", "F", "FALSE", "false", "False" };
	static const char *const yes[] = { "1", "t", "T", "TRUE", "true", "True" };

	*ret = true;
	for (size_t i = 0; p->has_value && i < ARRAY_LEN(yes); i++) {
		*ret = str_eq(p->value, str_of(yes[i]));
		if (*ret || str_eq(p->value, str_of(no[i])))
			return true;
	}
	return !p->has_value;
}

static enum err_kind take_switch(const struct making *m, struct mount_wish *w, const struct pair *p,
				 bool *ret_mine, struct err *e)
{
	static const struct {
		const char *key, *yes, *no; /* NULL: nothing */
	} switches[] = {
		{ "readonly", "ro", NULL },
		{ "ro", "ro", NULL },
		{ "rw", NULL, "ro" },
		{ "bind-nonrecursive", "bind", NULL },
		{ "volume-nocopy", "nocopy", NULL },
		{ "U", "U", NULL },
		{ "chown", "U", NULL },
		{ "idmap", "idmap", NULL },
	};
	const char *flag;
	bool yes;

	for (size_t i = 0; i < ARRAY_LEN(switches); i++) {
		if (!str_eq(p->key, str_of(switches[i].key)))
			continue;
		*ret_mine = true;
		if (!is_yes_or_no(p, &yes))
			return bad_pair(p, e);
		flag = yes ? switches[i].yes : switches[i].no;
		return flag ? take_flag(m, w, str_of(flag), e) : ERR_OK;
	}
	*ret_mine = false;
	return ERR_OK;
}

static enum err_kind take_recursive(const struct making *m, struct mount_wish *w,
				    const struct pair *p, struct err *e)
{
	if (is_one_of(p->value, "enabled", "writable", NULL))
		return ERR_OK;
	if (str_eq(p->value, STR("disabled")))
		return add_option(m, w, "bind", e);
	return str_eq(p->value, STR("readonly")) ? add_option(m, w, "rro", e) : bad_pair(p, e);
}

static enum err_kind take_tmpfs_pair(const struct making *m, struct mount_wish *w,
				     const struct pair *p, struct err *e)
{
	uint64_t bytes;

	if (str_eq(p->key, STR("tmpfs-size")) && size_parse_docker(p->value, &bytes))
		return add_option(
		    m, w, arena_printf(m->arena, "size=%llu", (unsigned long long)bytes), e);
	if (str_eq(p->key, STR("tmpfs-mode")) && p->value.n && p->value.n < 6)
		return add_option(m, w, arena_printf(m->arena, "mode=%.*s", STR_FMT(p->value)), e);
	return bad_pair(p, e);
}

static enum err_kind take_pair(const struct making *m, struct long_form *f, struct mount_wish *w,
			       const struct pair *p, struct err *e)
{
	bool mine = false;
	enum err_kind k = take_switch(m, w, p, &mine, e);

	if (str_starts(p->key, STR("bind-")) || str_starts(p->key, STR("volume-")) ||
	    str_starts(p->key, STR("tmpfs-")))
		f->key = p->key;
	if (k != ERR_OK || mine)
		return k;
	if (str_eq(p->key, STR("type")))
		f->type = p->value;
	else if (is_one_of(p->key, "source", "src", NULL))
		f->source = p->value;
	else if (is_one_of(p->key, "target", "dst", "destination"))
		f->to = p->value;
	else if (str_eq(p->key, STR("bind-propagation")))
		return take_flag(m, w, p->value, e);
	else if (str_eq(p->key, STR("bind-recursive")))
		return take_recursive(m, w, p, e);
	else if (str_starts(p->key, STR("tmpfs-")))
		return take_tmpfs_pair(m, w, p, e);
	else if (str_eq(p->key, STR("tmpcopyup")) && !p->has_value)
		return add_option(m, w, "tmpcopyup", e);
	else if (!is_one_of(p->key, "consistency", "relabel", "notmpcopyup") &&
		 !(str_eq(p->key, STR("volume-driver")) && str_eq(p->value, STR("local"))))
		return p->has_value ? bad_pair(p, e) : take_flag(m, w, p->key, e);
	return ERR_OK;
}

static enum err_kind check_type(const struct long_form *f, struct err *e)
{
	struct str type = f->type.n ? f->type : STR("volume");

	if (!is_one_of(type, "bind", "volume", "tmpfs"))
		return err_set(e, ERR_UNSUPPORTED, __func__, "--mount: type %.*s is not known",
			       (int)MIN(type.n, (size_t)40), type.p);
	if (f->key.n && !(str_starts(f->key, type) && f->key.p[type.n] == '-'))
		return err_set(e, ERR_INVALID, __func__, "--mount: %.*s is not for type %.*s",
			       (int)MIN(f->key.n, (size_t)40), f->key.p, STR_FMT(type));
	if (str_eq(type, STR("bind")) && f->source.n == 0)
		return err_set(e, ERR_INVALID, __func__, "--mount: type bind wants a source");
	return ERR_OK;
}

static enum err_kind take_pairs(const struct making *m, const char *text, struct long_form *f,
				struct mount_wish *w, struct err *e)
{
	struct str rest = str_of(text), one;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && rest.n) {
		struct pair p;

		if (!next_field(m, &rest, &one))
			return err_set(e, ERR_INVALID, __func__,
				       "--mount %.80s: quotation marks that do not match", text);
		p.has_value = str_cut(one, '=', &p.key, &p.value);
		if (!p.has_value)
			p.value = (struct str){ "", 0 };
		k = take_pair(m, f, w, &p, e);
	}
	return k == ERR_OK ? check_type(f, e) : k;
}

/* What was said comes after what a tmpfs has anyway. */
static enum err_kind make_tmpfs(const struct making *m, struct mount_wish *w, struct err *e)
{
	struct text_list said = w->options;
	enum err_kind k;

	w->options = (struct text_list){ 0 };
	k = begin_tmpfs(m, w, e);
	for (size_t i = 0; k == ERR_OK && i < said.n; i++)
		k = take_tmpfs_flag(m, w, str_of(said.v[i]), e);
	if (k == ERR_OK && w->is_owned)
		k = take_tmpfs_flag(m, w, STR("U"), e);
	w->is_owned = false;
	return k == ERR_OK ? check_target(w, e) : k;
}

enum err_kind mount_wish_long(const struct making *m, const char *text, struct mount_wish *ret,
			      struct err *e)
{
	struct long_form f = { 0 };
	struct mount_wish *w = ret;
	enum err_kind k;

	*w = (struct mount_wish){ 0 };
	k = take_pairs(m, text, &f, w, e);
	if (k != ERR_OK)
		return k;
	w->to = arena_text(m->arena, f.to);
	if (str_eq(f.type, STR("tmpfs")))
		return make_tmpfs(m, w, e);
	if (str_eq(f.type, STR("bind")))
		k = host_path(m, f.source, false, &w->source, e);
	else
		k = f.source.n ? named_volume(m, f.source, w, e) : anonymous_volume(m, w, e);
	return k == ERR_OK ? finish_bind(m, w, e) : k;
}
