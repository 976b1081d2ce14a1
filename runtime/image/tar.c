#include "runtime/image/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/sysmacros.h>

#include "runtime/image/acl.h"
#include "runtime/image/targuard.h"

#define MODE_BITS 07777
#define PATH_RAW_MAX (64u * 1024)

struct tar_reader {
	struct archive *a;
	struct archive_entry *entry;
	struct targuard *guard;
	tar_source_fn *source;
	void *arg;
	enum err_kind failed; /* in the source or the guard: outranks what libarchive makes of it */
	struct err failure;
	struct acl access, by_default;
};

static la_ssize_t feed(struct archive *a, void *arg, const void **ret)
{
	struct tar_reader *r = arg;
	size_t n = 0;

	(void)a;
	if (r->failed == ERR_OK)
		r->failed = r->source(r->arg, ret, &n, &r->failure);
	if (r->failed == ERR_OK)
		r->failed = n > 0 ? targuard_feed(r->guard, *ret, n, &r->failure)
				  : targuard_end(r->guard, &r->failure);
	return r->failed == ERR_OK ? (la_ssize_t)n : -1;
}

static enum err_kind fail(struct tar_reader *r, struct err *e)
{
	const char *text = archive_error_string(r->a);

	if (r->failed != ERR_OK) {
		*e = r->failure;
		return r->failed;
	}
	return err_set(e, ERR_INVALID, __func__, "tar: %s", text ? text : "not readable");
}

enum err_kind tar_reader_open(tar_source_fn *source, void *arg, struct tar_reader **ret,
			      struct err *e)
{
	AUTO_TAR_READER *r = calloc(1, sizeof(*r));
	enum err_kind k;

	if (!r)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a tar reader");
	r->source = source;
	r->arg = arg;
	r->entry = archive_entry_new();
	r->a = archive_read_new();
	if (!r->a || !r->entry)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a tar reader");
	k = targuard_new(&r->guard, e);
	if (k != ERR_OK)
		return k;
	if (archive_read_support_format_tar(r->a) != ARCHIVE_OK ||
	    archive_read_set_options(r->a, "tar:!mac-ext,tar:!read_concatenated_archives") !=
		ARCHIVE_OK ||
	    archive_read_open(r->a, r, NULL, feed, NULL) != ARCHIVE_OK)
		return fail(r, e);
	*ret = TAKE(r);
	return ERR_OK;
}

void tar_reader_close(struct tar_reader **take)
{
	struct tar_reader *r = TAKE(*take);

	if (!r)
		return;
	if (r->a)
		(void)archive_read_free(r->a);
	archive_entry_free(r->entry);
	targuard_free(&r->guard);
	free(r);
}

/*
 * In the C locale libarchive hands on names from pax records as they are, and warns if they are not ASCII.  In a UTF-8
 * locale it would not warn, and change them: it brings them into composed form, which makes two names one.
 */
static bool is_about_locale(const char *text)
{
	const char *tail = "can't be converted from UTF-8 to current locale.";
	size_t n = text ? strlen(text) : 0;

	return n > strlen(tail) && strcmp(text + n - strlen(tail), tail) == 0;
}

static enum err_kind take_path(struct tar_reader *r, const struct targuard_member *seen,
			       struct member *m, struct err *e)
{
	const char *path = seen->path ? seen->path : archive_entry_pathname(r->entry);

	if (!path)
		return err_set(e, ERR_INVALID, __func__, "tar: a member without a name");
	return member_path(str_of(path), m->path, &m->path_n, e);
}

static enum err_kind take_target(struct tar_reader *r, const struct targuard_member *seen,
				 struct member *m, struct err *e)
{
	const char *target = seen->target;
	size_t n;

	if (!target)
		target = m->kind == MEMBER_HARDLINK ? archive_entry_hardlink(r->entry)
						    : archive_entry_symlink(r->entry);
	if (!target || !*target)
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\": a link to nothing", m->path);
	if (m->kind == MEMBER_HARDLINK)
		return member_path(str_of(target), m->target, &n, e);
	if (!str_copy(str_of(target), m->target, sizeof(m->target)))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.100s\": a symlink's target longer than 4,095 bytes", m->path);
	return ERR_OK;
}

