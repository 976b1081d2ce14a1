#include "storage/reflog.h"

#include <errno.h>

#include "base/fd.h"

#define PENDING_MAX (64u * 1024 * 1024) /* lines of one batch */

struct reflog {
	int dir_fd;
	int fd;                  /* the segment being written, -1 before its first record */
	struct reflog_mark mark; /* what counts */
	uint64_t seq;            /* of the last record queued or written */
	uint64_t end;            /* bytes of the segment */
	bool spoilt;             /* an fsync of the segment failed (L3) */
	struct sbuf pending;
};

void reflog_name(uint64_t segment, char buf[static REFLOG_NAME_MAX])
{
	(void)snprintf(buf, REFLOG_NAME_MAX, "%llu.jsonl", (unsigned long long)segment);
}

bool reflog_name_parse(const char *name, uint64_t *ret)
{
	struct str s = str_of(name);

	return scan_u64(&s, UINT64_MAX, ret) && str_eq(s, STR(".jsonl"));
}

/* The last record below the mark must be the one the mark names. */
static enum err_kind check_tail(struct reflog *l, struct err *e)
{
	AUTO_SBUF b;
	AUTO_REFLOG_RECORD r = { 0 };
	size_t n = (size_t)MIN(l->mark.offset, (uint64_t)REFLOG_LINE_MAX);
	size_t from;
	enum err_kind k;

	sbuf_init(&b, REFLOG_LINE_MAX + 1);
	if (!sbuf_reserve(&b, n))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the reflog's tail");
	k = fd_pread_exact(l->fd, b.p, n, l->mark.offset - n, "reflog", e);
	if (k != ERR_OK)
		return k;
	if (b.p[n - 1] != '\n')
		return err_set(e, ERR_CORRUPT, __func__,
			       "reflog: no record ends at the index's mark");
	for (from = n - 1; from > 0 && b.p[from - 1] != '\n';)
		from--;
	k = reflog_record_parse((struct str){ b.p + from, n - 1 - from }, &r, e);
	if (k == ERR_OK && r.seq != l->mark.seq)
		k = err_set(e, ERR_CORRUPT, __func__,
			    "reflog: record %llu where the index has %llu",
			    (unsigned long long)r.seq, (unsigned long long)l->mark.seq);
	return k;
}

/* Segments are named by their first record, so those beyond the mark hold nothing that counts. */
static enum err_kind remove_later(void *arg, const char *name, struct err *e)
{
	const struct reflog *l = arg;
	uint64_t segment;

