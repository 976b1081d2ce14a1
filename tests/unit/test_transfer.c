#include "storage/transfer.h"

#include "storage/history.h"
#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/index_fixture.h"
#include "tests/lib/unit.h"

struct rig {
	struct store *st;
	struct repo_name a, b;
	struct tag_name v1;
	struct digest image;
};

/* a:v1 is a small image. */
static struct rig rig_new(void)
{
	struct rig r = { .a = repo_of("a"), .b = repo_of("b"), .v1 = tag_of("v1") };
	AUTO_SBUF body = small_image("one");

	r.st = store_of(unit_dir());
	push_blob(r.st, "a", CONFIG_TEXT);
	push_blob(r.st, "a", LAYER_TEXT);
	push_manifest(r.st, "a", text_of(&body), MEDIA_OCI_MANIFEST, "v1");
	r.image = digest_of_bytes(DIGEST_SHA256, text_of(&body));
	return r;
}

static void rig_end(struct rig *r)
{
	index_check(store_index(r->st));
	store_close(&r->st);
}

static struct tag_row row_of(struct rig *r, const char *repo, const char *tag)
{
	struct repo_name n = repo_of(repo);
	struct tag_name t = tag_of(tag);
	struct tag_row row;
	struct err e;

	assert_ok(index_tag_find(store_index(r->st), &n, &t, &row, &e), &e);
	return row;
}

/* What was seen decides in the transaction: a put that keeps tags, a delete of what is free. */
static void test_conditions(void **state)
{
	AUTO_SBUF body = small_image("two");
	struct rig r = rig_new();
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	struct manifest_push push = { .body = text_of(&body),
				      .media_type = STR(MEDIA_OCI_MANIFEST),
				      .digest = digest_of_bytes(DIGEST_SHA256, text_of(&body)),
				      .tags = &r.v1,
				      .n_tags = 1,
				      .keep_tags = true };
	struct change c = store_change(r.st, CHANGE_MANIFEST_DELETE, &r.a);
	struct manifest_info info;
	struct err e;

	(void)state;
	assert_err(repo_manifest_put(r.st, &r.a, &push, &pushed, &e), ERR_IN_USE, &e,
		   "a:v1 points to something else");
	assert_true(digest_eq(&(struct digest){ 0 }, &pushed.subject));
	c.digest = r.image;
	c.if_free = true;
	assert_ok(index_manifest_find(store_index(r.st), &r.a, NULL, &r.image, &info, &e), &e);
	free(info.bytes);
	c.pushed_ms = info.pushed_ms;
	assert_err(commit_change(r.st->committer, &c, &e), ERR_IN_USE, &e, "something needs");
	assert_ok(repo_tag_delete(r.st, &r.a, &r.v1, NULL, &e), &e);
	c.pushed_ms--;
	assert_err(commit_change(r.st->committer, &c, &e), ERR_IN_USE, &e, "something needs");
	c.pushed_ms++;
	assert_ok(commit_change(r.st->committer, &c, &e), &e);
	rig_end(&r);
}

static bool push_once(void *arg)
{
	struct rig *r = arg;
	AUTO_SBUF body = small_image("pushed meanwhile");

	if (r->image.alg) {
		push_manifest(r->st, "a", text_of(&body), MEDIA_OCI_MANIFEST, "v1");
		r->image.alg = 0;
	}
	return true;
}

/* F3: what is pushed between the copy and the end of the source's tag moves as well. */
static void test_move_beside_push(void **state)
{
	AUTO_SBUF body = small_image("pushed meanwhile");
	struct digest want = digest_of_bytes(DIGEST_SHA256, text_of(&body));
	struct rig r = rig_new();
	struct transfer t = { .st = r.st, .go_on = push_once, .arg = &r };
	struct tag_row row;
	struct err e;

	(void)state;
	assert_ok(transfer_move_tag(&t, &r.a, &r.v1, &r.b, &r.v1, &e), &e);
	row = row_of(&r, "b", "v1");
	assert_true(digest_eq(&row.digest, &want));
	assert_err(index_tag_find(store_index(r.st), &r.a, &r.v1, &row, &e), ERR_NOT_FOUND, &e,
		   "no tag v1");
	assert_int_equal(t.tags, 2);
	rig_end(&r);
}