static enum err_kind take_kind(struct tar_reader *r, struct member *m, struct err *e)
{
	static const struct {
		unsigned type;
		enum member_kind kind;
	} kinds[] = {
		{ AE_IFREG, MEMBER_FILE }, { AE_IFDIR, MEMBER_DIR },   { AE_IFLNK, MEMBER_SYMLINK },
		{ AE_IFCHR, MEMBER_CHAR }, { AE_IFBLK, MEMBER_BLOCK }, { AE_IFIFO, MEMBER_FIFO },
	};

	if (archive_entry_hardlink(r->entry)) {
		m->kind = MEMBER_HARDLINK;
		return ERR_OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (archive_entry_filetype(r->entry) == kinds[i].type) {
			m->kind = kinds[i].kind;
			return ERR_OK;
		}
	}
	return err_set(e, ERR_INVALID, __func__, "tar: \"%.100s\" is of an unknown type", m->path);
}

/* The greatest id stands for "none" in system calls. */
static bool take_id(int64_t in, uint32_t *ret)
{
	*ret = (uint32_t)in;
	return in >= 0 && in < UINT32_MAX;
}

static enum err_kind take_numbers(struct tar_reader *r, struct member *m, struct err *e)
{
	struct archive_entry *a = r->entry;
	int64_t size = archive_entry_size(a);

	if (!take_id(archive_entry_uid(a), &m->uid) || !take_id(archive_entry_gid(a), &m->gid))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.100s\": an owner that is no user or group id", m->path);
	if (size < 0)
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\": a negative size", m->path);
	m->mode = archive_entry_mode(a) & MODE_BITS;
	m->size_bytes = m->kind == MEMBER_FILE ? (uint64_t)size : 0;
	m->rdev =
	    makedev((unsigned)archive_entry_rdevmajor(a), (unsigned)archive_entry_rdevminor(a));
	m->mtime = (struct timespec){ .tv_sec = archive_entry_mtime(a),
				      .tv_nsec = archive_entry_mtime_nsec(a) };
	m->atime = m->mtime;
	if (archive_entry_atime_is_set(a))
		m->atime = (struct timespec){ .tv_sec = archive_entry_atime(a),
					      .tv_nsec = archive_entry_atime_nsec(a) };
	return ERR_OK;
}

static enum err_kind add_xattr(struct member *m, const char *name, struct str value, struct err *e)
{
	if (m->n_xattrs == MEMBER_XATTRS_MAX)
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\": more than %d attributes",
			       m->path, MEMBER_XATTRS_MAX);
	m->xattrs[m->n_xattrs++] = (struct member_xattr){ .name = name, .value = value };
	return ERR_OK;
}

static enum err_kind take_xattrs(struct tar_reader *r, struct member *m, struct err *e)
{
	const char *name;
	const void *value;
	size_t n;
	enum err_kind k = ERR_OK;

	(void)archive_entry_xattr_reset(r->entry);
	while (k == ERR_OK && archive_entry_xattr_next(r->entry, &name, &value, &n) == ARCHIVE_OK) {
		if (name && *name)
			k = add_xattr(m, name, (struct str){ value ? value : "", n }, e);
	}
	return k;
}

static enum acl_tag acl_tag_of(int tag)
{
	switch (tag) {
	case ARCHIVE_ENTRY_ACL_USER:
		return ACL_USER;
	case ARCHIVE_ENTRY_ACL_GROUP:
		return ACL_GROUP;
	case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
		return ACL_GROUP_OBJ;
	case ARCHIVE_ENTRY_ACL_MASK:
		return ACL_MASK;
	case ARCHIVE_ENTRY_ACL_OTHER:
		return ACL_OTHER;
	default:
		return ACL_USER_OBJ;
	}
}

/* ACLs as text (SCHILY.acl.access), as star and GNU tar write them; libarchive leaves the plain mode's entries in. */
static enum err_kind take_acl(struct tar_reader *r, int type, struct acl *acl, const char *name,
			      struct member *m, struct err *e)
{
	int got, perm, tag, id;
	const char *who;

	acl_init(acl);
	if (archive_entry_acl_count(r->entry, type) == 0)
		return ERR_OK;
	(void)archive_entry_acl_reset(r->entry, type);
	while (archive_entry_acl_next(r->entry, type, &got, &perm, &tag, &id, &who) == ARCHIVE_OK) {
		enum acl_tag t = acl_tag_of(tag);

		if (((t == ACL_USER || t == ACL_GROUP) && id < 0) ||
		    !acl_add(acl, t, (unsigned)perm, (uint32_t)id))
			return err_set(e, ERR_INVALID, __func__,
				       "\"%.100s\": an ACL that names nobody by id", m->path);
	}
	return add_xattr(m, name, acl_finish(acl), e);
}

