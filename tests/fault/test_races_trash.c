/* The orders that gc/PROTOCOL.md argues, each forced: tags, subjects, and the trash. */
#include "storage/trash.h"
#include "tests/fault/race_actors.h"
#include "tests/lib/unit.h"

#define assert_whole(why) assert_string_equal((why) ? (why) : "", "")

static struct digest layer;

static void begin(uint64_t trash_keep_ms)
{
	layer = digest_of(RACE_LAYER);
	scene_open(unit_dir(), trash_keep_ms);
}

/* --- R6: the content is placed again between C2 and C3 --- */

static void test_placed_between(void **state)
{
	struct actor gone = { 0 }, collect = { .only_content = true }, restore = { 0 };

	(void)state;
	begin(GC_TRASH_MS);
	push_free_layer();
	assert_ok(actor_run(&gone, act_delete_blob), &gone.e);
	restore.trash_id = gc_trash_id(scene, &layer);
	actor_stop_at(&restore, act_restore, "restore.read");
	assert_int_equal(expire_trash(), 1);
	actor_stop_at(&collect, act_collect, "collect.seized");
	actor_end(&restore);
	actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_ok(restore.k, &restore.e);
	assert_whole(why_not_accepted());
	scene_close();
}

static void test_placed_too_late(void **state)
{
	struct actor gone = { 0 }, collect = { .only_content = true }, restore = { 0 };

	(void)state;
	begin(GC_TRASH_MS);
	push_free_layer();
	assert_ok(actor_run(&gone, act_delete_blob), &gone.e);
	restore.trash_id = gc_trash_id(scene, &layer);
	actor_stop_at(&restore, act_restore, "restore.read");
	assert_int_equal(expire_trash(), 1);
	actor_stop_at(&collect, act_collect, "collect.committed");
	actor_end(&restore);
	actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_CONTENT);
	assert_err(restore.k, ERR_NOT_FOUND, &restore.e, "is gone");
	assert_false(gc_has_blob(scene, "a", RACE_LAYER));
	scene_close();
}

/* --- a tag is moved or deleted while its manifest is put again --- */

static const struct retag {
	const char *name;
	actor_fn *fn;
	const char *at; /* where the put stands meanwhile */
	bool put_wins;
} retags[] = {
	{ "moved before it is placed", act_move_tag, "publish.claimed", true },
	{ "moved before it is committed", act_move_tag, "publish.placed", true },
	{ "moved after it is committed", act_move_tag, "publish.committed", false },
	{ "deleted before it is placed", act_delete_tag, "publish.claimed", true },
	{ "deleted before it is committed", act_delete_tag, "publish.placed", true },
	{ "deleted after it is committed", act_delete_tag, "publish.committed", false },
};

static void test_retag(void **state)
{
	const struct retag *row = *state;
	AUTO_SBUF b = race_image("put"), other = race_image("other");
	struct digest d = digest_of(b.p), d_other = digest_of(other.p), at;
	struct actor put = { .body = { b.p, b.n }, .tag = "v1" }, tag = { .tag = "v1" };
	struct actor collect = { .watched = d };
	bool moved = row->fn == act_move_tag;

	begin(0);
	push_free_layer();
	assert_ok(actor_run(&put, act_put), &put.e);
	actor_stop_at(&put, act_put, row->at);
	assert_ok(actor_run(&tag, row->fn), &tag.e);
	actor_end(&put);
	assert_ok(put.k, &put.e);
	at = gc_tag(scene, "a", "v1");
	if (row->put_wins)
		assert_true(digest_eq(&at, &d));
	else
		assert_true(moved ? digest_eq(&at, &d_other) : at.alg == 0);
	actor_run(&collect, act_collect); /* whoever lost was queued, and only it */
	assert_int_equal(collect.verdict, row->put_wins ? VERDICT_N : VERDICT_MANIFEST);
	if (row->put_wins)
		assert_whole(gc_why_not_whole(scene, "a", &d));
	else if (moved)
		assert_whole(gc_why_not_whole(scene, "a", &d_other));
	assert_int_equal(gc_has_manifest(scene, "a", &d_other), moved && !row->put_wins);
	scene_close();
}

/* --- a subject is deleted while a referrer is put --- */

static const struct subject_gone {
	const char *name, *at; /* where the put of the referrer stands */
} subject_gone[] = {
	{ "before it is placed", "publish.claimed" },
	{ "before it is committed", "publish.placed" },
	{ "after it is committed", "publish.committed" },
};

static bool list_one(void *arg, struct str descriptor)
{
	(void)descriptor;
	++*(unsigned *)arg;
	return true;
}

static unsigned referrers_of(const struct digest *subject)
{
	struct repo_name r = repo_of("a");
	struct referrer_mark last;
	unsigned n = 0;
	bool more;
	struct err e;

	assert_ok(index_referrers(store_index(scene), &r, subject, STR(""), NULL, list_one, &n,
				  &more, &last, &e),
		  &e);
	return n;
}

