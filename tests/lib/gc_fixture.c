#include "tests/lib/gc_fixture.h"

#include <sched.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "storage/blob.h"
#include "storage/fsck.h"
#include "storage/store_impl.h"
#include "storage/upload.h"

#define BLOB_MAX (64u * 1024)
#define LATER_MS (UINT64_MAX / 2) /* of a clock that has run for long */

void gc_forget_leases(struct store *st)
{
	struct err e;

	leases_free(&st->leases);
	MUST(leases_new(st->options.lease_ms, 0, &st->leases, &e) == ERR_OK);
}

struct store *gc_store_open(const char *root, uint64_t trash_keep_ms)
{
	struct store_options o = store_options_of(root);
	struct store_recovery found;
	struct store *st = NULL;
	struct err e = { .msg = "" };

	o.single_thread = false;
	o.lease_ms = GC_LEASE_MS;
	o.trash_keep_ms = trash_keep_ms;
	if (store_open(&o, &st, &found, &e) != ERR_OK)
		(void)fprintf(stderr, "# %s\n", e.msg);
	MUST(st);
	return st;
}

struct store *gc_store_of(const char *root, uint64_t trash_keep_ms)
{
	struct store *st = gc_store_open(root, trash_keep_ms);

	gc_forget_leases(st);
	return st;
}

void gc_store_drop(struct store **st)
{
	(*st)->opened = false; /* so that it does not end in order */
	store_close(st);
}

/* A change from here on is later than any before: time passes at once, but not none of it. */
static void pass_ms(void)
{
	uint64_t now = steady_ms();

	while (steady_ms() == now)
		(void)sched_yield();
}

size_t gc_due(struct store *st, struct collect_item ret[static COLLECT_MAX])
{
	struct review_row rows[COLLECT_MAX];
	struct err e;
	size_t n;

	pass_ms();
	MUST(index_review_page(store_index(st), NULL, UINT64_MAX - 1, COLLECT_MAX, rows, &n, &e) ==
	     ERR_OK);
	for (size_t i = 0; i < n; i++)
		ret[i] = (struct collect_item){ .row = rows[i], .policy = { .now_ms = LATER_MS } };
	return n;
}

enum verdict gc_collect(struct store *st, const struct digest *d)
{
	struct collect_item items[COLLECT_MAX];
	enum verdict found = VERDICT_N;
	size_t n = gc_due(st, items);
	struct err e;

	MUST(store_collect(st, items, n, &e) == ERR_OK);
	for (size_t i = 0; i < n; i++) {
		if (digest_eq(&items[i].row.digest, d))
			found = items[i].verdict;
	}
	return found;
}

static bool removes(enum verdict v)
{
	return v == VERDICT_LINK || v == VERDICT_MANIFEST || v == VERDICT_CONTENT ||
	       v == VERDICT_STALE;
}

void gc_collect_all(struct store *st)
{
	struct collect_item items[COLLECT_MAX];
	struct err e;
	bool more = true;

	while (more) {
		size_t n = gc_due(st, items);

		MUST(store_collect(st, items, n, &e) == ERR_OK);
		more = false;
		for (size_t i = 0; i < n; i++)
			more = more || removes(items[i].verdict);
	}
}

struct sbuf gc_image(const char *config, const char *layer, const char *extra)
{
	return image_of(config, &layer, 1, extra);
}

enum err_kind gc_put(struct store *st, const char *repo, struct str body, const char *media_type,
		     const char *tag, struct manifest_pushed *ret, struct err *e)
{
	struct repo_name r = repo_of(repo);
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct manifest_push push = { .body = body,
				      .media_type = str_of(media_type),
				      .digest = digest_of_bytes(DIGEST_SHA256, body),
				      .tags = &t,
				      .n_tags = tag ? 1 : 0 };

	return repo_manifest_put(st, &r, &push, ret, e);
}

struct digest gc_push_image(struct store *st, const char *repo, const char *config,
			    const char *layer, const char *tag)
{
	AUTO_SBUF b = gc_image(config, layer, "");

	push_blob(st, repo, config);
	push_blob(st, repo, layer);
	push_manifest(st, repo, (struct str){ b.p, b.n }, MEDIA_OCI_MANIFEST, tag);
	return digest_of_bytes(DIGEST_SHA256, (struct str){ b.p, b.n });
}

/* --- what is seen --- */

bool gc_has_blob(struct store *st, const char *repo, const char *text)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	struct blob_info info;
	struct err e;
	enum err_kind k = index_blob_find(store_index(st), &r, &d, &info, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	return k == ERR_OK;
}