	if (!reflog_name_parse(name, &segment) || segment <= l->mark.seq)
		return ERR_OK;
	if (sys_unlinkat(l->dir_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove reflog/%.40s", name);
	return ERR_OK;
}

/* Opens the segment of the mark and looks whether the mark is true of it. */
static enum err_kind open_at_mark(struct reflog *l, struct err *e)
{
	char name[REFLOG_NAME_MAX];
	struct stat st;
	enum err_kind k;

	reflog_name(l->mark.segment, name);
	k = fd_open_at(l->dir_fd, name, O_RDWR | O_APPEND, 0, &l->fd, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, ERR_CORRUPT, __func__, "reflog/%s is missing", name);
	if (k != ERR_OK)
		return err_wrap(e, "reflog");
	if (fstat(l->fd, &st) < 0)
		return err_sys(e, __func__, "stat reflog/%s", name);
	if ((uint64_t)st.st_size < l->mark.offset)
		return err_set(e, ERR_CORRUPT, __func__,
			       "reflog/%s has %lld bytes where the index counts %llu", name,
			       (long long)st.st_size, (unsigned long long)l->mark.offset);
	l->end = (uint64_t)st.st_size;
	return check_tail(l, e);
}

static enum err_kind cut_at_mark(struct reflog *l, struct err *e)
{
	if (l->end > l->mark.offset && sys_ftruncate(l->fd, (off_t)l->mark.offset) < 0)
		return err_sys(e, __func__, "cut reflog/%llu.jsonl",
			       (unsigned long long)l->mark.segment);
	l->end = l->mark.offset;
	return ERR_OK;
}

/* Nothing is removed before the mark was found to be true. */
enum err_kind reflog_rewind(struct reflog *l, const struct reflog_mark *mark, struct err *e)
{
	bool same = l->mark.segment == mark->segment;
	enum err_kind k = ERR_OK;

	reflog_drop(l);
	fd_close(&l->fd);
	l->mark = *mark;
	l->seq = mark->seq;
	l->end = 0;
	l->spoilt = l->spoilt && same;
	if (mark->offset)
		k = open_at_mark(l, e);
	if (k == ERR_OK)
		k = fd_list_dir(l->dir_fd, ".", remove_later, l, e);
	return k == ERR_OK && mark->offset ? cut_at_mark(l, e) : k;
}

enum err_kind reflog_open(int dir_fd, const struct reflog_mark *mark, struct reflog **ret,
			  struct err *e)
{
	struct reflog *l = calloc(1, sizeof(*l));
	enum err_kind k;

	if (!l)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the reflog");
	l->dir_fd = dir_fd;
	l->fd = -1;
	sbuf_init(&l->pending, PENDING_MAX);
	k = reflog_rewind(l, mark, e);
	if (k != ERR_OK) {
		reflog_close(&l);
		return k;
	}
	*ret = l;
	return ERR_OK;
}

void reflog_close(struct reflog **l)
{
	struct reflog *p = TAKE(*l);

	if (!p)
		return;
	fd_close(&p->fd);
	sbuf_clear(&p->pending);
	free(p);
}

enum err_kind reflog_add(struct reflog *l, const struct change *c, struct err *e)
{
	enum err_kind k;

	if (!reflog_records(c))
		return ERR_OK;
	k = reflog_record_write(c, l->seq + 1, &l->pending, e);
	if (k == ERR_OK)
		l->seq++;
	return k;
}

void reflog_drop(struct reflog *l)
{
	sbuf_clear(&l->pending);
	l->seq = l->mark.seq;
}

/* The name must be durable before the index counts on it. */
static enum err_kind begin_segment(struct reflog *l, struct reflog_mark *next, struct err *e)
{
	char name[REFLOG_NAME_MAX];
	enum err_kind k;

	fd_close(&l->fd);
	l->end = 0;
	l->spoilt = false;
	next->segment = l->mark.seq + 1;
	reflog_name(next->segment, name);
	k = fd_open_at(l->dir_fd, name, O_RDWR | O_APPEND | O_CREAT | O_TRUNC, 0640, &l->fd, e);
	if (k == ERR_OK)
		k = fd_sync_dir(l->dir_fd, ".", e);
	return k == ERR_OK ? k : err_wrap(e, "reflog");
}

enum err_kind reflog_sync(struct reflog *l, struct reflog_mark *ret, struct err *e)
{
	struct reflog_mark next = l->mark;
	enum err_kind k = ERR_OK;

	if (l->pending.n == 0) {
		*ret = next;
		return ERR_OK;
	}
	if (l->fd < 0 || l->spoilt || l->end >= REFLOG_SEGMENT_BYTES)
		k = begin_segment(l, &next, e);
	if (k == ERR_OK)
		k = fd_write_all(l->fd, l->pending.p, l->pending.n, "reflog", e);
	if (k != ERR_OK)
		return k;
	if (sys_fdatasync(l->fd) < 0) {
		l->spoilt = true;
		return err_sys(e, __func__, "fdatasync reflog");
	}
	next.offset = l->end + l->pending.n;
	next.seq = l->seq;
	*ret = next;
	return ERR_OK;
}

void reflog_accept(struct reflog *l, const struct reflog_mark *mark)
{
	l->mark = *mark;
	l->end = mark->offset;
	reflog_drop(l);
}
