#include "storage/fsck.h"

#include <errno.h>

#include "base/clock.h"
#include "base/fd.h"
#include "storage/scrub.h"
#include "storage/store_impl.h"
#include "storage/upload.h"

#define ROWS_PAGE 512
#define FILES_PAGE 256
#define ROUNDS_MAX 8 /* of repairs that bring other faults to light */

struct fsck {
	struct store *st;
	bool repair, stopped;
	bool again; /* rows are checked once more: what could not be repaired was told of already */
	fsck_fault_fn *fn;
	void *arg;
	struct fsck_result result;
};

static void report(struct fsck *c, const struct fsck_fault *f)
{
	c->result.faults++;
	c->result.repaired += f->repaired;
	if (!c->stopped)
		c->stopped = !c->fn(c->arg, f);
}

/* --- rows --- */

static enum err_kind mend_row(struct fsck *c, const struct index_fault *f, bool *ret, struct err *e)
{
	struct change ch = store_change(c->st, CHANGE_MEND, &(struct repo_name){ 0 });
	enum err_kind k;

	ch.row_table = f->table;
	ch.row_key = f->key;
	k = commit_change(c->st->committer, &ch, e);
	*ret = k == ERR_OK && ch.n_mended > 0;
	return k;
}

static enum err_kind report_row(struct fsck *c, const struct index_fault *f, struct err *e)
{
	struct fsck_fault out = { .name = f->name,
				  .where = kv_table_name(f->table),
				  .can_repair = f->can_mend };
	enum err_kind k = ERR_OK;

	memcpy(out.what, f->what, sizeof(out.what));
	if (c->repair && f->can_mend)
		k = mend_row(c, f, &out.repaired, e);
	if (k == ERR_OK && (!c->again || out.repaired))
		report(c, &out);
	return k;
}

static enum err_kind check_table(struct fsck *c, enum kv_table table, struct err *e)
{
	uint64_t now = steady_ms(), due = now + c->st->options.lease_ms;
	struct key last = { 0 };
	size_t n = ROWS_PAGE;

	for (bool first = true; n == ROWS_PAGE && !c->stopped; first = false) {
		AUTO_INDEX_FAULTS faults = { 0 };
		struct key after = last;
		enum err_kind k = index_check_page(c->st->index, table, first ? NULL : &after,
						   ROWS_PAGE, now, due, &faults, &last, &n, e);

		for (size_t i = 0; k == ERR_OK && i < faults.n && !c->stopped; i++)
			k = report_row(c, &faults.at[i], e);
		if (k != ERR_OK)
			return k;
		c->result.rows += c->again ? 0 : n;
	}
	return ERR_OK;
}

static enum err_kind check_totals(struct fsck *c, struct err *e)
{
	const struct index_fault f = {
		.name = "wrong-totals", .table = KV_META, .can_mend = true, .what = "totals"
	};
	bool right;
	enum err_kind k = index_check_totals(c->st->index, &right, e);

	return k == ERR_OK && !right ? report_row(c, &f, e) : k;
}

static enum err_kind check_all_rows(struct fsck *c, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (unsigned t = 0; t < KV_USAGE && k == ERR_OK && !c->stopped; t++)
		k = check_table(c, (enum kv_table)t, e);
	return k == ERR_OK && !c->stopped ? check_totals(c, e) : k;
}

/* Once, or as long as repairs leave something that is to be repaired in its turn. */
static enum err_kind check_rows(struct fsck *c, struct err *e)
{
	uint64_t before;
	enum err_kind k;

	for (unsigned i = 0; i < ROUNDS_MAX; i++) {
		before = c->result.repaired;
		k = check_all_rows(c, e);
		if (k != ERR_OK || c->stopped || c->result.repaired == before)
			return k;
		c->again = true;
	}
	return ERR_OK;
}

/* --- files of content --- */

static const char *state_of_file(struct store *st, const struct object_item *o, struct err *e)
{
	AUTO_CLOSE fd = -1;

	if (blob_open(st, &o->digest, o->row.size_bytes, &fd, e) == ERR_OK)
		return NULL;
	if (e->kind != ERR_CORRUPT)
		return "unreadable-file";
	return blob_exists(st, &o->digest) ? "wrong-size" : "missing-file";
}

/* A manifest's bytes are in the index as well; of other content the next push is kept from relying on it. */
static enum err_kind mend_file(struct fsck *c, const struct object_item *o, bool *ret,
			       struct err *e)
{
	AUTO_FREE char *bytes = NULL;
	struct object_row row;
	enum err_kind k = index_object_find(c->st->index, &o->digest, &row, &bytes, e);

	*ret = false;
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	if (!bytes)
		return scrub_mark(c->st, &o->digest, true, e);
	k = blob_rewrite(c->st, &o->digest, (struct str){ bytes, (size_t)row.size_bytes },
			 PUBLISH_SYNCED, e);
	*ret = k == ERR_OK;
	return k;
}

