/*
 * Every allocation fails once: what was asked for fails with it, or works without it, nothing is damaged, and the next
 * try works.  Not in builds whose tools bring their own allocator.
 */
#include <errno.h>

#include "base/hash.h"
#include "base/jv.h"
#include "storage/repo.h"
#include "storage/upload.h"
#include "tests/lib/exchange.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

#define ALLOCATIONS_MAX 3000

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HOOKED 1
#else
#define HOOKED 0
#endif

/* --- malloc and its kin, in place of the C library's: the n'th call of this thread fails --- */

/* volatile: compilers know that malloc looks at nothing of ours. */
static _Thread_local volatile unsigned long fail_at, calls;
static _Thread_local volatile bool fired;

static void arm(unsigned long n)
{
	calls = 0;
	fired = false;
	fail_at = n;
}

static bool disarm(void)
{
	fail_at = 0;
	return fired;
}

#if HOOKED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
	if (fail_at == 0 || ++calls != fail_at)
		return false;
	fired = true;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

/* valgrind brings its own as well, for libraries at least. */
static bool is_hooked(void)
{
	char *volatile p;

	arm(1);
	p = strdup("of the C library");
	(void)disarm();
	free(p);
	return !p;
}

/* --- what is tried --- */

struct rig {
	const char *root;
	struct test_server s;
	struct store *st; /* of s */
	struct repo_name repo;
	unsigned serial; /* makes each try one of its own */
};

typedef enum err_kind try_fn(struct rig *r, struct err *e);

static enum err_kind try_blob(struct rig *r, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	char text[32];
	struct digest d;
	enum err_kind k;

	(void)snprintf(text, sizeof(text), "blob %u", r->serial);
	k = hash_bytes(DIGEST_SHA256, text, strlen(text), &d, e);
	if (k == ERR_OK)
		k = upload_begin(r->st, &r->repo, DIGEST_SHA256, &u, e);
	if (k == ERR_OK)
		k = upload_write(u, text, strlen(text), e);
	return k == ERR_OK ? upload_finish(&u, &d, e) : k;
}

/* What fails is tried again as a client would: with the session that it has. */
static enum err_kind try_session(struct rig *r, struct err *e)
{
	AUTO_UPLOAD *u = NULL;
	struct digest d;
	struct upload_id id;
	bool is_open = false;
	enum err_kind k = hash_bytes(DIGEST_SHA512, "session", 7, &d, e);

	if (k == ERR_OK)
		k = upload_create(r->st, &r->repo, DIGEST_SHA256, &id, e);
	is_open = k == ERR_OK;
	if (k == ERR_OK)
		k = upload_take(r->st, &r->repo, &id, &u, e);
	if (k == ERR_OK)
		k = upload_write(u, "session", 7, e);
	if (k == ERR_OK)
		k = upload_finish(&u, &d, e);
	if (k != ERR_OK && is_open) {
		bool was = disarm();
		struct err ignored;

		upload_release(&u);
		if (upload_take(r->st, &r->repo, &id, &u, &ignored) == ERR_OK)
			(void)!upload_cancel(&u, &ignored);
		fired = was;
	}
	return k;
}

static enum err_kind try_manifest(struct rig *r, struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	static const char body[] =
	    "{\"schemaVersion\":2,\"manifests\":[],\"artifactType\":\"a/"
	    "b\",\"annotations\":{\"a\":\"b\"},"
	    "\"subject\":{\"mediaType\":\"a/b\",\"digest\":"
	    "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":"
	    "1}}";
	struct tag_name tag = { .len = 2, .s = "v1" };
	struct manifest_push push = {
		.body = STR(body), .media_type = STR(MEDIA_OCI_INDEX), .tags = &tag, .n_tags = 1
	};
	enum err_kind k = hash_bytes(DIGEST_SHA256, body, sizeof(body) - 1, &push.digest, e);

	if (k == ERR_OK)
		k = repo_manifest_put(r->st, &r->repo, &push, &pushed, e);
	return k == ERR_OK ? repo_manifest_delete(r->st, &r->repo, &push.digest, NULL, e) : k;
}

static enum err_kind try_missing(struct rig *r, struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	static const char body[] =
	    "{\"schemaVersion\":2,\"layers\":[],\"config\":{\"mediaType\":\"a/"
	    "b\",\"size\":1,\"digest\":"
	    "\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}}";
	struct manifest_push push = { .body = STR(body), .media_type = STR(MEDIA_OCI_MANIFEST) };
	enum err_kind k = hash_bytes(DIGEST_SHA256, body, sizeof(body) - 1, &push.digest, e);

	if (k == ERR_OK)
		k = repo_manifest_put(r->st, &r->repo, &push, &pushed, e);
	return k == ERR_REFS ? ERR_OK : k;
}

static enum err_kind try_reads(struct rig *r, struct err *e)
{
	AUTO_NAME_PAGE names = NAME_PAGE_INIT;
	struct manifest_info m = { .bytes = NULL };
	struct tag_name tag = { .len = 4, .s = "kept" };
	struct kv_stat stat;
	struct upload_id ids[4];
	size_t n;
	enum err_kind k = index_tag_page(store_index(r->st), &r->repo, STR(""), 10, &names, e);

	if (k == ERR_OK)
		k = index_manifest_find(store_index(r->st), &r->repo, &tag, NULL, &m, e);
	free(m.bytes);
	if (k == ERR_OK)
		k = index_stat(store_index(r->st), &stat, e);
	return k == ERR_OK ? index_upload_page(store_index(r->st), NULL, 4, ids, &n, e) : k;
}