static bool has_acl_xattr(const struct member *m)
{
	for (size_t i = 0; i < m->n_xattrs; i++) {
		if (strncmp(m->xattrs[i].name, "system.posix_acl_", 17) == 0)
			return true;
	}
	return false;
}

static enum err_kind take_attributes(struct tar_reader *r, struct member *m, struct err *e)
{
	enum err_kind k = take_xattrs(r, m, e);

	if (k != ERR_OK || has_acl_xattr(m))
		return k;
	k = take_acl(r, ARCHIVE_ENTRY_ACL_TYPE_ACCESS, &r->access, "system.posix_acl_access", m, e);
	if (k == ERR_OK)
		k = take_acl(r, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, &r->by_default,
			     "system.posix_acl_default", m, e);
	return k;
}

/* A2: the end, and each beginning, is where the guard saw it. */
static enum err_kind check_end(struct tar_reader *r, struct err *e)
{
	AUTO_TARGUARD_MEMBER seen;

	targuard_next(r->guard, &seen);
	if (seen.has_header)
		return err_set(e, ERR_INVALID, __func__,
			       "tar: a member at byte %llu that not all readers see",
			       (unsigned long long)seen.at);
	return r->failed == ERR_OK ? ERR_NOT_FOUND : fail(r, e);
}

static enum err_kind check_position(struct tar_reader *r, const struct targuard_member *seen,
				    struct err *e)
{
	int64_t at = archive_read_header_position(r->a);

	if (seen->has_header && at >= 0 && (uint64_t)at == seen->at)
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "tar: a member at byte %lld that not all readers see", (long long)at);
}

enum err_kind tar_reader_next(struct tar_reader *r, struct member *m, struct err *e)
{
	AUTO_TARGUARD_MEMBER seen = { 0 };
	int got = archive_read_next_header2(r->a, r->entry);
	enum err_kind k;

	if (got == ARCHIVE_EOF)
		return check_end(r, e);
	if (got != ARCHIVE_OK &&
	    (got != ARCHIVE_WARN || !is_about_locale(archive_error_string(r->a))))
		return fail(r, e);
	targuard_next(r->guard, &seen);
	m->n_xattrs = 0;
	k = check_position(r, &seen, e);
	if (k == ERR_OK)
		k = take_path(r, &seen, m, e);
	if (k == ERR_OK)
		k = take_kind(r, m, e);
	if (k == ERR_OK && (m->kind == MEMBER_HARDLINK || m->kind == MEMBER_SYMLINK))
		k = take_target(r, &seen, m, e);
	if (k == ERR_OK)
		k = take_numbers(r, m, e);
	return k == ERR_OK ? take_attributes(r, m, e) : k;
}

enum err_kind tar_reader_data(struct tar_reader *r, const void **ret, size_t *ret_n,
			      uint64_t *ret_at, struct err *e)
{
	la_int64_t at;
	int got = archive_read_data_block(r->a, ret, ret_n, &at);

	*ret_at = (uint64_t)at;
	if (got == ARCHIVE_OK && r->failed == ERR_OK)
		return ERR_OK;
	*ret_n = 0;
	return got == ARCHIVE_EOF && r->failed == ERR_OK ? ERR_OK : fail(r, e);
}

struct tar_writer {
	struct archive *a;
	struct archive_entry *entry;
	tar_sink_fn *sink;
	void *arg;
	enum err_kind failed;
	struct err failure;
};

static la_ssize_t drain(struct archive *a, void *arg, const void *p, size_t n)
{
	struct tar_writer *w = arg;

	if (w->failed == ERR_OK)
		w->failed = w->sink(w->arg, p, n, &w->failure);
	if (w->failed == ERR_OK)
		return (la_ssize_t)n;
	archive_set_error(a, EIO, "the sink failed");
	return -1;
}

static enum err_kind write_failed(struct tar_writer *w, struct err *e)
{
	const char *text = archive_error_string(w->a);

