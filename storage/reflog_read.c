#include <errno.h>

#include "base/fd.h"
#include "storage/reflog.h"

/* The files of a log in order. */
struct segments {
	uint64_t *first;
	size_t n, room;
};

static void segments_clear(struct segments *s)
{
	free(s->first);
}

static int order(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static enum err_kind segments_add(void *arg, const char *name, struct err *e)
{
	struct segments *s = arg;
	uint64_t first;

	if (!reflog_name_parse(name, &first))
		return ERR_OK;
	if (s->n == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		uint64_t *grown = reallocarray(s->first, room, sizeof(*grown));

		if (!grown)
			return err_set(e, ERR_NO_MEMORY, __func__,
				       "no memory for the reflog's files");
		s->first = grown;
		s->room = room;
	}
	s->first[s->n++] = first;
	return ERR_OK;
}

static enum err_kind segments_list(int dir_fd, struct segments *s, struct err *e)
{
	enum err_kind k = fd_list_dir(dir_fd, ".", segments_add, s, e);

	if (k == ERR_OK && s->n)
		qsort(s->first, s->n, sizeof(s->first[0]), order);
	return k;
}

static bool segments_has(const struct segments *s, uint64_t first)
{
	return s->n && bsearch(&first, s->first, s->n, sizeof(s->first[0]), order) != NULL;
}

struct reading {
	const struct segments *segments;
	uint64_t seq, last_seq;   /* of the last record read; where to stop */
	struct reflog_scan *scan; /* of reflog_read_all: takes what it finds */
	struct str mention;       /* only records with this text in them are for fn; empty: all */
	uint64_t segment, offset; /* where the next line begins */
	reflog_record_fn *fn;
	void *arg;
};

/* Of a whole log each record follows the one before; of one that is scanned, it is a later one. */
static enum err_kind take_record(struct reading *r, const struct reflog_record *record,
				 struct err *e)
{
	if (!r->scan && record->seq != r->seq + 1)
		return err_set(e, ERR_CORRUPT, __func__, "reflog: record %llu after %llu",
			       (unsigned long long)record->seq, (unsigned long long)r->seq);
	if (r->scan) {
		if (record->seq <= r->seq)
			return ERR_OK;
		r->scan->missing += record->seq - r->seq - 1;
		r->scan->records++;
		r->scan->end = (struct reflog_mark){ .segment = r->segment,
						     .offset = r->offset,
						     .seq = record->seq };
	}
	r->seq = record->seq;
	return r->fn(r->arg, record, e);
}

/* The number of a record, of a line as reflog_record_write makes them; of any other, this is not known. */
static bool peek_seq(struct str line, uint64_t *ret)
{
	struct str in = line;

	if (!str_starts(in, STR("{\"seq\":")))
		return false;
	in.p += 7;
	in.n -= 7;
	return scan_u64(&in, INT64_MAX, ret) && scan_char(&in, ',');
}

/* A record that was read before, or that is not about what is asked for, costs no more than a look. */
static bool skip_line(struct reading *r, struct str line)
{
	uint64_t seq;
	bool mentions =
	    r->mention.n == 0 || memmem(line.p, line.n, r->mention.p, r->mention.n) != NULL;

	if (!peek_seq(line, &seq) || (mentions && !(r->scan && seq <= r->seq)))
		return false;
	r->offset += line.n;
	if (seq > r->seq)
		r->seq = seq;
	return true;
}

/* line is whole, with its newline. */
static enum err_kind read_line(struct reading *r, struct str line, struct err *e)
{
	AUTO_REFLOG_RECORD record = { 0 };
	enum err_kind k;

	if (skip_line(r, line))
		return ERR_OK;
	k = reflog_record_parse((struct str){ line.p, line.n - 1 }, &record, e);
	r->offset += line.n;
	if (k == ERR_CORRUPT && r->scan) {
		r->scan->unreadable++;
		return ERR_OK;
	}
	return k == ERR_OK ? take_record(r, &record, e) : k;
}

/*
 * A file may end with lines that never counted, if its fsync failed (L3): the next file begins with the record after
 * the last one that did.
 */
static bool is_over(const struct reading *r)
{
	uint64_t next = r->seq + 1;
	bool is_this = next == r->segment; /* whose first line was no record */

	return r->seq >= r->last_seq || (!is_this && segments_has(r->segments, next));
}

/* From r->offset of the file r->segment on. */
static enum err_kind read_segment(struct reading *r, int dir_fd, struct err *e)
{
	AUTO_FREE char *line = NULL;
	char name[REFLOG_NAME_MAX];
	AUTO_CLOSE fd = -1;
	size_t room = 0;
	ssize_t n = 0;
	FILE *f;
	enum err_kind k;

	reflog_name(r->segment, name);
	k = fd_open_at(dir_fd, name, O_RDONLY, 0, &fd, e);
	if (k != ERR_OK)
		return k;
	f = fdopen(fd, "r");
	if (!f)
		return err_sys(e, __func__, "open reflog/%s", name);
	(void)TAKE_FD(fd); /* fclose closes it */
	if (fseeko(f, (off_t)r->offset, SEEK_SET) < 0)
		k = err_sys(e, __func__, "seek in reflog/%s", name);
	while (k == ERR_OK && (n = getline(&line, &room, f)) > 0) {
		if (line[n - 1] != '\n') { /* torn: never counted */
			if (r->scan)
				r->scan->unreadable++;
			break;
		}
		k = read_line(r, (struct str){ line, (size_t)n }, e);
		if (k == ERR_OK && is_over(r))
			break;
	}
	if (k == ERR_OK && n < 0 && ferror(f))
		k = err_sys(e, __func__, "read reflog/%s", name);
	(void)fclose(f);
	return k;
}

enum err_kind reflog_read(int dir_fd, const struct reflog_mark *after, uint64_t last_seq,
			  reflog_record_fn *fn, void *arg, struct err *e)
{
	CLEANUP(segments_clear) struct segments segments = { 0 };
	struct reading r = { .segments = &segments,
			     .seq = after->seq,
			     .last_seq = last_seq,
			     .segment = after->segment,
			     .offset = after->offset,
			     .fn = fn,
			     .arg = arg };
	enum err_kind k = segments_list(dir_fd, &segments, e);

	while (k == ERR_OK && r.seq < last_seq) {
		uint64_t before = r.seq;

		if (segments_has(&segments, r.seq + 1)) {
			r.segment = r.seq + 1;
			r.offset = 0;
		}
		k = read_segment(&r, dir_fd, e);
		if (k == ERR_OK && r.seq < last_seq &&
		    (r.seq == before || !segments_has(&segments, r.seq + 1)))
			k = err_set(e, ERR_CORRUPT, __func__, "reflog: no record %llu",
				    (unsigned long long)r.seq + 1);
	}
	return k;
}

static enum err_kind read_all(struct reading *r, int dir_fd, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < r->segments->n && k == ERR_OK; i++) {
		r->segment = r->segments->first[i];
		r->offset = 0;
		k = read_segment(r, dir_fd, e);
	}
	return k;
}