static enum err_kind try_open(struct rig *r, struct err *e)
{
	struct store_options o = store_options_of(r->root);
	struct store_recovery found;
	struct store *st = NULL;
	enum err_kind k;

	store_close(&r->s.server.store);
	k = store_open(&o, &st, &found, e);
	if (k != ERR_OK) {
		bool was = disarm();
		struct err again;

		assert_ok(store_open(&o, &st, &found, &again), &again);
		fired = was;
	}
	r->st = r->s.server.store = st;
	return k;
}

static enum err_kind try_conf(struct rig *r, struct err *e)
{
	static const char arg[] = "--config=etc/berthd.conf.example";
	char *const args[] = { (char *)(uintptr_t)arg };
	struct conf c;
	enum err_kind k = conf_load(1, args, &c, e);

	(void)r;
	if (k == ERR_OK)
		conf_clear(&c);
	/* libyaml tells a lack of memory as bad YAML */
	return k == ERR_INVALID && strstr(e->msg, "bad YAML") ? ERR_NO_MEMORY : k;
}

/* A request always gets an answer, or could not even be begun. */
static enum err_kind answer_of(struct rig *r, const char *method, const char *target,
			       const char *type, struct str body, unsigned want, struct err *e)
{
	struct exchange x;
	char headers[256] = "";
	unsigned status;

	if (type)
		(void)snprintf(headers, sizeof(headers), "Content-Type: %s\n", type);
	if (!exchange_try(&x, &r->s, method, target, headers))
		return err_set(e, ERR_NO_MEMORY, __func__, "no request");
	exchange_send(&x, body.p, body.n, 1000);
	exchange_finish(&x);
	status = x.rq->reply.status;
	exchange_end(&x);
	if (status == want)
		return ERR_OK;
	if (status != 503)
		return err_set(e, ERR_BUG, __func__, "status %u", status);
	return err_set(e, ERR_NO_MEMORY, __func__, "503");
}

static enum err_kind try_get_tags(struct rig *r, struct err *e)
{
	return answer_of(r, "GET", "/v2/a/tags/list?n=1", NULL, NOTHING, 200, e);
}

static enum err_kind try_get_manifest(struct rig *r, struct err *e)
{
	return answer_of(r, "GET", "/v2/a/manifests/kept", NULL, NOTHING, 200, e);
}

static enum err_kind try_get_referrers(struct rig *r, struct err *e)
{
	return answer_of(r, "GET",
			 "/v2/a/referrers/"
			 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			 NULL, NOTHING, 200, e);
}

static enum err_kind try_not_found(struct rig *r, struct err *e)
{
	return answer_of(r, "GET", "/v2/a/manifests/none", NULL, NOTHING, 404, e);
}

static enum err_kind try_post_blob(struct rig *r, struct err *e)
{
	return answer_of(r, "POST",
			 "/v2/a/blobs/uploads/?digest="
			 "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
			 NULL, STR("x"), 201, e);
}

static enum err_kind try_put_manifest(struct rig *r, struct err *e)
{
	return answer_of(r, "PUT", "/v2/a/manifests/v2", MEDIA_OCI_INDEX,
			 STR("{\"schemaVersion\":2,\"manifests\":[]}"), 201, e);
}

static const struct torture {
	const char *name;
	try_fn *fn;
	unsigned least; /* allocations that it takes at least: or they are not counted */
} tries[] = {
	{ "push a blob", try_blob, 5 },
	{ "a session", try_session, 10 },
	{ "push and delete a manifest", try_manifest, 30 },
	{ "push a manifest whose config is missing", try_missing, 20 },
	{ "reads", try_reads, 3 },
	{ "open the store", try_open, 20 },
	{ "options", try_conf, 20 },
	{ "GET tags", try_get_tags, 5 },
	{ "GET a manifest", try_get_manifest, 2 },
	{ "GET referrers", try_get_referrers, 3 },
	{ "GET what is not there", try_not_found, 5 },
	{ "POST a blob", try_post_blob, 5 },
	{ "PUT a manifest", try_put_manifest, 10 },
};

static void check_state(struct rig *r)
{
	index_check(store_index(r->st));
	assert_int_equal(dir_count(r->root, "uploads"), 0);
}

static void test_torture(void **state)
{
	const struct torture *t = *state;
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };
	AUTO_SBUF image = small_image("x");
	unsigned long n;

	log_set_level(LOG_ERROR);
	test_server_start(&r.s, r.root, 0);
	r.st = r.s.server.store;
	push_blob(r.st, "a", CONFIG_TEXT);
	push_blob(r.st, "a", LAYER_TEXT);
	push_manifest(r.st, "a", text_of(&image), MEDIA_OCI_MANIFEST, "kept");
	for (n = 1; n < ALLOCATIONS_MAX; n++) {
		struct err e = { .msg = "" };
		enum err_kind k;
		bool was;

		r.serial++;
		arm(n);
		k = t->fn(&r, &e);
		was = disarm();
		if (k != ERR_OK && (!was || k != ERR_NO_MEMORY))
			fail_msg("allocation %lu: %s: %s", n, err_kind_text(k), e.msg);
		check_state(&r);
		if (!was)
			break;
		if (k != ERR_OK)
			assert_ok(t->fn(&r, &e), &e); /* it may pass */
	}
	assert_in_range(n, t->least, ALLOCATIONS_MAX - 1);
	test_server_stop(&r.s);
	log_set_level(LOG_INFO);
}

int main(void)
{
	if (!is_hooked()) {
		(void)printf("1..0 # SKIP a tool brings its own allocator\n");
		return 0;
	}
	UNIT_TABLE("no memory", test_torture, tries);
	return unit_run();
}