static bool find_manifest(struct store *st, const char *repo, const char *tag,
			  const struct digest *d, struct manifest_info *ret)
{
	struct repo_name r = repo_of(repo);
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct err e;
	enum err_kind k;

	*ret = (struct manifest_info){ .bytes = NULL };
	k = index_manifest_find(store_index(st), &r, tag ? &t : NULL, d, ret, &e);
	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	return k == ERR_OK;
}

bool gc_has_manifest(struct store *st, const char *repo, const struct digest *d)
{
	struct manifest_info m;
	bool found = find_manifest(st, repo, NULL, d, &m);

	free(m.bytes);
	return found;
}

struct digest gc_tag(struct store *st, const char *repo, const char *tag)
{
	struct manifest_info m;
	bool found = find_manifest(st, repo, tag, NULL, &m);

	free(m.bytes);
	return found ? m.digest : (struct digest){ 0 };
}

bool gc_has_file(struct store *st, const struct digest *d)
{
	return blob_exists(st, d);
}

static const char *why_not_sound(struct store *st, const struct digest *d, uint64_t size_bytes)
{
	AUTO_SBUF b = { .max = BLOB_MAX };
	struct digest got;
	struct err e;

	if (blob_read(st, d, size_bytes, &b, &e) != ERR_OK)
		return "a file is missing or has another size";
	MUST(hash_bytes((enum digest_alg)d->alg, b.p, b.n, &got, &e) == ERR_OK);
	return digest_eq(&got, d) ? NULL : "a file does not hash to its name";
}

static const char *why_not_there(struct store *st, const struct repo_name *r,
				 const struct manifest_ref *ref)
{
	struct blob_info info;
	struct err e;

	if (ref->kind == REF_CHILD)
		return gc_why_not_whole(st, r->s, &ref->digest);
	if (index_blob_find(store_index(st), r, &ref->digest, &info, &e) != ERR_OK)
		return "a blob it refers to is not in the repository";
	if (info.size_bytes != ref->size_bytes || info.is_damaged)
		return "a blob it refers to has another size or is damaged";
	return why_not_sound(st, &ref->digest, ref->size_bytes);
}

const char *gc_why_not_whole(struct store *st, const char *repo, const struct digest *d)
{
	struct repo_name r = repo_of(repo);
	AUTO_SBUF b = { .max = BLOB_MAX };
	AUTO_MANIFEST parsed = { 0 };
	struct manifest_info m;
	const char *why;
	struct err e;

	if (!find_manifest(st, repo, NULL, d, &m))
		return "there is no such manifest";
	free(m.bytes);
	why = why_not_sound(st, d, m.size_bytes);
	if (why)
		return why;
	MUST(blob_read(st, d, m.size_bytes, &b, &e) == ERR_OK);
	MUST(manifest_parse((struct str){ b.p, b.n }, str_of(m.media_type), d, 32, &parsed, &e) ==
	     ERR_OK);
	for (size_t i = 0; i < parsed.n_refs && !why; i++)
		why = why_not_there(st, &r, &parsed.refs[i]);
	return why;
}

/* --- checks --- */

static bool add_name(void *arg, const struct fsck_fault *f)
{
	struct sbuf *b = arg;
	size_t n = strlen(f->name);

	if (b->n < n || strcmp(b->p + b->n - n, f->name) != 0 ||
	    (b->n > n && b->p[b->n - n - 1] != ' '))
		sbuf_addf(b, "%s%s", b->n ? " " : "", f->name);
	return true;
}

struct sbuf gc_faults(struct store *st, bool repair)
{
	struct fsck_result result;
	struct sbuf b;
	struct err e;
	enum err_kind k;

	sbuf_init(&b, BLOB_MAX);
	sbuf_add(&b, "", 0);
	k = store_fsck(st, repair, add_name, &b, &result, &e);
	if (k != ERR_OK)
		(void)fprintf(stderr, "# fsck: %s\n", e.msg);
	MUST(!b.failed && k == ERR_OK);
	return b;
}

/* --- the trash --- */

uint64_t gc_trash_id(struct store *st, const struct digest *d)
{
	uint64_t id = 0, found = 0;

	for (;;) {
		AUTO_TRASH_ITEM item = { 0 };
		struct err e;
		enum err_kind k = index_trash_next(store_index(st), id, &item, &e);

		if (k != ERR_OK) {
			MUST(k == ERR_NOT_FOUND);
			return found;
		}
		if (digest_eq(&item.row.digest, d))
			found = item.row.id;
		id = item.row.id + 1;
	}
}

unsigned gc_trash_rows(struct store *st)
{
	struct kv_stat s;
	struct err e;

	MUST(index_stat(store_index(st), &s, &e) == ERR_OK);
	return (unsigned)s.entries[KV_TRASH];
}
