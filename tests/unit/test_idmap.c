/* Maps of ids: what the kernel would refuse is refused, and both directions agree. */
#include "base/idmap.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct text_row {
	const char *name, *first, *second; /* the second may be NULL */
	enum err_kind want;                /* of the last */
	const char *said;
};

static const struct text_row texts[] = {
	{ "one", "0:100000:65536", NULL, ERR_OK, NULL },
	{ "one id", "5:7", NULL, ERR_OK, NULL },
	{ "all of them", "0:0:4294967295", NULL, ERR_OK, NULL },
	{ "the last one", "4294967294:4294967294:1", NULL, ERR_OK, NULL },
	{ "side by side", "0:1000:10", "10:1010:10", ERR_OK, NULL },
	{ "crosswise", "0:1:1000", "1000:0:1", ERR_OK, NULL },
	{ "overlap inside", "0:1000:10", "9:5000:10", ERR_INVALID, "overlap" },
	{ "overlap outside", "0:1000:10", "100:1009:1", ERR_INVALID, "overlap" },
	{ "twice", "0:1000:10", "0:1000:10", ERR_INVALID, "overlap" },
	{ "one within the other", "0:1000:100", "500:1050:1", ERR_INVALID, "overlap" },
	{ "no ids", "0:1000:0", NULL, ERR_INVALID, "no ids" },
	{ "beyond the last id inside", "4294967295:0:1", NULL, ERR_INVALID, "end at" },
	{ "beyond the last id outside", "0:4294967295:1", NULL, ERR_INVALID, "end at" },
	{ "past the end inside", "4294967290:0:10", NULL, ERR_INVALID, "end at" },
	{ "past the end outside", "0:4294967290:10", NULL, ERR_INVALID, "end at" },
	{ "one too many", "0:1:4294967295", NULL, ERR_INVALID, "end at" },
	{ "over 32 bits", "0:4294967296:1", NULL, ERR_INVALID, "no piece" },
	{ "size over 64 bits", "0:0:18446744073709551617", NULL, ERR_INVALID, "no piece" },
	{ "negative", "-1:0:1", NULL, ERR_INVALID, "no piece" },
	{ "two colons too many", "0:0:1:1", NULL, ERR_INVALID, "no piece" },
	{ "no size after its colon", "0:0:", NULL, ERR_INVALID, "no piece" },
	{ "one number", "5", NULL, ERR_INVALID, "no piece" },
	{ "words", "a:b:c", NULL, ERR_INVALID, "no piece" },
	{ "nothing", "", NULL, ERR_INVALID, "no piece" },
};

static void test_text(void **state)
{
	const struct text_row *row = *state;
	struct idmap m = { .n = 0 };
	struct err e;
	const char *last = row->second ? row->second : row->first;
	size_t before = row->second ? 1 : 0;

	if (row->second)
		assert_ok(idmap_add_text(&m, str_of(row->first), &e), &e);
	if (row->want == ERR_OK)
		assert_ok(idmap_add_text(&m, str_of(last), &e), &e);
	else
		assert_err(idmap_add_text(&m, str_of(last), &e), row->want, &e, row->said);
	assert_int_equal(m.n, before + (row->want == ERR_OK));
}

static void test_too_many(void **state)
{
	struct idmap m = { .n = 0 };
	struct err e;

	(void)state;
	for (unsigned i = 0; i < IDMAP_PIECES_MAX; i++)
		assert_ok(idmap_add(&m, 2 * i, 2 * i, 1, &e), &e);
	assert_err(idmap_add(&m, 5000, 5000, 1, &e), ERR_TOO_LARGE, &e, "340");
}

static void test_ask(void **state)
{
	struct idmaps m = { .uids = { .n = 0 } };
	uint32_t uid = 33, gid = 44;
	struct err e;
	uint64_t id;

	(void)state;
	assert_false(idmaps_are_set(&m));
	assert_true(idmaps_owner_out(&m, &uid, &gid) && uid == 33 && gid == 44);
	assert_true(idmaps_owner_out(NULL, &uid, &gid) && uid == 33 && gid == 44);
	assert_ok(idmap_add(&m.uids, 0, 1, 1000, &e), &e);
	assert_ok(idmap_add(&m.uids, 1000, 0, 1, &e), &e);
	assert_ok(idmap_add(&m.gids, 0, 100, 50, &e), &e);
	assert_true(idmaps_are_set(&m));
	assert_int_equal(idmap_count(&m.uids), 1001);
	assert_true(idmap_out(&m.uids, 1000, &id) && id == 0);
	assert_true(idmap_out(&m.uids, 999, &id) && id == 1000);
	assert_false(idmap_out(&m.uids, 1001, &id));
	assert_true(idmap_in(&m.uids, 0, &id) && id == 1000);
	assert_true(idmap_in(&m.uids, 1, &id) && id == 0);
	assert_false(idmap_in(&m.uids, 1001, &id));
	assert_true(idmaps_owner_out(&m, &uid, &gid) && uid == 34 && gid == 144);
	idmaps_owner_in(&m, &uid, &gid);
	assert_true(uid == 33 && gid == 44);
	gid = 50;
	assert_false(idmaps_owner_out(&m, &uid, &gid));
	assert_true(uid == 33 && gid == 50);
	gid = 7;
	idmaps_owner_in(&m, &uid, &gid);
	assert_true(gid == ID_NOBODY);
}

static void test_proc(void **state)
{
	static const char text[] = "         0       1000          1\n"
				   "         1     100000      65536\n";
	struct idmap m = { .n = 0 };
	AUTO_SBUF out;
	const char *dir = unit_dir();
	char path[4096];
	struct err e;

	(void)state;
	file_write(dir, "map", str_of(text));
	assert_true(snprintf(path, sizeof(path), "%s/map", dir) < (int)sizeof(path));
	assert_ok(idmap_read(path, &m, &e), &e);
	sbuf_init(&out, 4096);
	idmap_write(&m, &out);
	assert_string_equal(out.p, "0 1000 1\n1 100000 65536\n");
	file_write(dir, "map", STR("0 1000\n"));
	assert_err(idmap_read(path, &m, &e), ERR_CORRUPT, &e, "kernel");
	assert_int_equal(m.n, 2);
}

/* Of ids that everybody may map: the own one. */
static void test_userns(void **state)
{
	char map[64], own[64], other[64], path[64];
	AUTO_CLOSE ns = -1;
	struct err e;
	ssize_t n;

	(void)state;
	if (geteuid() != 0)
		skip();
	(void)snprintf(map, sizeof(map), "0 %u 1\n", (unsigned)geteuid());
	assert_ok(idmap_open_userns(map, map, &ns, &e), &e);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", ns);
	n = readlink(path, other, sizeof(other) - 1);
	assert_true(n > 0);
	other[n] = '\0';
	n = readlink("/proc/self/ns/user", own, sizeof(own) - 1);
	assert_true(n > 0);
	own[n] = '\0';
	assert_true(str_starts(str_of(other), STR("user:[")));
	assert_string_not_equal(own, other);
	fd_close(&ns);
	assert_err(idmap_open_userns("0 0 0\n", map, &ns, &e), ERR_IO, &e, "uid_map");
	assert_int_equal(ns, -1);
}

int main(void)
{
	UNIT_TABLE("text", test_text, texts);
	unit_case("too many pieces", test_too_many);
	unit_case("both directions, and owners", test_ask);
	unit_case("/proc", test_proc);
	unit_case("a namespace for a map", test_userns);
	return unit_run();
}