static bool stop_after(void *arg)
{
	unsigned *left = arg;

	return (*left)-- > 0;
}

/* F1: broken off anywhere, and asked for again, it comes to the same. */
static void test_broken_off(void **state)
{
	(void)state;
	for (unsigned n = 0;; n++) {
		struct rig r = rig_new();
		unsigned left = n;
		struct transfer t = { .st = r.st, .go_on = stop_after, .arg = &left };
		struct tag_row row;
		struct err e;
		enum err_kind k = transfer_repo(&t, &r.a, &r.b, true, &e);

		if (k != ERR_OK) {
			assert_err(k, ERR_AWAY, &e, "ask for the same again");
			index_check(store_index(r.st));
			t.go_on = NULL;
			assert_ok(transfer_repo(&t, &r.a, &r.b, true, &e), &e);
		}
		row = row_of(&r, "b", "v1");
		assert_true(digest_eq(&row.digest, &r.image));
		rig_end(&r);
		if (k == ERR_OK)
			break;
		assert_in_range(n, 0, 100);
	}
}

static void test_remove_repo(void **state)
{
	struct rig r = rig_new();
	struct transfer t = { .st = r.st };
	struct err e;

	(void)state;
	assert_ok(transfer_remove_repo(&t, &r.a, &e), &e);
	assert_int_equal(t.removed, 3);
	assert_err(index_repo_exists(store_index(r.st), &r.a, &e), ERR_NOT_FOUND, &e, "a");
	assert_err(transfer_remove_repo(&t, &r.a, &e), ERR_NOT_FOUND, &e, "a");
	rig_end(&r);
}

static bool count(void *arg, const struct history_event *ev)
{
	struct sbuf *b = arg;

	sbuf_addf(b, "%s:%d>%d ", ev->tag.s, ev->from.alg != 0, ev->to.alg != 0);
	return true;
}

/* Tags that go with their manifest are told of one by one; other repositories' records are not. */
static void test_history(void **state)
{
	struct rig r = rig_new();
	AUTO_SBUF body = small_image("one"), all = { .max = 1000 }, one = { .max = 1000 };
	struct err e;

	(void)state;
	push_manifest(r.st, "a", text_of(&body), MEDIA_OCI_MANIFEST, "v2");
	push_blob(r.st, "a/b", CONFIG_TEXT);
	push_blob(r.st, "a/b", LAYER_TEXT);
	push_manifest(r.st, "a/b", text_of(&body), MEDIA_OCI_MANIFEST, "v9");
	assert_ok(repo_manifest_delete(r.st, &r.a, &r.image, NULL, &e), &e);
	push_blob(r.st, "a", CONFIG_TEXT);
	assert_ok(history_read(r.st, &r.a, NULL, count, &all, &e), &e);
	assert_string_equal(all.p, "v1:0>1 v2:0>1 v2:1>0 v1:1>0 ");
	assert_ok(history_read(r.st, &r.a, &r.v1, count, &one, &e), &e);
	assert_string_equal(one.p, "v1:0>1 v1:1>0 ");
	rig_end(&r);
}

static void test_closure_bounds(void **state)
{
	struct rig r = rig_new();
	AUTO_CLOSURE two = { .n_max = 2 };
	AUTO_CLOSURE three = { .n_max = 3 };
	struct err e;

	(void)state;
	assert_err(closure_gather(&two, store_index(r.st), &r.a, &r.image, true, &e), ERR_TOO_LARGE,
		   &e, "more than 2");
	assert_ok(closure_gather(&three, store_index(r.st), &r.a, &r.image, true, &e), &e);
	assert_int_equal(three.n, 3);
	assert_true(digest_eq(&three.items[2]->digest, &r.image));
	rig_end(&r);
}

int main(void)
{
	unit_case("what was seen decides", test_conditions);
	unit_case("a move beside a push", test_move_beside_push);
	unit_case("a move that is broken off at each step", test_broken_off);
	unit_case("a repository goes", test_remove_repo);
	unit_case("history", test_history);
	unit_case("a closure has bounds", test_closure_bounds);
	return unit_run();
}