static struct sbuf referrer_to(const struct digest *subject, size_t size)
{
	char extra[256 + DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

	(void)snprintf(extra, sizeof(extra),
		       ",\"artifactType\":\"application/x-note\",\"subject\":{\"mediaType\":\"%s\","
		       "\"digest\":\"%s\",\"size\":%zu}",
		       MEDIA_OCI_MANIFEST, digest_text(subject, text), size);
	return gc_image(RACE_CONFIG, RACE_LAYER, extra);
}

static void test_subject(void **state)
{
	const struct subject_gone *row = *state;
	AUTO_SBUF image = race_image("subject");
	struct actor subject = { .body = { image.p, image.n }, .digest = digest_of(image.p) };
	AUTO_SBUF b = referrer_to(&subject.digest, image.n);
	struct actor put = { .body = { b.p, b.n } }, collect = { .watched = digest_of(b.p) };

	begin(0);
	push_free_layer();
	subject.tag = "v1";
	assert_ok(actor_run(&subject, act_put), &subject.e);
	actor_stop_at(&put, act_put, row->at);
	assert_ok(actor_run(&subject, act_delete_manifest), &subject.e);
	actor_end(&put);
	assert_ok(put.k, &put.e);
	assert_whole(gc_why_not_whole(scene, "a", &collect.watched));
	assert_int_equal(referrers_of(&subject.digest), 1);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_MANIFEST);
	assert_int_equal(referrers_of(&subject.digest), 0);
	scene_close();
}

/* With its subject there it stays, tag or not. */
static void test_subject_stays(void **state)
{
	AUTO_SBUF image = race_image("subject");
	struct actor subject = { .body = { image.p, image.n }, .tag = "v1" };
	struct digest d = digest_of(image.p);
	AUTO_SBUF b = referrer_to(&d, image.n);
	struct actor put = { .body = { b.p, b.n } }, collect = { .watched = digest_of(b.p) };

	(void)state;
	begin(0);
	push_free_layer();
	assert_ok(actor_run(&subject, act_put), &subject.e);
	assert_ok(actor_run(&put, act_put), &put.e);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_whole(gc_why_not_whole(scene, "a", &collect.watched));
	scene_close();
}

/* --- R8: a client asks for an entry that is due and stays --- */

/* A referrer in the queue, whose subject is there. */
static struct actor due_referrer(struct actor *ret_subject)
{
	AUTO_SBUF image = race_image("subject");
	struct digest d = digest_of(image.p);
	AUTO_SBUF b = referrer_to(&d, image.n);
	struct actor put = { .body = { b.p, b.n } };

	begin(0);
	push_free_layer();
	*ret_subject = (struct actor){ .body = { image.p, image.n }, .tag = "v1", .digest = d };
	assert_ok(actor_run(ret_subject, act_put), &ret_subject->e);
	assert_ok(actor_run(&put, act_put), &put.e);
	return (struct actor){ .digest = digest_of(b.p) };
}

static void test_asked_and_stays(void **state)
{
	struct actor subject, ask = due_referrer(&subject), collect = { .watched = ask.digest };

	(void)state;
	actor_stop_at(&collect, act_collect, "collect.seized");
	assert_ok(actor_run(&ask, act_ask_manifest), &ask.e);
	actor_end(&collect);
	assert_int_equal(collect.verdict, VERDICT_STALE);
	assert_true(gc_has_manifest(scene, "a", &ask.digest));
	scene_close();
}

/* What kept it goes between the look and the transaction: it is let be, and the client that was told of it may use it. */
static void test_asked_and_goes_later(void **state)
{
	struct actor subject, ask = due_referrer(&subject), collect = { .watched = ask.digest };

	(void)state;
	actor_stop_at(&collect, act_collect, "collect.seized");
	assert_ok(actor_run(&ask, act_ask_manifest), &ask.e);
	assert_ok(actor_run(&subject, act_delete_manifest), &subject.e);
	actor_end(&collect);
	assert_true(collect.verdict != VERDICT_MANIFEST);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_LEASED);
	assert_true(gc_has_manifest(scene, "a", &ask.digest));
	gc_forget_leases(scene);
	actor_run(&collect, act_collect);
	assert_int_equal(collect.verdict, VERDICT_MANIFEST);
	scene_close();
}

/* --- a restore while the row expires --- */

static const struct expiry {
	const char *name, *at; /* where the restore stands; NULL: it has not begun */
	bool lease_is_over; /* all that nothing holds is collected, and not only what nobody has */
	enum err_kind want;
} expiries[] = {
	{ "before it begins", NULL, false, ERR_NOT_FOUND },
	{ "after its row was read", "restore.read", false, ERR_NOT_FOUND },
	{ "after its blobs are back", "restore.linked", false, ERR_NOT_FOUND },
	{ "after its bytes were read", "restore.bytes", false, ERR_OK },
	{ "after it is back", "restore.put", false, ERR_OK },
	{ "after its row was read, with its lease", "restore.read", true, ERR_NOT_FOUND },
	{ "after its blobs are back, with their lease", "restore.linked", true, ERR_NOT_FOUND },
	{ "after its bytes were read, with the lease of its blobs", "restore.bytes", true,
	  ERR_NOT_FOUND },
	{ "after it is back, with the lease of its blobs", "restore.put", true, ERR_OK },
};

