/* The orders that gc/PROTOCOL.md argues, each forced: pushes, questions and mounts beside a collection. */
#include "base/clock.h"
#include "base/fd.h"
#include "storage/store_impl.h"
#include "tests/fault/race_actors.h"
#include "tests/lib/exchange.h"
#include "tests/lib/unit.h"

#define assert_whole(why) assert_string_equal((why) ? (why) : "", "")

static struct digest layer;

static void begin(uint64_t trash_keep_ms)
{
	layer = digest_of(RACE_LAYER);
	scene_open(unit_dir(), trash_keep_ms);
}

/* --- R1: a manifest is put while its layer's entry is being collected --- */

static void test_put_first(void **state)
{
	AUTO_SBUF b = race_image("put");
	struct digest d = digest_of(b.p);
	struct actor collect = { 0 }, put = { .body = { b.p, b.n }, .tag = "v1" };

	(void)state;
	begin(0);
	push_free_layer();
	actor_stop_at(&collect, act_collect, "collect.seized");
	assert_ok(actor_run(&put, act_put), &put.e);
	actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_whole(gc_why_not_whole(scene, "a", &d));
	scene_close();
}

/* Where each of the two is when the other begins. */
static const struct collected_first {
	const char *name, *put_at, *collect_at;
} collected_first[] = {
	{ "before the put", NULL, NULL },
	{ "while the file is to be placed", "publish.claimed", NULL },
	{ "while the file is placed", "publish.placed", NULL },
	{ "until its transaction", NULL, "collect.committed" },
	{ "until its transaction, file placed", "publish.placed", "collect.committed" },
};

static void test_collected_first(void **state)
{
	const struct collected_first *row = *state;
	AUTO_SBUF b = race_image("put");
	struct digest d = digest_of(b.p);
	struct actor collect = { 0 }, put = { .body = { b.p, b.n }, .tag = "v1" };

	begin(0);
	push_free_layer();
	if (row->put_at)
		actor_stop_at(&put, act_put, row->put_at);
	if (row->collect_at)
		actor_stop_at(&collect, act_collect, row->collect_at);
	else
		actor_run(&collect, act_collect);
	if (row->put_at)
		actor_end(&put);
	else
		actor_run(&put, act_put);
	if (row->collect_at)
		actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_LINK);
	assert_int_equal(put.k, ERR_REFS);
	assert_true(digest_eq(&put.missing, &layer));
	assert_false(gc_has_manifest(scene, "a", &d));
	assert_false(gc_has_file(scene, &d));
	scene_close();
}

/* --- R2: a client asks while the entry is being collected --- */

static const struct asked {
	const char *name;
	bool manifest;
} asked[] = { { "a blob", false }, { "a manifest without a tag", true } };

/* What is free is the layer, or a manifest that holds it. */
static struct actor asker(const struct asked *row, actor_fn **ret_fn)
{
	AUTO_SBUF b = race_image("free");
	struct actor put = { .body = { b.p, b.n } };

	begin(0);
	push_free_layer();
	*ret_fn = row->manifest ? act_ask_manifest : act_ask_blob;
	if (row->manifest)
		assert_ok(actor_run(&put, act_put), &put.e);
	return (struct actor){ .digest = row->manifest ? digest_of(b.p) : layer };
}

static bool is_there(const struct asked *row, const struct digest *d)
{
	return row->manifest ? gc_has_manifest(scene, "a", d) : gc_has_blob(scene, "a", RACE_LAYER);
}

static void test_leased_first(void **state)
{
	const struct asked *row = *state;
	actor_fn *fn;
	struct actor ask = asker(row, &fn), collect = { .watched = ask.digest };

	actor_stop_at(&ask, fn, "head.leased");
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_LEASED);
	actor_end(&ask);
	assert_ok(ask.k, &ask.e);
	assert_true(is_there(row, &ask.digest));
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_LEASED); /* for all of the lease time */
	assert_whole(why_not_accepted());
	scene_close();
}

