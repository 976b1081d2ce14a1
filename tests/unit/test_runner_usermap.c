/* --userns, --uidmap and --gidmap: what they mean, and which ids auto gives. */
#include "runtime/container/usermap.h"

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define LISTED_MAX 4

static struct text_list list_of(const char *const texts[static LISTED_MAX])
{
	struct text_list l = { .v = (const char **)(uintptr_t)texts };

	while (l.n < LISTED_MAX && texts[l.n])
		l.n++;
	return l;
}

struct mode_row {
	const char *name, *mode;
	const char *uids[LISTED_MAX], *gids[LISTED_MAX];
	enum usermap_kind kind;
	const char *said; /* NULL: it is fine */
};

static const struct mode_row rows[] = {
	{ "nothing", NULL, { NULL }, { NULL }, USERMAP_HOST, NULL },
	{ "empty", "", { NULL }, { NULL }, USERMAP_HOST, NULL },
	{ "host", "host", { NULL }, { NULL }, USERMAP_HOST, NULL },
	{ "keep-id", "keep-id", { NULL }, { NULL }, USERMAP_KEEP_ID, NULL },
	{ "keep-id with ids", "keep-id:uid=7,gid=8", { NULL }, { NULL }, USERMAP_KEEP_ID, NULL },
	{ "nomap", "nomap", { NULL }, { NULL }, USERMAP_NOMAP, NULL },
	{ "auto", "auto", { NULL }, { NULL }, USERMAP_AUTO, NULL },
	{ "auto with all",
	  "auto:size=9,uidmapping=5:6:1,gidmapping=5:6:1",
	  { NULL },
	  { NULL },
	  USERMAP_AUTO,
	  NULL },
	{ "maps alone", NULL, { "0:5:2" }, { "0:6:2" }, USERMAP_GIVEN, NULL },
	{ "private with a map", "private", { "0:5:2", "2:9:1" }, { NULL }, USERMAP_GIVEN, NULL },
	{ "private alone", "private", { NULL }, { NULL }, USERMAP_GIVEN, "--uidmap" },
	{ "host and a map", "host", { "0:5:2" }, { NULL }, USERMAP_HOST, "not for" },
	{ "auto and a map", "auto", { NULL }, { "0:5:2" }, USERMAP_AUTO, "not for" },
	{ "maps that overlap", NULL, { "0:5:2", "1:9:1" }, { NULL }, USERMAP_GIVEN, "--uidmap: " },
	{ "groups that overlap",
	  NULL,
	  { "0:5:2" },
	  { "0:5:2", "9:6:1" },
	  USERMAP_GIVEN,
	  "--gidmap: " },
	{ "an empty map", NULL, { "0:5:0" }, { NULL }, USERMAP_GIVEN, "no ids" },
	{ "unknown", "nosuch", { NULL }, { NULL }, USERMAP_HOST, "nosuch" },
	{ "another's", "container:x", { NULL }, { NULL }, USERMAP_HOST, "container:x" },
	{ "a colon and nothing", "auto:", { NULL }, { NULL }, USERMAP_AUTO, "auto:" },
	{ "size 0", "auto:size=0", { NULL }, { NULL }, USERMAP_AUTO, "size" },
	{ "size of none", "auto:size=", { NULL }, { NULL }, USERMAP_AUTO, "size" },
	{ "size over all", "auto:size=4294967296", { NULL }, { NULL }, USERMAP_AUTO, "size" },
	{ "another's option", "keep-id:size=5", { NULL }, { NULL }, USERMAP_KEEP_ID, "size" },
	{ "no id", "keep-id:uid=root", { NULL }, { NULL }, USERMAP_KEEP_ID, "no id" },
	{ "beyond ids", "keep-id:gid=4294967295", { NULL }, { NULL }, USERMAP_KEEP_ID, "no id" },
	{ "host takes none", "host:uid=5", { NULL }, { NULL }, USERMAP_HOST, "uid" },
	{ "a bad piece", "auto:uidmapping=5", { NULL }, { NULL }, USERMAP_AUTO, "piece" },
};

static void test_parse(void **state)
{
	const struct mode_row *row = *state;
	struct text_list uids = list_of(row->uids), gids = list_of(row->gids);
	struct usermap_wish w;
	struct err e;

	if (row->said) {
		assert_err(usermap_parse(row->mode, &uids, &gids, &w, &e), ERR_INVALID, &e,
			   row->said);
		return;
	}
	assert_ok(usermap_parse(row->mode, &uids, &gids, &w, &e), &e);
	assert_int_equal(w.kind, row->kind);
	assert_int_equal(usermap_claims(&w), w.kind == USERMAP_AUTO || w.kind == USERMAP_GIVEN);
}

/* --- Choosing --- */

struct here {
	struct containers cs;
	char root[4096], state[4096];
};

static void open_here(struct here *h)
{
	const char *dir = unit_dir();
	struct err e;

	(void)snprintf(h->root, sizeof(h->root), "%s/root", dir);
	(void)snprintf(h->state, sizeof(h->state), "%s/state", dir);
	assert_ok(containers_open(h->root, h->state, &h->cs, &e), &e);
}

static void close_here(struct here *h)
{
	containers_close(&h->cs);
}
#define AUTO_HERE CLEANUP(close_here) struct here

static enum err_kind choose(const struct here *h, const char *mode, uint64_t ids,
			    struct idmaps *ret, struct err *e)
{
	static const struct text_list none;
	const struct usermap_who who = { .is_ordinary = true, .ids = ids };
	struct usermap_wish w;

