#include "tests/fault/steps.h"

#include "base/fd.h"
#include "base/sys.h"
#include "tests/lib/fixture.h"

static const char config[] = "{\"architecture\":\"amd64\"}";
static const char layer[] = "this layer comes in one piece";
static const char chunked[] = "this layer comes in two pieces";

/* An image of config and one layer; note makes it one of its own. */
static struct sbuf image(const char *layer_text, const char *note)
{
	char extra[64];

	(void)snprintf(extra, sizeof(extra), ",\"annotations\":{\"note\":\"%s\"}", note);
	return image_of(config, &layer_text, 1, extra);
}

static enum err_kind push_whole(struct store *st, const char *repo, const char *text, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	enum err_kind k = upload_begin(st, &r, DIGEST_SHA256, &u, e);

	if (k == ERR_OK)
		k = upload_write(u, text, strlen(text), e);
	return k == ERR_OK ? upload_finish(&u, &d, e) : k;
}

/* A client that fails and says so. */
static void give_up(struct store *st, const struct repo_name *r, const struct upload_id *id)
{
	AUTO_UPLOAD *u = NULL;
	struct err ignored;

	(void)fault_disarm();
	if (upload_take(st, r, id, &u, &ignored) == ERR_OK)
		(void)!upload_cancel(&u, &ignored);
}

/* Opens a session, and goes on in a second request. */
static enum err_kind push_chunked(struct store *st, const char *repo, const char *text,
				  struct err *e)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	struct upload_id id = { { 0 } };
	size_t half = strlen(text) / 2;
	enum err_kind k = upload_create(st, &r, DIGEST_SHA256, &id, e);

	for (unsigned i = 0; i < 2 && k == ERR_OK; i++) {
		AUTO_UPLOAD *u = NULL;

		k = upload_take(st, &r, &id, &u, e);
		if (k == ERR_OK)
			k = upload_write(u, text + i * half, i ? strlen(text) - half : half, e);
		if (k == ERR_OK && i)
			k = upload_finish(&u, &d, e);
	}
	if (k != ERR_OK)
		give_up(st, &r, &id);
	return k;
}

static enum err_kind cancel_one(struct store *st, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_of("one");
	struct upload_id id = { { 0 } };
	enum err_kind k = upload_create(st, &r, DIGEST_SHA512, &id, e);

	if (k == ERR_OK)
		k = upload_take(st, &r, &id, &u, e);
	if (k == ERR_OK)
		k = upload_write(u, "never finished", 14, e);
	if (k == ERR_OK)
		k = upload_cancel(&u, e);
	if (k != ERR_OK) {
		upload_release(&u);
		give_up(st, &r, &id);
	}
	return k;
}

static enum err_kind put(struct store *st, const char *layer_text, const char *note,
			 const char *tag, struct err *e)
{
	AUTO_SBUF b = image(layer_text, note);
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct repo_name r = repo_of("one");
	struct tag_name t = tag_of(tag);
	struct manifest_push push = { .body = { b.p, b.n },
				      .media_type = STR(MEDIA_OCI_MANIFEST),
				      .digest = digest_of(b.p),
				      .tags = &t,
				      .n_tags = 1 };

	return repo_manifest_put(st, &r, &push, &pushed, e);
}

static enum err_kind mount(struct store *st, struct err *e)
{
	struct repo_name r = repo_of("two"), from = repo_of("one");
	struct digest d = digest_of(layer);

	return repo_blob_mount(st, &r, &from, &d, NULL, e);
}

static enum err_kind delete_manifest(struct store *st, const char *layer_text, const char *note,
				     struct err *e)
{
	AUTO_SBUF b = image(layer_text, note);
	struct repo_name r = repo_of("one");
	struct digest d = digest_of(b.p);

	return repo_manifest_delete(st, &r, &d, NULL, e);
}

static enum err_kind delete_tag(struct store *st, const char *tag, struct err *e)
{
	struct repo_name r = repo_of("one");
	struct tag_name t = tag_of(tag);

	return repo_tag_delete(st, &r, &t, NULL, e);
}

static enum err_kind delete_blob(struct store *st, const char *repo, const char *text,
				 struct err *e)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);

	return repo_blob_delete(st, &r, &d, e);
}

static const char *const names[STEPS_N] = {
	[STEP_CONFIG] = "push a config",
	[STEP_LAYER] = "push a blob in one request",
	[STEP_CHUNKED] = "push a blob in chunks",
	[STEP_CANCEL] = "cancel an upload",
	[STEP_MANIFEST] = "push a manifest",
	[STEP_MOUNT] = "mount a blob",
	[STEP_SETTLE] = "settle",
	[STEP_SECOND] = "push a second manifest",
	[STEP_TAG_MOVE] = "move a tag",
	[STEP_TAG_ADD] = "tag it again",
	[STEP_LAYER_AGAIN] = "push a blob that is there",
	[STEP_TAG_DELETE] = "delete a tag",
	[STEP_MANIFEST_DELETE] = "delete a manifest",
	[STEP_BLOB_DELETE] = "delete a blob",
	[STEP_MOUNT_DELETE] = "delete a mounted blob",
	[STEP_SETTLE_AGAIN] = "settle again",
};

const char *steps_name(unsigned step)
{
	return names[step];
}