/* The first file after the one that is being read. */
static bool next_segment(struct reading *r)
{
	for (size_t i = 0; i < r->segments->n; i++) {
		if (r->segments->first[i] > r->segment) {
			r->segment = r->segments->first[i];
			r->offset = 0;
			return true;
		}
	}
	return false;
}

/* The file that begins with the next record is the one to go on in, whatever else follows in the present one (L3). */
static void go_on_behind(struct reading *r)
{
	if (!segments_has(r->segments, r->seq + 1) || r->segment == r->seq + 1)
		return;
	r->segment = r->seq + 1;
	r->offset = 0;
}

/* Without a file named, the last one that may have the record after it. */
static void find_segment(struct reading *r)
{
	for (size_t i = 0; i < r->segments->n && r->segments->first[i] <= r->seq + 1; i++)
		r->segment = r->segments->first[i];
	if (r->segment == 0)
		(void)next_segment(r);
}

enum err_kind reflog_read_on(int dir_fd, struct reflog_mark *at, uint64_t last_seq,
			     reflog_record_fn *fn, void *arg, struct err *e)
{
	CLEANUP(segments_clear) struct segments segments = { 0 };
	struct reflog_scan scan = { 0 };
	struct reading r = { .segments = &segments,
			     .seq = at->seq,
			     .last_seq = last_seq,
			     .scan = &scan,
			     .segment = at->segment,
			     .offset = at->offset,
			     .fn = fn,
			     .arg = arg };
	enum err_kind k = ERR_OK;

	if (at->seq >= last_seq)
		return ERR_OK;
	k = segments_list(dir_fd, &segments, e);
	if (r.segment == 0)
		find_segment(&r);
	do {
		go_on_behind(&r);
		if (k == ERR_OK)
			k = read_segment(&r, dir_fd, e);
		if (k == ERR_NOT_FOUND)
			k = ERR_OK; /* of a log that lost files */
	} while (k == ERR_OK && r.seq < last_seq && next_segment(&r));
	if (k == ERR_OK)
		*at = (struct reflog_mark){ r.segment, r.offset, r.seq };
	return k;
}

enum err_kind reflog_read_all(int dir_fd, reflog_record_fn *fn, void *arg, struct reflog_scan *ret,
			      struct err *e)
{
	CLEANUP(segments_clear) struct segments segments = { 0 };
	struct reading r = {
		.segments = &segments, .last_seq = UINT64_MAX, .scan = ret, .fn = fn, .arg = arg
	};
	enum err_kind k = segments_list(dir_fd, &segments, e);

	*ret = (struct reflog_scan){ .end = { .segment = 1 } };
	return k == ERR_OK ? read_all(&r, dir_fd, e) : k;
}

struct chosen {
	const struct repo_name *repo;
	reflog_record_fn *fn;
	void *arg;
};

static enum err_kind take_chosen(void *arg, const struct reflog_record *r, struct err *e)
{
	const struct chosen *c = arg;

	return str_eq(repo_name_str(&r->repo), repo_name_str(c->repo)) ? c->fn(c->arg, r, e)
								       : ERR_OK;
}

enum err_kind reflog_read_repo(int dir_fd, const struct repo_name *repo, reflog_record_fn *fn,
			       void *arg, struct err *e)
{
	CLEANUP(segments_clear) struct segments segments = { 0 };
	struct chosen c = { .repo = repo, .fn = fn, .arg = arg };
	char mention[REPO_NAME_MAX + sizeof("\"repo\":\"\"")];
	struct reflog_scan scan = { 0 };
	struct reading r = { .segments = &segments,
			     .last_seq = UINT64_MAX,
			     .scan = &scan,
			     .fn = take_chosen,
			     .arg = &c };
	enum err_kind k = segments_list(dir_fd, &segments, e);

	(void)snprintf(mention, sizeof(mention), "\"repo\":\"%s\"", repo->s);
	r.mention = str_of(mention);
	return k == ERR_OK ? read_all(&r, dir_fd, e) : k;
}
