#include "tests/lib/history.h"

#include "storage/store_impl.h"
#include "storage/trash.h"
#include "tests/lib/gc_fixture.h"
#include "tests/lib/index_fixture.h"

#define REPOS 4u
#define BLOBS 24u
#define TAGS 6u

/* --- changes by chance --- */

/* xorshift64* by Vigna: the same everywhere. */
static unsigned pick(struct history *h, unsigned n)
{
	h->random ^= h->random >> 12;
	h->random ^= h->random << 25;
	h->random ^= h->random >> 27;
	return (unsigned)((h->random * 0x2545f4914f6cdd1du >> 33) % n);
}

#define NAME_ROOM 32
static const char *name_by_chance(struct history *h, const char *what, unsigned n,
				  char buf[static NAME_ROOM])
{
	(void)snprintf(buf, NAME_ROOM, "%s%u", what, pick(h, n));
	return buf;
}

/* What may be refused, and nothing else. */
static void note(struct history *h, enum err_kind k)
{
	MUST(k == ERR_OK || index_refused(k) || k == ERR_EXISTS);
	h->acknowledged += k == ERR_OK;
}

static struct sbuf body_by_chance(struct history *h, struct store *st, const char *repo)
{
	char config[NAME_ROOM], layers[2][NAME_ROOM], extra[512] = "", text[DIGEST_TEXT_MAX];
	const char *const at[] = { layers[0], layers[1] };
	unsigned n = 1 + pick(h, 2);

	name_by_chance(h, "blob", 4, config);
	name_by_chance(h, "blob", BLOBS, layers[0]);
	name_by_chance(h, "layer", BLOBS, layers[1]);
	push_blob(st, repo, config);
	push_blob(st, repo, layers[0]);
	if (pick(h, 8)) /* else it may be refused */
		push_blob(st, repo, layers[1]);
	if (pick(h, 6) == 0) {
		AUTO_SBUF subject = image_of("blob0", (const char *const[]){ "blob1" }, 1, "");
		struct digest d = digest_of(subject.p);

		(void)snprintf(extra, sizeof(extra),
			       ",\"artifactType\":\"application/x-%u\",\"subject\":{\"mediaType\":"
			       "\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"%s\",\"size\":%zu}",
			       pick(h, 3), digest_text(&d, text), subject.n);
	}
	return image_of(config, at, n, extra);
}

static void put(struct history *h, struct store *st, const char *repo)
{
	AUTO_SBUF b = body_by_chance(h, st, repo), index = { .max = 4096 };
	AUTO_MANIFEST_PUSHED pushed = { 0 }, ignored = { 0 };
	struct digest d = digest_of(b.p);
	char tag[NAME_ROOM];
	struct err e;

	name_by_chance(h, "tag", TAGS, tag);
	if (pick(h, 5)) {
		note(h, gc_put(st, repo, text_of(&b), MEDIA_OCI_MANIFEST, pick(h, 3) ? tag : NULL,
			       &pushed, &e));
		return;
	}
	note(h, gc_put(st, repo, text_of(&b), MEDIA_OCI_MANIFEST, NULL, &pushed, &e));
	index = index_of_child(&d, b.n, "");
	note(h, gc_put(st, repo, text_of(&index), MEDIA_OCI_INDEX, tag, &ignored, &e));
}

static void delete_manifest(struct history *h, struct store *st, const struct repo_name *r)
{
	char tag[NAME_ROOM];
	struct digest d = gc_tag(st, r->s, name_by_chance(h, "tag", TAGS, tag));
	struct err e;

	if (d.alg)
		note(h, repo_manifest_delete(st, r, &d, NULL, &e));
}

static void delete_tag(struct history *h, struct store *st, const struct repo_name *r)
{
	char tag[NAME_ROOM];
	struct tag_name t = tag_of(name_by_chance(h, "tag", TAGS, tag));
	struct err e;

	note(h, repo_tag_delete(st, r, &t, NULL, &e));
}

static void change_blob(struct history *h, struct store *st, const struct repo_name *r)
{
	char blob[NAME_ROOM], other[NAME_ROOM];
	struct digest d = digest_of(name_by_chance(h, "blob", BLOBS, blob));
	struct repo_name from = repo_of(name_by_chance(h, "repo", REPOS, other));
	struct err e;

	switch (pick(h, 3)) {
	case 0:
		push_blob(st, r->s, blob);
		h->acknowledged++;
		break;
	case 1:
		note(h, repo_blob_mount(st, r, pick(h, 2) ? &from : NULL, &d, NULL, &e));
		break;
	default:
		note(h, repo_blob_delete(st, r, &d, NULL, &e));
	}
}

static void restore_one(struct history *h, struct store *st)
{
	unsigned n = gc_trash_rows(st);
	uint64_t id = 0;
	struct err e;

	for (unsigned skip = n ? pick(h, n) : 0; n; skip--) {
		AUTO_TRASH_ITEM item = { 0 };

		MUST(index_trash_next(store_index(st), id, &item, &e) == ERR_OK);
		if (skip == 0) {
			note(h, trash_restore(st, item.row.id, NULL, &e));
			return;
		}
		id = item.row.id + 1;
	}
}

void history_run(struct history *h, struct store *st, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char name[NAME_ROOM];
		struct repo_name r = repo_of(name_by_chance(h, "repo", REPOS, name));
		unsigned what = pick(h, h->collects ? 14 : 12);

		if (what < 5)
			put(h, st, r.s);
		else if (what < 9)
			change_blob(h, st, &r);
		else if (what < 11)
			delete_tag(h, st, &r);
		else if (what < 12)
			delete_manifest(h, st, &r);
		else if (what < 13 || pick(h, 4))
			restore_one(h, st);
		else
			gc_collect_all(st);
	}
}