/* What is wrong only because it is being collected or pushed right now is not wrong a moment later. */
static bool is_in_use(struct fsck *c, const struct object_item *o)
{
	struct publisher claim;
	struct object_row row;
	struct err ignored;
	bool gone;

	if (!blob_claim(c->st, &o->digest, &claim))
		return true;
	gone = index_object_find(c->st->index, &o->digest, &row, NULL, &ignored) != ERR_OK ||
	       state_of_file(c->st, o, &ignored) == NULL;
	blob_unclaim(c->st, &claim);
	return gone;
}

static enum err_kind check_file(struct fsck *c, const struct object_item *o, struct err *e)
{
	struct fsck_fault f = { .where = "blobs" };
	struct err failure;
	enum err_kind k = ERR_OK;

	c->result.files++;
	f.name = state_of_file(c->st, o, &failure);
	if (!f.name && o->row.damaged_ms)
		f.name = "damaged-file";
	else if (!f.name || is_in_use(c, o))
		return ERR_OK;
	digest_text(&o->digest, f.what);
	f.can_repair = false;
	if (c->repair && strcmp(f.name, "damaged-file") != 0) {
		k = mend_file(c, o, &f.repaired, e);
		f.can_repair = f.repaired;
	}
	if (k == ERR_OK)
		report(c, &f);
	return k;
}

static enum err_kind check_files(struct fsck *c, struct err *e)
{
	AUTO_FREE struct object_item *items = calloc(FILES_PAGE, sizeof(*items));
	struct digest last;
	size_t n = FILES_PAGE;

	if (!items)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for fsck");
	for (bool first = true; n == FILES_PAGE && !c->stopped; first = false) {
		enum err_kind k =
		    index_object_page(c->st->index, first ? NULL : &last, FILES_PAGE, items, &n, e);

		for (size_t i = 0; k == ERR_OK && i < n && !c->stopped; i++)
			k = check_file(c, &items[i], e);
		if (k != ERR_OK)
			return k;
		if (n)
			last = items[n - 1].digest;
	}
	return ERR_OK;
}

/* --- files that no row names --- */

/* Content that a repository has and whose row was lost: its file is as good as a new push, if it is sound. */
static enum err_kind take_in(struct fsck *c, const struct digest *d, bool *ret, struct err *e)
{
	struct change ch = store_change(c->st, CHANGE_FOUND, &(struct repo_name){ 0 });
	char path[BLOB_PATH_MAX];
	struct stat s;
	enum err_kind k;

	blob_path(d, path);
	if (fstatat(c->st->blobs_fd[d->alg], path, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, __func__, "stat %s", path);
	ch.digest = *d;
	ch.size_bytes = (uint64_t)s.st_size;
	k = blob_verify(c->st, d, ch.size_bytes, NULL, NULL, ret, e);
	return k == ERR_OK && *ret ? commit_change(c->st->committer, &ch, e) : k;
}

/* By who has claimed the digest. */
static enum err_kind check_unknown(struct fsck *c, const struct digest *d, struct err *e)
{
	struct fsck_fault f = { .name = "stray-file", .where = "blobs", .can_repair = true };
	bool has_place;
	enum err_kind k = index_has_place(c->st->index, d, &has_place, e);

	if (k != ERR_OK)
		return k;
	if (has_place)
		f.name = "lost-object";
	if (c->repair && has_place) {
		k = take_in(c, d, &f.repaired, e);
		f.can_repair = f.repaired;
	} else if (c->repair) {
		k = blob_banish(c->st, d, e);
		f.repaired = k == ERR_OK;
	}
	digest_text(d, f.what);
	if (k == ERR_OK)
		report(c, &f);
	return k;
}

/* K2; of content that is on its way in or out, the claim is somebody else's. */
static enum err_kind check_stray(struct fsck *c, const struct digest *d, struct err *e)
{
	struct publisher claim;
	struct object_row row;
	struct err known;
	enum err_kind k;

	if (!blob_claim(c->st, d, &claim))
		return ERR_OK;
	k = index_object_find(c->st->index, d, &row, NULL, &known);
	if (k == ERR_NOT_FOUND)
		k = blob_exists(c->st, d) ? check_unknown(c, d, e) : ERR_OK;
	else if (k != ERR_OK)
		*e = known;
	blob_unclaim(c->st, &claim);
	return k;
}

static enum err_kind check_name(void *arg, const struct digest *d, const char *path, struct err *e)
{
	struct fsck *c = arg;
	struct fsck_fault f = { .name = "foreign-file", .where = "blobs" };
	struct object_row row;
	struct err failure;
	enum err_kind k;

	if (c->stopped)
		return ERR_OK;
	if (!d) {
		(void)snprintf(f.what, sizeof(f.what), "%s", path);
		report(c, &f);
		return ERR_OK;
	}
	k = index_object_find(c->st->index, d, &row, NULL, &failure);
	if (k == ERR_NOT_FOUND)
		return check_stray(c, d, e);
	if (k != ERR_OK && k != ERR_CORRUPT) /* its row was told of */
		*e = failure;
	return k == ERR_CORRUPT ? ERR_OK : k;
}

/* --- uploads --- */

/* A session without its file cannot go on. */
static enum err_kind check_session(struct fsck *c, const struct upload_id *id, struct err *e)
{
	struct fsck_fault f = { .name = "upload-without-file",
				.where = "uploads",
				.can_repair = true };
	AUTO_UPLOAD *u = NULL;
	struct upload_row row;
	struct err failure;
	enum err_kind k;