	if (w->failed == ERR_OK)
		return err_set(e, ERR_IO, __func__, "tar: %s", text ? text : "not writable");
	*e = w->failure;
	return w->failed;
}

enum err_kind tar_writer_open(tar_sink_fn *sink, void *arg, struct tar_writer **ret, struct err *e)
{
	AUTO_TAR_WRITER *w = calloc(1, sizeof(*w));

	if (!w)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a tar writer");
	w->sink = sink;
	w->arg = arg;
	w->entry = archive_entry_new();
	w->a = archive_write_new();
	if (!w->a || !w->entry)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a tar writer");
	/* "restricted": pax records only where ustar does not suffice.  BINARY: names as they are, whatever they are. */
	if (archive_write_set_format_pax_restricted(w->a) != ARCHIVE_OK ||
	    archive_write_set_options(w->a, "pax:hdrcharset=BINARY,pax:xattrheader=SCHILY") !=
		ARCHIVE_OK ||
	    archive_write_set_bytes_in_last_block(w->a, 1) != ARCHIVE_OK ||
	    archive_write_open(w->a, w, NULL, drain, NULL) != ARCHIVE_OK)
		return write_failed(w, e);
	*ret = TAKE(w);
	return ERR_OK;
}

static void set_kind(struct archive_entry *a, const struct member *m)
{
	static const unsigned types[MEMBER_KIND_N] = {
		[MEMBER_FILE] = AE_IFREG,     [MEMBER_DIR] = AE_IFDIR,  [MEMBER_SYMLINK] = AE_IFLNK,
		[MEMBER_HARDLINK] = AE_IFREG, [MEMBER_CHAR] = AE_IFCHR, [MEMBER_BLOCK] = AE_IFBLK,
		[MEMBER_FIFO] = AE_IFIFO,
	};

	archive_entry_set_filetype(a, types[m->kind]);
	if (m->kind == MEMBER_HARDLINK)
		archive_entry_set_hardlink(a, m->target);
	if (m->kind == MEMBER_SYMLINK)
		archive_entry_set_symlink(a, m->target);
	if (m->kind == MEMBER_CHAR || m->kind == MEMBER_BLOCK) {
		archive_entry_set_rdevmajor(a, major(m->rdev));
		archive_entry_set_rdevminor(a, minor(m->rdev));
	}
	archive_entry_set_size(a, m->kind == MEMBER_FILE ? (la_int64_t)m->size_bytes : 0);
}

enum err_kind tar_writer_add(struct tar_writer *w, const struct member *m, struct err *e)
{
	struct archive_entry *a = archive_entry_clear(w->entry);
	char path[MEMBER_PATH_MAX + 4];

	(void)snprintf(path, sizeof(path), "%s%s", m->path_n ? m->path : "./",
		       m->path_n && m->kind == MEMBER_DIR ? "/" : "");
	archive_entry_set_pathname(a, path);
	set_kind(a, m);
	archive_entry_set_perm(a, m->mode);
	archive_entry_set_uid(a, m->uid);
	archive_entry_set_gid(a, m->gid);
	archive_entry_set_mtime(a, m->mtime.tv_sec, m->mtime.tv_nsec);
	for (size_t i = 0; i < m->n_xattrs; i++)
		archive_entry_xattr_add_entry(a, m->xattrs[i].name, m->xattrs[i].value.p,
					      m->xattrs[i].value.n);
	return archive_write_header(w->a, a) == ARCHIVE_OK ? ERR_OK : write_failed(w, e);
}

enum err_kind tar_writer_data(struct tar_writer *w, const void *p, size_t n, struct err *e)
{
	la_ssize_t put = archive_write_data(w->a, p, n);

	if (put < 0)
		return write_failed(w, e);
	if ((size_t)put != n)
		return err_set(e, ERR_BUG, __func__, "tar: more data than was announced");
	return ERR_OK;
}

enum err_kind tar_writer_finish(struct tar_writer *w, struct err *e)
{
	return archive_write_close(w->a) == ARCHIVE_OK ? ERR_OK : write_failed(w, e);
}

void tar_writer_close(struct tar_writer **take)
{
	struct tar_writer *w = TAKE(*take);

	if (!w)
		return;
	if (w->a) {
		(void)archive_write_fail(w->a); /* else it would still write the archive's end */
		(void)archive_write_free(w->a);
	}
	archive_entry_free(w->entry);
	free(w);
}