static void test_seized_first(void **state)
{
	const struct asked *row = *state;
	actor_fn *fn;
	struct actor ask = asker(row, &fn), collect = { .watched = ask.digest };

	actor_stop_at(&collect, act_collect, "collect.seized");
	assert_err(actor_run(&ask, fn), ERR_NOT_FOUND, &ask.e, "no such");
	actor_end(&collect);
	assert_int_equal(collect.verdict, row->manifest ? VERDICT_MANIFEST : VERDICT_LINK);
	assert_false(is_there(row, &ask.digest));
	scene_close();
}

static void test_seized_between(void **state)
{
	const struct asked *row = *state;
	actor_fn *fn;
	struct actor ask = asker(row, &fn), collect = { .watched = ask.digest };

	actor_stop_at(&ask, fn, "head.looked");
	actor_stop_at(&collect, act_collect, "collect.seized");
	actor_end(&ask);
	assert_err(ask.k, ERR_NOT_FOUND, &ask.e, "no such");
	actor_end(&collect);
	assert_false(is_there(row, &ask.digest));
	scene_close();
}

/* The second look, H3. */
static void test_collected_between(void **state)
{
	const struct asked *row = *state;
	actor_fn *fn;
	struct actor ask = asker(row, &fn);

	actor_stop_at(&ask, fn, "head.looked");
	gc_collect_all(scene);
	actor_end(&ask);
	assert_err(ask.k, ERR_NOT_FOUND, &ask.e, "no ");
	scene_close();
}

/* 404, so the client uploads: that queues the entry anew, and the collection under way leaves it. */
static void test_uploaded_while_condemned(void **state)
{
	struct actor ask = { 0 }, push = { 0 }, collect = { 0 };

	(void)state;
	begin(0);
	push_free_layer();
	actor_stop_at(&collect, act_collect, "collect.seized");
	assert_err(actor_run(&ask, act_ask_blob), ERR_NOT_FOUND, &ask.e, "no such blob");
	assert_ok(actor_run(&push, act_push), &push.e);
	actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_whole(why_not_accepted());
	scene_close();
}

/* --- R3: the holder goes right after the question --- */

static void test_holder_goes(void **state)
{
	AUTO_SBUF b = race_image("holder");
	struct actor put = { .body = { b.p, b.n }, .tag = "v1" }, ask = { 0 };
	struct actor gone = { .digest = digest_of(b.p) };
	struct collect_item items[COLLECT_MAX];
	uint64_t asked_ms;
	size_t n;

	(void)state;
	begin(0);
	push_free_layer();
	assert_ok(actor_run(&put, act_put), &put.e);
	asked_ms = steady_ms();
	assert_ok(actor_run(&ask, act_ask_blob), &ask.e);
	assert_int_equal(leases_count(scene->leases), 0);
	assert_ok(actor_run(&gone, act_delete_manifest), &gone.e);
	n = gc_due(scene, items);
	for (size_t i = 0; i < n; i++) {
		if (items[i].row.repo && digest_eq(&items[i].row.digest, &layer))
			assert_in_range(items[i].row.due_ms, asked_ms + GC_LEASE_MS, UINT64_MAX);
	}
	assert_whole(why_not_accepted());
	scene_close();
}

static void test_holder_went(void **state)
{
	AUTO_SBUF b = race_image("holder");
	struct actor put = { .body = { b.p, b.n }, .tag = "v1" }, ask = { 0 }, collect = { 0 };
	struct actor gone = { .digest = digest_of(b.p) };

	(void)state;
	begin(0);
	push_free_layer();
	assert_ok(actor_run(&put, act_put), &put.e);
	assert_ok(actor_run(&gone, act_delete_manifest), &gone.e);
	assert_ok(actor_run(&ask, act_ask_blob), &ask.e);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_LEASED);
	assert_whole(why_not_accepted());
	scene_close();
}

/* --- R4: the same content is pushed again while it is being collected --- */

