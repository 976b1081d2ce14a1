/* Options of mounts. */
#include "tests/lib/unit.h"

#include <sys/mount.h>

#include "runtime/oci/plan/mount_opt.h"

#define A(bit) MOUNT_ATTR_##bit

struct row {
	const char *options; /* with blanks between */
	uint64_t set, clear, all_set, all_clear;
	unsigned long super;
	const char *data; /* joined by blanks */
};

static const struct row rows[] = {
	{ .options = "" },
	{ .options = "defaults" },
	{ .options = "ro nosuid nodev noexec",
	  .set = A(RDONLY) | A(NOSUID) | A(NODEV) | A(NOEXEC) },
	/* the last one that speaks of a bit counts */
	{ .options = "ro rw", .clear = A(RDONLY) },
	{ .options = "rw ro", .set = A(RDONLY) },
	{ .options = "nosuid suid nodev dev noexec exec",
	  .clear = A(NOSUID) | A(NODEV) | A(NOEXEC) },
	/* the kinds of atime are values of one field */
	{ .options = "noatime", .set = A(NOATIME), .clear = A(_ATIME) },
	{ .options = "noatime strictatime", .set = A(STRICTATIME), .clear = A(_ATIME) },
	{ .options = "strictatime relatime", .clear = A(_ATIME) },
	{ .options = "strictatime noatime", .set = A(NOATIME), .clear = A(_ATIME) },
	{ .options = "nodiratime nosymfollow", .set = A(NODIRATIME) | A(NOSYMFOLLOW) },
	{ .options = "nosymfollow symfollow", .clear = A(NOSYMFOLLOW) },
	/* a tree of mounts */
	{ .options = "rro rnosuid", .all_set = A(RDONLY) | A(NOSUID) },
	{ .options = "rro rrw", .all_clear = A(RDONLY) },
	{ .options = "rnoatime", .all_set = A(NOATIME), .all_clear = A(_ATIME) },
	{ .options = "ro rro", .set = A(RDONLY), .all_set = A(RDONLY) },
	/* the superblock */
	{ .options = "sync dirsync lazytime", .super = MS_SYNCHRONOUS | MS_DIRSYNC | MS_LAZYTIME },
	{ .options = "sync async lazytime nolazytime" },
	{ .options = "mand nomand silent loud" },
	/* the filesystem's */
	{ .options = "size=64k nosuid mode=755 lowerdir=a:b",
	  .set = A(NOSUID),
	  .data = "size=64k mode=755 lowerdir=a:b" },
	{ .options = "RO nr_inodes", .data = "RO nr_inodes" },
};

static size_t split(char *text, const char **v, size_t cap)
{
	size_t n = 0;

	for (char *save = NULL, *t = strtok_r(text, " ", &save); t;
	     t = strtok_r(NULL, " ", &save)) {
		assert_true(n < cap);
		v[n++] = t;
	}
	return n;
}

static void parse(const char *options, struct arena *a, struct mount_opts *ret)
{
	const char *v[32];
	struct texts list = { .v = v };
	struct err e;

	list.n = split(arena_text(a, str_of(options)), v, ARRAY_LEN(v));
	assert_int_equal(mount_opts_parse(&list, a, ret, &e), ERR_OK);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		char data[256] = "";
		struct mount_opts m;
		AUTO_ARENA a;

		arena_init(&a, 1 << 20);
		parse(r->options, &a, &m);
		for (size_t j = 0; j < m.data.n; j++)
			(void)snprintf(data + strlen(data), sizeof(data) - strlen(data), "%s%s",
				       j ? " " : "", m.data.v[j]);
		if (m.set != r->set || m.clear != r->clear || m.all_set != r->all_set ||
		    m.all_clear != r->all_clear || m.super_flags != r->super ||
		    strcmp(data, r->data ? r->data : "") != 0)
			fail_msg("\"%s\": set %#lx clear %#lx all %#lx %#lx super %#lx data \"%s\"",
				 r->options, m.set, m.clear, m.all_set, m.all_clear, m.super_flags,
				 data);
	}
}

static void test_marks(void **state)
{
	struct mount_opts m;
	AUTO_ARENA a;

	(void)state;
	arena_init(&a, 1 << 20);
	parse("rbind", &a, &m);
	assert_true(m.is_bind && m.is_recursive && !m.is_remount);
	parse("bind remount", &a, &m);
	assert_true(m.is_bind && !m.is_recursive && m.is_remount);
	parse("tmpcopyup ridmap src-nofollow dest-nofollow copy-symlink", &a, &m);
	assert_true(m.copies_up && m.is_idmapped && m.idmaps_recursively && m.source_nofollow &&
		    m.target_nofollow && m.keeps_symlink && !m.is_bind);
	parse("rprivate rslave", &a, &m);
	assert_int_equal(m.propagation_n, 2);
	assert_int_equal(m.propagation[0], MS_PRIVATE | MS_REC);
	assert_int_equal(m.propagation[1], MS_SLAVE | MS_REC);
}

static void test_too_many_propagations(void **state)
{
	const char *v[] = { "shared", "slave", "private", "rslave", "rshared" };
	const struct texts list = { v, ARRAY_LEN(v) };
	struct mount_opts m;
	AUTO_ARENA a;
	struct err e;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(mount_opts_parse(&list, &a, &m, &e), ERR_INVALID);
}

/* Options are looked up by halving the table. */
static void test_order(void **state)
{
	size_t n = 0;

	(void)state;
	for (; mount_opt_name(n); n++) {
		const char *name = mount_opt_name(n);
		const struct texts list = { &name, 1 };
		struct mount_opts m;
		AUTO_ARENA a;
		struct err e;

		arena_init(&a, 1 << 20);
		assert_true(n == 0 || strcmp(mount_opt_name(n - 1), name) < 0);
		assert_int_equal(mount_opts_parse(&list, &a, &m, &e), ERR_OK);
		assert_int_equal(m.data.n, 0);
	}
	assert_true(n > 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows),
					    cmocka_unit_test(test_marks),
					    cmocka_unit_test(test_too_many_propagations),
					    cmocka_unit_test(test_order) };

	return cmocka_run_group_tests_name("mount options", tests, NULL, NULL);
}
