#include "tests/lib/index_fixture.h"

struct index *index_of(const char *dir)
{
	struct index *ix = NULL;
	struct err e;

	MUST(index_open(dir, INDEX_MAP_BYTES, &ix, &e) == ERR_OK);
	return ix;
}

enum err_kind apply(struct index *ix, struct change *c, struct err *e)
{
	AUTO_INDEX_TXN *t = NULL;
	enum err_kind k = index_begin(ix, &t, e);

	if (k == ERR_OK)
		k = index_apply(t, c, e);
	return k == ERR_OK ? index_commit(&t, e) : k;
}

void apply_ok(struct index *ix, struct change c)
{
	struct err e = { .msg = "" };
	enum err_kind k = apply(ix, &c, &e);

	if (k != ERR_OK)
		(void)fprintf(stderr, "# change %d: %s\n", (int)c.kind, e.msg);
	MUST(k == ERR_OK);
	free(c.missing);
}

struct change change_of_kind(enum change_kind kind, const char *repo, const struct digest *d)
{
	struct change c = { .kind = kind,
			    .repo = repo_of(repo),
			    .at_ms = 1000,
			    .clock_ms = 1000,
			    .review_at_ms = 2000 };

	if (d)
		c.digest = *d;
	return c;
}

struct change link_change(const char *repo, const char *text)
{
	struct digest d = digest_of(text);
	struct change c = change_of_kind(CHANGE_BLOB_LINK, repo, &d);

	c.size_bytes = strlen(text);
	return c;
}

struct change put_change(const char *repo, const struct manifest *m, struct str bytes,
			 const struct tag_name *tags, size_t n_tags)
{
	struct change c = change_of_kind(CHANGE_MANIFEST_PUT, repo, &m->digest);

	c.manifest = m;
	c.bytes = bytes;
	c.tags = tags;
	c.n_tags = n_tags;
	return c;
}

struct manifest manifest_of(struct str bytes, const char *media_type)
{
	struct digest d = digest_of_bytes(DIGEST_SHA256, bytes);
	struct manifest m = { 0 };
	struct err e;

	MUST(manifest_parse(bytes, str_of(media_type), &d, 32, &m, &e) == ERR_OK);
	return m;
}

struct str text_of(const struct sbuf *b)
{
	return (struct str){ b->p, b->n };
}

struct sbuf small_image(const char *note)
{
	char extra[128];

	(void)snprintf(extra, sizeof(extra), ",\"annotations\":{\"note\":\"%s\"}", note);
	return image_of(CONFIG_TEXT, (const char *const[]){ LAYER_TEXT }, 1, extra);
}

struct sbuf index_of_child(const struct digest *child, size_t size, const char *extra)
{
	char text[DIGEST_TEXT_MAX];
	struct sbuf b;

	sbuf_init(&b, 4096);
	sbuf_addf(&b,
		  "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
		  "\",\"digest\":\"%s\",\"size\":%zu}]%s}",
		  digest_text(child, text), size, extra);
	return b;
}

void link_all(struct index *ix, const char *repo)
{
	apply_ok(ix, link_change(repo, CONFIG_TEXT));
	apply_ok(ix, link_change(repo, LAYER_TEXT));
}

struct digest put_image(struct index *ix, const char *repo, const char *note, const char *tags)
{
	AUTO_SBUF b = small_image(note);
	AUTO_MANIFEST m = manifest_of(text_of(&b), MEDIA_OCI_MANIFEST);
	struct tag_name names[8];
	struct str rest = str_of(tags), one;
	size_t n = 0;

	while (rest.n) {
		(void)str_cut(rest, ',', &one, &rest);
		MUST(tag_name_parse(&names[n++], one));
	}
	apply_ok(ix, put_change(repo, &m, text_of(&b), names, n));
	return m.digest;
}

static void add_hex(struct sbuf *b, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		sbuf_addf(b, "%02x", (uint8_t)s.p[i]);
}