	assert_ok(usermap_parse(mode, &none, &none, &w, e), e);
	return usermap_choose(&w, &who, &h->cs, ret, e);
}

static void make_container(const struct here *h, const struct idmaps *ids, bool claims)
{
	AUTO_CONTAINER c = CONTAINER_INIT;
	struct err e;

	assert_ok(container_make(&h->cs, NULL, &c, &e), &e);
	c.record.image = c.record.image_id = c.record.manifest = c.record.rootfs = "";
	c.record.network = c.record.userns = "";
	c.record.stop_signal = 15;
	c.record.ids = *ids;
	c.record.claims_ids = claims;
	assert_ok(record_write(c.dir, &c.record, &e), &e);
}

static void assert_piece(const struct idmap *m, size_t i, uint32_t inside, uint32_t outside,
			 uint32_t n)
{
	assert_true(i < m->n);
	assert_int_equal(m->v[i].inside, inside);
	assert_int_equal(m->v[i].outside, outside);
	assert_int_equal(m->v[i].n, n);
}

static void test_auto(void **state)
{
	AUTO_HERE h = { .cs = { .dir = -1 } };
	struct idmaps m;
	struct err e;

	(void)state;
	open_here(&h);
	assert_ok(choose(&h, "auto", 5, &m, &e), &e);
	assert_piece(&m.uids, 0, 0, 1, 1024);
	assert_piece(&m.gids, 0, 0, 1, 1024);
	make_container(&h, &m, true);
	assert_ok(choose(&h, "auto:size=10", 5, &m, &e), &e);
	assert_piece(&m.uids, 0, 0, 1025, 10);
	make_container(&h, &m, false); /* whose ids others may have, too */
	assert_ok(choose(&h, "auto", 5000, &m, &e), &e);
	assert_piece(&m.uids, 0, 0, 1025, 5000);
	assert_err(choose(&h, "auto:size=4294967294", 5, &m, &e), ERR_TOO_MANY, &e, "free");
}

static void test_auto_with_maps(void **state)
{
	AUTO_HERE h = { .cs = { .dir = -1 } };
	struct idmaps m;
	struct err e;

	(void)state;
	open_here(&h);
	assert_ok(choose(&h, "auto:size=100,uidmapping=50:20:10,gidmapping=200:7", 0, &m, &e), &e);
	assert_int_equal(m.uids.n, 3);
	assert_piece(&m.uids, 0, 50, 20, 10);
	assert_piece(&m.uids, 1, 0, 30, 50);
	assert_piece(&m.uids, 2, 60, 90, 40);
	assert_int_equal(m.gids.n, 2);
	assert_piece(&m.gids, 0, 200, 7, 1);
	assert_piece(&m.gids, 1, 0, 30, 100);
}

static void test_keep(void **state)
{
	AUTO_HERE h = { .cs = { .dir = -1 } };
	struct idmaps m;
	struct err e;

	(void)state;
	open_here(&h);
	assert_ok(choose(&h, "keep-id:uid=1000,gid=5", 0, &m, &e), &e);
	assert_piece(&m.uids, 0, 0, 1, 1000);
	assert_piece(&m.uids, 1, 1000, 0, 1);
	assert_int_equal(m.uids.v[2].inside, 1001);
	assert_int_equal(m.uids.v[2].outside, 1001);
	assert_piece(&m.gids, 0, 0, 1, 5);
	assert_piece(&m.gids, 1, 5, 0, 1);
	assert_ok(choose(&h, "nomap", 0, &m, &e), &e);
	assert_int_equal(m.uids.v[0].outside, 1);
}

static void test_last(void **state)
{
	static const char *const uids[LISTED_MAX] = { "0:4294967294:1" };
	AUTO_HERE h = { .cs = { .dir = -1 } };
	struct text_list list = list_of(uids);
	const struct usermap_who who = { .is_ordinary = true };
	struct usermap_wish w;
	struct idmaps m;
	struct err e;

	(void)state;
	open_here(&h);
	assert_ok(usermap_parse(NULL, &list, &list, &w, &e), &e);
	assert_ok(usermap_choose(&w, &who, &h.cs, &m, &e), &e);
	assert_ok(usermap_parse("auto:uidmapping=0:4294967294:1", &(struct text_list){ .n = 0 },
				&(struct text_list){ .n = 0 }, &w, &e),
		  &e);
	assert_ok(usermap_choose(&w, &who, &h.cs, &m, &e), &e);
}

static void test_rootless(void **state)
{
	static const char *const given[LISTED_MAX] = { "1:1:5" }, *const all[LISTED_MAX] = {
		"0:0:5"
	};
	const struct text_list without = list_of(given), with = list_of(all);
	const struct usermap_who who = { .is_ordinary = true };
	AUTO_HERE h = { .cs = { .dir = -1 } };
	struct usermap_wish w;
	struct idmaps m;
	struct err e;

	(void)state;
	open_here(&h);
	assert_ok(usermap_parse(NULL, &without, &with, &w, &e), &e);
	assert_err(usermap_choose(&w, &who, &h.cs, &m, &e), ERR_INVALID, &e, "root");
	assert_ok(usermap_parse(NULL, &with, &without, &w, &e), &e);
	assert_err(usermap_choose(&w, &who, &h.cs, &m, &e), ERR_INVALID, &e, "root");
}

int main(void)
{
	UNIT_TABLE("parse", test_parse, rows);
	unit_case("auto: the first ids that no other container claims", test_auto);
	unit_case("auto around given pieces", test_auto_with_maps);
	unit_case("keep-id, nomap", test_keep);
	unit_case("the last id", test_last);
	unit_case("without root", test_rootless);
	return unit_run();
}