static const struct pushed {
	const char *name;
	bool manifest;
	const char *at;
} push_first[] = {
	{ "a blob, claimed", false, "publish.claimed" },
	{ "a blob, placed", false, "publish.placed" },
	{ "a blob, committed", false, "publish.committed" },
	{ "a manifest, claimed", true, "publish.claimed" },
	{ "a manifest, placed", true, "publish.placed" },
	{ "a manifest, committed", true, "publish.committed" },
}, collect_first[] = {
	{ "a blob, seized", false, "collect.seized" },
	{ "a blob, committed", false, "collect.committed" },
	{ "a blob, unlinked", false, "collect.unlinked" },
	{ "a manifest, seized", true, "collect.seized" },
	{ "a manifest, committed", true, "collect.committed" },
	{ "a manifest, unlinked", true, "collect.unlinked" },
};

/* Content that no repository has any more, and who pushes it again. */
static struct actor pusher(const struct pushed *row, struct sbuf *body, actor_fn **ret_fn)
{
	struct actor a, gone = { 0 };

	begin(0);
	(void)gc_push_image(scene, "a", RACE_CONFIG, row->manifest ? RACE_LAYER : "base", "keep");
	*body = race_image("again");
	a = (struct actor){ .body = { body->p, body->n }, .digest = digest_of(body->p) };
	*ret_fn = row->manifest ? act_put : act_push;
	if (!row->manifest)
		a.digest = layer;
	assert_ok(actor_run(&a, *ret_fn), &a.e);
	gone.digest = a.digest;
	assert_ok(actor_run(&gone, row->manifest ? act_delete_manifest : act_delete_blob), &gone.e);
	return a;
}

static void assert_pushed(const struct pushed *row, const struct digest *d)
{
	if (row->manifest)
		assert_whole(gc_why_not_whole(scene, "a", d));
	else
		assert_whole(why_not_accepted());
}

static void test_push_first(void **state)
{
	const struct pushed *row = *state;
	AUTO_SBUF body;
	actor_fn *fn;
	struct actor push = pusher(row, &body, &fn);
	struct actor collect = { .only_content = true, .watched = push.digest };

	actor_stop_at(&push, fn, row->at);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_BUSY);
	actor_end(&push);
	assert_ok(push.k, &push.e);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_pushed(row, &push.digest);
	scene_close();
}

static void test_collection_first(void **state)
{
	const struct pushed *row = *state;
	AUTO_SBUF body;
	actor_fn *fn;
	struct actor push = pusher(row, &body, &fn);
	struct actor collect = { .only_content = true, .watched = push.digest };

	actor_stop_at(&collect, act_collect, row->at);
	actor_start(&push, fn, NULL);
	race_met(&push.racer, "publish.waits");
	actor_end(&collect);
	actor_end(&push);
	assert_int_equal(collect.verdict, VERDICT_CONTENT);
	assert_ok(push.k, &push.e);
	assert_pushed(row, &push.digest);
	scene_close();
}

/* --- R5: the same content is mounted while it is being collected --- */

static const struct mounted {
	const char *name, *from, *at;
	bool has_place;
} mounted[] = {
	{ "seized, from a", "a", "collect.seized", true },
	{ "committed, from a", "a", "collect.committed", true },
	{ "seized, from anywhere", NULL, "collect.seized", true },
	{ "committed, from anywhere", NULL, "collect.committed", true },
	{ "seized, without a place", "a", "collect.seized", false },
	{ "committed, without a place", "a", "collect.committed", false },
	{ "seized, without any place", NULL, "collect.seized", false },
	{ "unlinked, without any place", NULL, "collect.unlinked", false },
};

static void test_mount(void **state)
{
	const struct mounted *row = *state;
	struct actor push = { 0 }, gone = { 0 }, mount = { .repo = "b", .from = row->from };
	struct actor collect = { .only_content = true };

	begin(0);
	push_free_layer();
	assert_ok(actor_run(&gone, act_delete_blob), &gone.e);
	if (row->has_place)
		assert_ok(actor_run(&push, act_push), &push.e);
	actor_stop_at(&collect, act_collect, row->at);
	actor_run(&mount, act_mount);
	actor_end(&collect);
	assert_int_equal(collect.verdict, row->has_place ? VERDICT_STALE : VERDICT_CONTENT);
	assert_int_equal(mount.k, row->has_place ? ERR_OK : ERR_NOT_FOUND);
	assert_int_equal(gc_has_blob(scene, "b", RACE_LAYER), row->has_place);
	assert_int_equal(gc_has_file(scene, &layer), row->has_place);
	scene_close();
}