	upload_id_text(id, f.what);
	if (faccessat(c->st->uploads_fd, f.what, F_OK, 0) == 0)
		return ERR_OK;
	k = index_upload_find(c->st->index, id, &row, &failure);
	if (k == ERR_CORRUPT) /* its row was told of */
		return ERR_OK;
	if (k != ERR_OK)
		*e = failure;
	if (k == ERR_OK)
		k = upload_take(c->st, &row.repo, id, &u, e);
	if (k == ERR_OK || k == ERR_IN_USE)
		return ERR_OK;
	if (k == ERR_NOT_FOUND)
		k = index_upload_find(c->st->index, id, &row, e);
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k; /* ended since */
	if (c->repair)
		k = upload_forget(c->st, id, e);
	f.repaired = c->repair && k == ERR_OK;
	if (k == ERR_OK)
		report(c, &f);
	return k;
}

static enum err_kind check_sessions(struct fsck *c, struct err *e)
{
	struct upload_id ids[FILES_PAGE], last;
	size_t n = FILES_PAGE;

	for (bool first = true; n == FILES_PAGE && !c->stopped; first = false) {
		enum err_kind k =
		    index_upload_page(c->st->index, first ? NULL : &last, FILES_PAGE, ids, &n, e);

		for (size_t i = 0; k == ERR_OK && i < n && !c->stopped; i++)
			k = check_session(c, &ids[i], e);
		if (k != ERR_OK)
			return k;
		if (n)
			last = ids[n - 1];
	}
	return ERR_OK;
}

/* Of a body under way there is no row either, so age tells: it has not been written to for as long as a session may idle. */
static enum err_kind check_upload_name(void *arg, const char *name, struct err *e)
{
	struct fsck *c = arg;
	struct fsck_fault f = { .name = "stray-upload", .where = "uploads", .can_repair = true };
	struct upload_id id;
	struct upload_row row;
	struct digest d;
	struct stat s;
	enum err_kind k = ERR_NOT_FOUND;

	if (upload_id_parse(&id, str_of(name)))
		k = index_upload_find(c->st->index, &id, &row, e);
	else if (!blob_pending_parse(str_of(name), &d, &id))
		return ERR_OK;
	if (k != ERR_NOT_FOUND)
		return k;
	if (fstatat(c->st->uploads_fd, name, &s, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (uint64_t)s.st_ctim.tv_sec * 1000 + c->st->options.uploads_idle_ms + 1000 > wall_ms())
		return ERR_OK;
	(void)snprintf(f.what, sizeof(f.what), "%s", name);
	if (c->repair && sys_unlinkat(c->st->uploads_fd, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove uploads/%.60s", name);
	f.repaired = c->repair;
	report(c, &f);
	return ERR_OK;
}

/* --- reflog --- */

static enum err_kind count_record(void *arg, const struct reflog_record *r, struct err *e)
{
	struct fsck *c = arg;

	(void)r, (void)e;
	c->result.rows++;
	return ERR_OK;
}

static enum err_kind check_reflog(struct fsck *c, struct err *e)
{
	const struct reflog_mark start = { .segment = 1 };
	struct fsck_fault f = { .name = "bad-reflog", .where = "reflog" };
	struct reflog_mark mark;
	struct err failure;
	enum err_kind k = index_mark_read(c->st->index, &mark, e);

	if (k != ERR_OK)
		return k;
	k = reflog_read(c->st->reflog_fd, &start, mark.seq, count_record, c, &failure);
	if (k == ERR_OK)
		return k;
	if (k != ERR_CORRUPT && k != ERR_NOT_FOUND) {
		*e = failure;
		return k;
	}
	(void)snprintf(f.what, sizeof(f.what), "%s", failure.msg);
	report(c, &f);
	return ERR_OK;
}

enum err_kind store_fsck(struct store *st, bool repair, fsck_fault_fn *fn, void *arg,
			 struct fsck_result *ret, struct err *e)
{
	struct fsck c = { .st = st, .repair = repair, .fn = fn, .arg = arg };
	enum err_kind k = check_rows(&c, e);

	if (k == ERR_OK && !c.stopped)
		k = check_files(&c, e);
	if (k == ERR_OK && !c.stopped)
		k = blob_list(st, check_name, &c, e);
	if (k == ERR_OK && !c.stopped)
		k = check_table(&c, KV_USAGE, e); /* sums, of what is mended by now */
	if (k == ERR_OK && !c.stopped)
		k = check_sessions(&c, e);
	if (k == ERR_OK && !c.stopped)
		k = fd_list_dir(st->uploads_fd, ".", check_upload_name, &c, e);
	if (k == ERR_OK && !c.stopped)
		k = check_reflog(&c, e);
	*ret = c.result;
	return k;
}