/* --- what there is --- */

struct lines {
	struct kv_txn *t;
	char **at;
	size_t n, room;
};

static void add_line(struct lines *l, struct sbuf *b)
{
	MUST(!b->failed);
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 1024;
		l->at = reallocarray(l->at, l->room, sizeof(*l->at));
		MUST(l->at);
	}
	l->at[l->n] = strdup(b->p);
	MUST(l->at[l->n++]);
}

static const char *repo_text(struct lines *l, uint64_t id, struct repo_name *ret)
{
	struct err e;

	MUST(index_get_repo_name(l->t, id, ret, &e) == ERR_OK);
	return ret->s;
}

static void hex_line(struct sbuf *b, struct str bytes)
{
	for (size_t i = 0; i < bytes.n; i++)
		sbuf_addf(b, "%02x", (uint8_t)bytes.p[i]);
}

static bool repo_line(struct lines *l, struct str key, struct str value, struct sbuf *b)
{
	struct repo_row row;

	(void)l;
	MUST(repo_row_unpack(value, &row));
	sbuf_addf(b, "repo %.*s %llu", STR_FMT(key), (unsigned long long)row.created_ms);
	return true;
}

static bool tag_line(struct lines *l, struct str key, struct str value, struct sbuf *b)
{
	char text[DIGEST_TEXT_MAX];
	struct repo_name name;
	struct tag_row row;
	uint64_t repo;

	MUST(unpack_u64(&key, &repo) && tag_row_unpack(value, &row));
	sbuf_addf(b, "tag %s:%.*s %llu %s", repo_text(l, repo, &name), STR_FMT(key),
		  (unsigned long long)row.pushed_ms, digest_text(&row.digest, text));
	return true;
}

/* A child may have been gone when the manifest was done again: that it was there once is of no use. */
static void manifest_line(struct str value, struct sbuf *b)
{
	char text[DIGEST_TEXT_MAX];
	struct manifest_row row;
	struct manifest_ref ref;
	struct str refs;

	MUST(manifest_row_unpack(value, &row, &refs));
	sbuf_addf(b, " %llu %llu %s %s %d %s", (unsigned long long)row.pushed_ms,
		  (unsigned long long)row.size_bytes, row.media_type, row.artifact_type,
		  row.has_subject, row.has_subject ? digest_text(&row.subject, text) : "");
	while (refs_next(&refs, &ref))
		sbuf_addf(b, " %d%s%s", ref.kind, digest_text(&ref.digest, text),
			  ref.was_absent && ref.kind != REF_CHILD ? "?" : "");
	MUST(refs.n == 0);
}

static bool entry_line(struct lines *l, struct str key, struct str value, struct sbuf *b)
{
	char text[DIGEST_TEXT_MAX];
	struct repo_name name;
	struct digest d;
	uint64_t repo, id;
	uint8_t kind;

	MUST(unpack_u64(&key, &repo) && unpack_digest(&key, &d) && unpack_u8(&key, &kind));
	sbuf_addf(b, "entry %s@%s %d", repo_text(l, repo, &name), digest_text(&d, text), kind);
	if (kind == ENTRY_MANIFEST) {
		manifest_line(value, b);
		return true;
	}
	if (kind == ENTRY_HELD) /* the holder's number; the value has its digest */
		MUST(unpack_u64(&key, &id));
	sbuf_add(b, " ", 1);
	hex_line(b, key);
	sbuf_add(b, " ", 1);
	hex_line(b, value);
	return kind != ENTRY_REVIEW;
}

static bool content_line(struct lines *l, struct str key, struct str value, struct sbuf *b)
{
	char text[DIGEST_TEXT_MAX];
	struct repo_name name;
	struct digest d;
	uint64_t repo;
	uint8_t kind;

	MUST(unpack_digest(&key, &d) && unpack_u8(&key, &kind));
	sbuf_addf(b, "content %s %d ", digest_text(&d, text), kind);
	if (kind == CONTENT_PLACE) {
		MUST(unpack_u64(&key, &repo));
		sbuf_addf(b, "%s ", repo_text(l, repo, &name));
	}
	hex_line(b, value);
	return kind == CONTENT_OBJECT || kind == CONTENT_BYTES || kind == CONTENT_PLACE;
}

static void add_table(struct lines *l, enum kv_table table,
		      bool (*fn)(struct lines *, struct str, struct str, struct sbuf *))
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	struct err e;

	MUST(kv_cursor_open(l->t, table, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR(""), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		AUTO_SBUF b = { .max = SBUF_MAX };

		if (fn(l, key, value, &b))
			add_line(l, &b);
	}
}

static int line_order(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct sbuf history_text(struct store *st)
{
	AUTO_KV_TXN *t = NULL;
	struct lines l = { 0 };
	struct sbuf all;
	struct err e;

	MUST(kv_read_begin(store_index(st)->kv, &t, &e) == ERR_OK);
	l.t = t;
	add_table(&l, KV_REPO, repo_line);
	add_table(&l, KV_TAG, tag_line);
	add_table(&l, KV_ENTRY, entry_line);
	add_table(&l, KV_CONTENT, content_line);
	if (l.n)
		qsort(l.at, l.n, sizeof(*l.at), line_order);
	sbuf_init(&all, SBUF_MAX);
	sbuf_add(&all, "", 0);
	for (size_t i = 0; i < l.n; i++) {
		sbuf_addf(&all, "%s\n", l.at[i]);
		free(l.at[i]);
	}
	free(l.at);
	MUST(!all.failed);
	return all;
}