/* --- R7: a download while its file is unlinked --- */

static void test_descriptor_stays(void **state)
{
	AUTO_CLOSE fd = -1;
	char buf[sizeof(RACE_LAYER)] = "";
	struct err e;

	(void)state;
	begin(0);
	push_free_layer();
	assert_ok(blob_open(scene, &layer, strlen(RACE_LAYER), &fd, &e), &e);
	gc_collect_all(scene);
	assert_false(gc_has_file(scene, &layer));
	assert_ok(fd_pread_exact(fd, buf, strlen(RACE_LAYER), 0, "blob", &e), &e);
	assert_string_equal(buf, RACE_LAYER);
	scene_close();
}

/* A GET that stands between its look and the file. */
struct download {
	struct racer racer;
	const struct test_server *server;
	unsigned status;
	struct sbuf text;
};

static void act_get(void *arg)
{
	struct download *g = arg;
	char target[32 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];
	struct exchange x;

	(void)snprintf(target, sizeof(target), "/v2/a/blobs/%s", digest_text(&layer, text));
	exchange(&x, g->server, "GET", target, NULL, NOTHING);
	g->status = x.rq->reply.status;
	g->text = reply_text(&x);
	exchange_end(&x);
}

static const struct got {
	const char *name;
	const char *pushed_at; /* where the GET stands when it is pushed again; NULL: it is not */
	unsigned status;
	const char *text;
} got[] = {
	{ "and stays away", NULL, 404, "BLOB_UNKNOWN" },
	{ "and is pushed again", "get.looked", 200, RACE_LAYER },
	{ "and is pushed again after that", "get.missed", 200, RACE_LAYER },
};

static void test_get(void **state)
{
	const struct got *row = *state;
	struct test_server s;
	struct download g = { .server = &s };

	layer = digest_of(RACE_LAYER);
	test_server_start(&s, unit_dir(), 0);
	scene = s.server.store;
	push_free_layer();
	race_start(&g.racer, act_get, &g, "get.looked");
	race_at(&g.racer);
	gc_forget_leases(scene); /* the lease time is over before the file is opened */
	gc_collect_all(scene);
	assert_false(gc_has_file(scene, &layer));
	if (row->pushed_at && strcmp(row->pushed_at, "get.missed") == 0) {
		race_go(&g.racer, row->pushed_at);
		race_at(&g.racer);
	}
	if (row->pushed_at)
		push_blob(scene, "a", RACE_LAYER);
	race_end(&g.racer);
	assert_int_equal(g.status, row->status);
	assert_non_null(strstr(g.text.p, row->text));
	sbuf_clear(&g.text);
	test_server_stop(&s);
}

int main(void)
{
	race_begin();
	unit_case("R1: the manifest is put first", test_put_first);
	UNIT_TABLE("R1: collected", test_collected_first, collected_first);
	UNIT_TABLE("R2: leased before it is seized", test_leased_first, asked);
	UNIT_TABLE("R2: seized before it is asked for", test_seized_first, asked);
	UNIT_TABLE("R2: seized between look and lease", test_seized_between, asked);
	UNIT_TABLE("R2: collected between look and lease", test_collected_between, asked);
	unit_case("R2: 404, and uploaded while condemned", test_uploaded_while_condemned);
	unit_case("R3: the holder goes after the question", test_holder_goes);
	unit_case("R3: the holder went before the question", test_holder_went);
	UNIT_TABLE("R4: pushed first", test_push_first, push_first);
	UNIT_TABLE("R4: collected first", test_collection_first, collect_first);
	UNIT_TABLE("R5: mounted", test_mount, mounted);
	unit_case("R7: an open descriptor", test_descriptor_stays);
	UNIT_TABLE("R7: collected between look and open", test_get, got);
	return unit_run();
}