static void dump_table(struct kv_txn *t, enum kv_table table, struct sbuf *b)
{
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	struct err e;

	MUST(kv_cursor_open(t, table, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		sbuf_addf(b, "%d ", (int)table);
		add_hex(b, key);
		sbuf_add(b, " ", 1);
		add_hex(b, value);
		sbuf_add(b, "\n", 1);
	}
}

struct sbuf index_dump(struct index *ix)
{
	AUTO_KV_TXN *t = NULL;
	struct sbuf b;
	struct err e;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add(&b, "", 0);
	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	for (unsigned i = 0; i < KV_TABLE_N; i++)
		dump_table(t, (enum kv_table)i, &b);
	MUST(!b.failed);
	return b;
}

uint64_t index_rows(struct index *ix, enum kv_table table)
{
	struct kv_stat s;
	struct err e;

	MUST(index_stat(ix, &s, &e) == ERR_OK);
	return s.entries[table];
}

enum err_kind object_exists(struct index *ix, const struct digest *d, struct err *e)
{
	struct object_row row;

	return index_object_find(ix, d, &row, NULL, e);
}

static uint64_t count_kind(struct index *ix, enum kv_table table, uint8_t want)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	struct digest d;
	uint64_t repo, n = 0;
	uint8_t kind;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	MUST(kv_cursor_open(t, table, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		MUST((table != KV_ENTRY || unpack_u64(&key, &repo)) && unpack_digest(&key, &d) &&
		     unpack_u8(&key, &kind));
		n += kind == want;
	}
	return n;
}

uint64_t index_entries(struct index *ix, enum entry_kind kind)
{
	return count_kind(ix, KV_ENTRY, (uint8_t)kind);
}

uint64_t index_contents(struct index *ix, enum content_kind kind)
{
	return count_kind(ix, KV_CONTENT, (uint8_t)kind);
}

uint64_t repo_id(struct index *ix, const char *repo)
{
	AUTO_KV_TXN *t = NULL;
	struct repo_name name = repo_of(repo);
	struct repo_row row;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	MUST(index_get_repo(t, &name, &row, &e) == ERR_OK);
	return row.id;
}

bool has_repo(struct index *ix, const char *repo)
{
	struct repo_name name = repo_of(repo);
	struct err e;
	enum err_kind k = index_repo_exists(ix, &name, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	return k == ERR_OK;
}

bool index_has_review(struct index *ix, const char *repo, const struct digest *d, uint64_t due_ms)
{
	uint64_t id = repo_id(ix, repo);
	AUTO_KV_TXN *t = NULL;
	struct key key = { 0 };
	struct str v;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	key_u64(&key, due_ms);
	key_u64(&key, id);
	key_digest(&key, d);
	return kv_get(t, KV_REVIEW, key_str(&key), &v, &e) == ERR_OK;
}

bool index_has_any_review(struct index *ix, const struct digest *d)
{
	AUTO_KV_TXN *t = NULL;
	AUTO_KV_CURSOR *c = NULL;
	struct str key, value;
	struct digest found;
	uint64_t due, repo;
	struct err e;

	MUST(kv_read_begin(ix->kv, &t, &e) == ERR_OK);
	MUST(kv_cursor_open(t, KV_REVIEW, &c, &e) == ERR_OK);
	for (enum err_kind k = kv_seek(c, STR("\0"), &key, &value, &e); k == ERR_OK;
	     k = kv_next(c, &key, &value, &e)) {
		MUST(unpack_u64(&key, &due) && unpack_u64(&key, &repo) &&
		     unpack_digest(&key, &found));
		if (digest_eq(&found, d))
			return true;
	}
	return false;
}

void index_put_raw(struct index *ix, enum kv_table table, struct str key, struct str value)
{
	AUTO_KV_TXN *t = NULL;
	struct err e;

	MUST(kv_write_begin(ix->kv, &t, &e) == ERR_OK);
	MUST(kv_put(t, table, key, value, &e) == ERR_OK);
	MUST(kv_write_commit(&t, &e) == ERR_OK);
}

void index_delete_raw(struct index *ix, enum kv_table table, struct str key)
{
	AUTO_KV_TXN *t = NULL;
	struct err e;

	MUST(kv_write_begin(ix->kv, &t, &e) == ERR_OK);
	MUST(kv_delete(t, table, key, &e) == ERR_OK);
	MUST(kv_write_commit(&t, &e) == ERR_OK);
}
