#include "base/filewatch.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

struct watched_file {
	const char *dir;
	char path[128];
	struct filewatch w;
};

static void start(struct watched_file *f)
{
	f->dir = unit_dir();
	(void)snprintf(f->path, sizeof(f->path), "%s/f", f->dir);
	file_write(f->dir, "f", STR("one"));
	filewatch_init(&f->w, f->path);
	filewatch_mark(&f->w);
}

/* V1: at the second look, and until it is read. */
static void assert_noticed(struct watched_file *f)
{
	assert_false(filewatch_changed(&f->w));
	assert_true(filewatch_changed(&f->w));
	assert_true(filewatch_changed(&f->w));
	filewatch_mark(&f->w);
	assert_false(filewatch_changed(&f->w));
	assert_false(filewatch_changed(&f->w));
}

static void test_same(void **state)
{
	struct watched_file f;

	(void)state;
	start(&f);
	for (unsigned i = 0; i < 3; i++)
		assert_false(filewatch_changed(&f.w));
}

static void test_changes(void **state)
{
	struct watched_file f;
	char other[128], link_path[128];

	(void)state;
	start(&f);
	file_write(f.dir, "f", STR("longer"));
	assert_noticed(&f);
	(void)snprintf(other, sizeof(other), "%s/g", f.dir);
	file_write(f.dir, "g", STR("longer")); /* replaced by a file of the same size */
	MUST(rename(other, f.path) == 0);
	assert_noticed(&f);
	MUST(unlink(f.path) == 0);
	assert_noticed(&f);
	file_write(f.dir, "f", STR("back"));
	assert_noticed(&f);

	file_write(f.dir, "g", STR("g"));
	(void)snprintf(link_path, sizeof(link_path), "%s/l", f.dir);
	MUST(symlink("f", link_path) == 0);
	filewatch_init(&f.w, link_path);
	filewatch_mark(&f.w);
	MUST(unlink(link_path) == 0 && symlink("g", link_path) == 0); /* as secrets are mounted */
	assert_noticed(&f);
}

/* V1: while it goes on changing nothing is told. */
static void test_restless(void **state)
{
	struct watched_file f;
	char text[16];

	(void)state;
	start(&f);
	for (unsigned i = 0; i < 5; i++) {
		memset(text, 'x', sizeof(text));
		file_write(f.dir, "f", (struct str){ text, i + 4 });
		assert_false(filewatch_changed(&f.w));
	}
	assert_true(filewatch_changed(&f.w));
}

static void test_absent(void **state)
{
	struct watched_file f;

	(void)state;
	start(&f);
	MUST(unlink(f.path) == 0);
	filewatch_mark(&f.w);
	assert_false(filewatch_changed(&f.w));
	file_write(f.dir, "f", STR("one"));
	assert_noticed(&f);
}

int main(void)
{
	unit_case("nothing changed", test_same);
	unit_case("written, replaced, removed, linked", test_changes);
	unit_case("not while it is being written", test_restless);
	unit_case("not there at first", test_absent);
	return unit_run();
}
