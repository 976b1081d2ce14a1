#include "runtime/image/member.h"

#define WHITEOUT ".wh."
#define WHITEOUT_META ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

static const char *const kind_texts[MEMBER_KIND_N] = {
	[MEMBER_FILE] = "file",
	[MEMBER_DIR] = "directory",
	[MEMBER_SYMLINK] = "symlink",
	[MEMBER_HARDLINK] = "hard link",
	[MEMBER_CHAR] = "character device",
	[MEMBER_BLOCK] = "block device",
	[MEMBER_FIFO] = "FIFO",
};

const char *member_kind_text(enum member_kind k)
{
	return k < MEMBER_KIND_N ? kind_texts[k] : "?";
}

static enum err_kind bad_path(struct str raw, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "\"%.*s\": %s", (int)MIN(raw.n, (size_t)100),
		       raw.p, why);
}

enum err_kind member_path(struct str raw, char ret[static MEMBER_PATH_MAX], size_t *ret_n,
			  struct err *e)
{
	struct str rest = raw, part;
	size_t n = 0;
	bool more;

	if (raw.n == 0)
		return bad_path(raw, "an empty path", e);
	if (memchr(raw.p, '\0', raw.n))
		return bad_path(raw, "a NUL in a path", e);
	do {
		more = str_cut(rest, '/', &part, &rest);
		if (part.n == 0 || str_eq(part, STR(".")))
			continue;
		if (str_eq(part, STR("..")))
			return bad_path(raw, "a path must not have \"..\"", e);
		if (part.n > MEMBER_NAME_MAX)
			return bad_path(raw, "a name longer than 255 bytes", e);
		if (n + (n > 0) + part.n >= MEMBER_PATH_MAX)
			return bad_path(raw, "a path longer than 4,095 bytes", e);
		if (n > 0)
			ret[n++] = '/';
		memcpy(ret + n, part.p, part.n);
		n += part.n;
	} while (more);
	ret[n] = '\0';
	*ret_n = n;
	return ERR_OK;
}

static bool prepend(char path[static MEMBER_PATH_MAX], const char *below)
{
	size_t n = strlen(below), m = strlen(path);

	if (n == 0)
		return true;
	if (n + 1 + m >= MEMBER_PATH_MAX)
		return false;
	memmove(path + n + 1, path, m + 1);
	memcpy(path, below, n);
	path[n] = '/';
	return true;
}

bool member_move(struct member *m, const char *below)
{
	bool ok =
	    prepend(m->path, below) && (m->kind != MEMBER_HARDLINK || prepend(m->target, below));

	m->path_n = strlen(m->path);
	return ok;
}

void member_split(struct str path, struct str *ret_dir, struct str *ret_name)
{
	size_t n = path.n;

	while (n > 0 && path.p[n - 1] != '/')
		n--;
	*ret_dir = (struct str){ path.p, n > 0 ? n - 1 : 0 };
	*ret_name = (struct str){ path.p + n, path.n - n };
}

/* A reserved name in the middle of a path: part of AUFS's records, or nothing that has a meaning. */
static enum err_kind mark_of_dir(struct str dir, enum member_mark *ret, struct err *e)
{
	struct str part;
	bool more;

	do {
		more = str_cut(dir, '/', &part, &dir);
		if (str_starts(part, STR(WHITEOUT_META))) {
			*ret = MARK_IGNORED;
			return ERR_OK;
		}
		if (str_starts(part, STR(WHITEOUT)))
			return bad_path(part, "a whiteout must not be a directory", e);
	} while (more);
	return ERR_OK;
}

/* AUFS made its whiteouts hard links to one file, so those are let pass. */
static enum err_kind check_form(const struct member *m, struct err *e)
{
	if ((m->kind == MEMBER_FILE && m->size_bytes == 0) || m->kind == MEMBER_HARDLINK)
		return ERR_OK;
	return bad_path((struct str){ m->path, m->path_n }, "a whiteout must be an empty file", e);
}

enum err_kind member_mark(const struct member *m, enum member_mark *ret, struct str *ret_name,
			  struct err *e)
{
	struct str dir, name, hidden;
	enum err_kind k;

	*ret = MARK_NONE;
	member_split((struct str){ m->path, m->path_n }, &dir, &name);
	k = mark_of_dir(dir, ret, e);
	if (k != ERR_OK || *ret == MARK_IGNORED || !str_starts(name, STR(WHITEOUT)))
		return k;
	if (str_starts(name, STR(WHITEOUT_META)) && !str_eq(name, STR(WHITEOUT_OPAQUE))) {
		*ret = MARK_IGNORED;
		return ERR_OK;
	}
	k = check_form(m, e);
	if (k != ERR_OK)
		return k;
	if (str_eq(name, STR(WHITEOUT_OPAQUE))) {
		*ret = MARK_OPAQUE;
		return ERR_OK;
	}
	hidden = (struct str){ name.p + sizeof(WHITEOUT) - 1, name.n - (sizeof(WHITEOUT) - 1) };
	if (hidden.n == 0 || str_eq(hidden, STR(".")) || str_eq(hidden, STR("..")))
		return bad_path(name, "a whiteout of nothing that can be named", e);
	*ret = MARK_WHITEOUT;
	*ret_name = hidden;
	return ERR_OK;
}

bool member_xattr_is_kept(const char *name)
{
	struct str s = str_of(name);

	if (str_starts(s, STR("trusted.overlay.")) || str_starts(s, STR("user.overlay.")) ||
	    str_starts(s, STR("user.fuseoverlayfs.")))
		return false;
	return str_starts(s, STR("user.")) || str_starts(s, STR("trusted.")) ||
	       str_eq(s, STR("security.capability")) || str_eq(s, STR("system.posix_acl_access")) ||
	       str_eq(s, STR("system.posix_acl_default"));
}