/* A tagged manifest in the trash, with its blobs: nothing of it is left in the repository. */
static struct actor restorer(struct digest *ret)
{
	struct actor gone = { 0 };

	begin(GC_TRASH_MS);
	*ret = gone.digest = gc_push_image(scene, "a", RACE_CONFIG, RACE_LAYER, "v1");
	assert_ok(actor_run(&gone, act_delete_manifest), &gone.e);
	gc_collect_all(scene);
	return (struct actor){ .trash_id = gc_trash_id(scene, ret) };
}

static void expire(bool lease_is_over)
{
	struct actor collect = { .only_content = true };

	do {
		(void)expire_trash();
		if (lease_is_over)
			gc_collect_all(scene);
		else
			actor_run(&collect, act_collect);
	} while (gc_trash_rows(scene));
}

static void test_expiry(void **state)
{
	const struct expiry *row = *state;
	struct digest d;
	struct actor restore = restorer(&d);

	if (row->at)
		actor_stop_at(&restore, act_restore, row->at);
	expire(row->lease_is_over);
	if (row->at)
		actor_end(&restore);
	else
		actor_run(&restore, act_restore);
	if (row->want == ERR_OK) {
		struct digest at = gc_tag(scene, "a", "v1");

		assert_ok(restore.k, &restore.e);
		assert_true(digest_eq(&at, &d));
		assert_whole(gc_why_not_whole(scene, "a", &d));
	} else {
		assert_err(restore.k, row->want, &restore.e, "");
		assert_false(gc_has_manifest(scene, "a", &d));
	}
	scene_close();
}

/* The manifest's content is being collected when it is put again: it gets a file of its own, as with a push. */
static const struct contended {
	const char *name, *at;
} contended[] = {
	{ "seized", "collect.seized" },
	{ "committed", "collect.committed" },
	{ "unlinked", "collect.unlinked" },
};

static void test_restored_while_collected(void **state)
{
	const struct contended *row = *state;
	struct digest d;
	struct actor restore = restorer(&d), collect = { .only_content = true, .watched = d };

	actor_stop_at(&restore, act_restore, "restore.bytes");
	(void)expire_trash();
	actor_stop_at(&collect, act_collect, row->at);
	race_go(&restore.racer, NULL);
	race_met(&restore.racer, "publish.waits");
	actor_end(&collect);
	actor_end(&restore);
	assert_int_equal(collect.verdict, VERDICT_CONTENT);
	assert_ok(restore.k, &restore.e);
	assert_whole(gc_why_not_whole(scene, "a", &d));
	scene_close();
}

/* A tag that a client takes meanwhile is the client's. */
static void test_tag_taken(void **state)
{
	AUTO_SBUF other = race_image("other");
	struct digest d, d_other = digest_of(other.p), at;
	struct actor restore = restorer(&d), push = { 0 }, config = { .text = RACE_CONFIG };
	struct actor put = { .body = { other.p, other.n }, .tag = "v1" };

	(void)state;
	actor_stop_at(&restore, act_restore, "restore.bytes");
	assert_ok(actor_run(&push, act_push), &push.e);
	assert_ok(actor_run(&config, act_push), &config.e);
	assert_ok(actor_run(&put, act_put), &put.e);
	actor_end(&restore);
	assert_ok(restore.k, &restore.e);
	at = gc_tag(scene, "a", "v1");
	assert_true(digest_eq(&at, &d_other));
	assert_whole(gc_why_not_whole(scene, "a", &d));
	assert_whole(gc_why_not_whole(scene, "a", &d_other));
	scene_close();
}

int main(void)
{
	race_begin();
	unit_case("R6: placed again before C3", test_placed_between);
	unit_case("R6: placed again after C3", test_placed_too_late);
	UNIT_TABLE("a tag while its manifest is put again", test_retag, retags);
	UNIT_TABLE("a subject deleted while a referrer is put", test_subject, subject_gone);
	unit_case("a referrer lives as long as its subject", test_subject_stays);
	unit_case("R8: asked for while it stays", test_asked_and_stays);
	unit_case("R8: asked for before what keeps it goes", test_asked_and_goes_later);
	UNIT_TABLE("a row of the trash expires", test_expiry, expiries);
	UNIT_TABLE("restored while its content is collected", test_restored_while_collected,
		   contended);
	unit_case("a tag is taken while its manifest is restored", test_tag_taken);
	return unit_run();
}