enum err_kind steps_run(struct store *st, unsigned step, struct err *e)
{
	switch ((enum step)step) {
	case STEP_CONFIG:
		return push_whole(st, "one", config, e);
	case STEP_LAYER:
	case STEP_LAYER_AGAIN:
		return push_whole(st, "one", layer, e);
	case STEP_CHUNKED:
		return push_chunked(st, "one", chunked, e);
	case STEP_CANCEL:
		return cancel_one(st, e);
	case STEP_MANIFEST:
		return put(st, layer, "first", "v1", e);
	case STEP_MOUNT:
		return mount(st, e);
	case STEP_SECOND:
		return put(st, chunked, "second", "v2", e);
	case STEP_TAG_MOVE:
		return put(st, chunked, "second", "v1", e);
	case STEP_TAG_ADD:
		return put(st, layer, "first", "v3", e);
	case STEP_TAG_DELETE:
		return delete_tag(st, "v2", e);
	case STEP_MANIFEST_DELETE:
		return delete_manifest(st, chunked, "second", e);
	case STEP_BLOB_DELETE:
		return delete_blob(st, "one", chunked, e);
	case STEP_MOUNT_DELETE:
		return delete_blob(st, "two", layer, e);
	case STEP_SETTLE:
	case STEP_SETTLE_AGAIN:
		return store_settle(st, e);
	case STEPS_N:
		break;
	}
	abort();
}

void steps_golden(unsigned long ret[STEPS_N + 1])
{
	char root[64];
	struct store *st = NULL;
	struct err e;

	temp_dir_make(root, sizeof(root));
	MUST(steps_open(root, &st, &e) == ERR_OK);
	ret[0] = steps_probe(st);
	for (unsigned i = 0; i < STEPS_N; i++) {
		MUST(steps_run(st, i, &e) == ERR_OK);
		ret[i + 1] = steps_probe(st);
	}
	store_close(&st);
	MUST(dir_count(root, "uploads") == 0);
	temp_dir_remove(root);
}

enum err_kind steps_open(const char *root, struct store **ret, struct err *e)
{
	const struct store_options o = store_options_of(root);
	struct store_recovery found;

	return store_open(&o, ret, &found, e);
}

/* The file of a blob that the index promises is there and hashes right. */
static void check_file(struct store *st, const struct digest *d, uint64_t size)
{
	AUTO_CLOSE fd = -1;
	char buf[4096];
	struct digest got;
	struct err e;

	MUST(size <= sizeof(buf));
	MUST(blob_open(st, d, size, &fd, &e) == ERR_OK);
	MUST(fd_pread_exact(fd, buf, (size_t)size, 0, "blob", &e) == ERR_OK);
	MUST(hash_bytes(DIGEST_SHA256, buf, (size_t)size, &got, &e) == ERR_OK);
	MUST(digest_eq(&got, d));
}

static bool sees_blob(struct store *st, const char *repo, const char *text)
{
	struct repo_name r = repo_of(repo);
	struct digest d = digest_of(text);
	struct err e;
	uint64_t size;
	enum err_kind k = blob_size(store_index(st), &r, &d, &size, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	if (k == ERR_OK)
		check_file(st, &d, size);
	return k == ERR_OK;
}

/* A manifest that is seen has its bytes, its file, and all it refers to (P2, P3, P4). */
static bool sees_manifest(struct store *st, const char *tag, const struct digest *d,
			  struct digest *ret)
{
	struct repo_name r = repo_of("one");
	struct tag_name t = tag ? tag_of(tag) : (struct tag_name){ 0 };
	struct manifest_info m = { .bytes = NULL };
	AUTO_MANIFEST parsed = { 0 };
	struct err e;
	uint64_t size;
	enum err_kind k =
	    index_manifest_find(store_index(st), &r, tag ? &t : NULL, tag ? NULL : d, &m, &e);

	MUST(k == ERR_OK || k == ERR_NOT_FOUND);
	if (k != ERR_OK)
		return false;
	MUST(m.bytes);
	check_file(st, &m.digest, m.size_bytes);
	MUST(manifest_parse((struct str){ m.bytes, (size_t)m.size_bytes }, str_of(m.media_type),
			    &m.digest, 32, &parsed, &e) == ERR_OK);
	for (size_t i = 0; i < parsed.n_refs; i++)
		MUST(blob_size(store_index(st), &r, &parsed.refs[i].digest, &size, &e) == ERR_OK);
	free(m.bytes);
	*ret = m.digest;
	return true;
}

unsigned long steps_probe(struct store *st)
{
	AUTO_SBUF first = image(layer, "first"), second = image(chunked, "second");
	struct digest d1 = digest_of(first.p), d2 = digest_of(second.p), d;
	static const char *const tags[] = { "v1", "v2", "v3" };
	unsigned long bits = 0, at = 1;

#define SEE(x) (bits |= (x) ? at : 0, at <<= 1)
	SEE(sees_blob(st, "one", config));
	SEE(sees_blob(st, "one", layer));
	SEE(sees_blob(st, "one", chunked));
	SEE(sees_blob(st, "two", layer));
	SEE(sees_manifest(st, NULL, &d1, &d));
	SEE(sees_manifest(st, NULL, &d2, &d));
	for (size_t i = 0; i < ARRAY_LEN(tags); i++) {
		bool seen = sees_manifest(st, tags[i], NULL, &d);

		SEE(seen && digest_eq(&d, &d1));
		SEE(seen && digest_eq(&d, &d2));
		MUST(!seen || digest_eq(&d, &d1) || digest_eq(&d, &d2));
	}
#undef SEE
	return bits;
}
