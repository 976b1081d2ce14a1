/* Paths in a tree that somebody else changes: with openat2(2), and on a kernel without it. */
#include "tests/lib/unit.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/walk.h"

#define RACES 20000

static char top[] = "/tmp/test-walk.XXXXXX";
static int outside, root; /* top, and top/root */

static void put(int dir, const char *name, const char *text)
{
	AUTO_CLOSE fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
}

static void make_tree(void)
{
	assert_non_null(mkdtemp(top));
	outside = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(outside, "root", 0755), 0);
	put(outside, "file", "outside");
	root = openat(outside, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(root, "d", 0755), 0);
	assert_int_equal(mkdirat(root, "d/e", 0755), 0);
	put(root, "file", "inside");
	put(root, "d/file", "inside d");
	assert_int_equal(symlinkat("/file", root, "absolute"), 0);
	assert_int_equal(symlinkat("../../../file", root, "d/up"), 0);
	assert_int_equal(symlinkat("../file", root, "d/e/near"), 0);
	assert_int_equal(symlinkat("/d", root, "dir"), 0);
	assert_int_equal(symlinkat("loop", root, "loop"), 0);
	assert_int_equal(symlinkat("/made/by/link", root, "dangling"), 0);
	assert_int_equal(symlinkat("/proc/self/root", root, "magic"), 0);
}

static const struct {
	const char *path;
	int error;
	const char *text;
} rows[] = {
	{ "/file", 0, "inside" },
	{ "file", 0, "inside" },
	{ "//d//./file", 0, "inside d" },
	{ "/../../file", 0, "inside" },
	{ "d/../../../file", 0, "inside" },
	{ "absolute", 0, "inside" },
	{ "d/up", 0, "inside" },
	{ "d/e/near", 0, "inside d" },
	{ "dir/file", 0, "inside d" },
	{ "dir/../file", 0, "inside" },
	{ "dir/e/../../absolute", 0, "inside" },
	{ "magic/file", ENOENT, NULL }, /* there is no /proc inside */
	{ "dangling", ENOENT, NULL },
	{ "nothing", ENOENT, NULL },
	{ "nothing/../file", ENOENT, NULL },
	{ "loop", ELOOP, NULL },
	{ "file/x", ENOTDIR, NULL },
};

static void test_open(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_CLOSE fd = -1;
		char buf[16] = "";
		int r = walk_open(root, rows[i].path, O_RDONLY);

		fd = r;
		if (r < 0 ? -r != rows[i].error : rows[i].error != 0)
			fail_msg("%s: %d", rows[i].path, r);
		if (r < 0)
			continue;
		assert_true(read(fd, buf, sizeof(buf) - 1) >= 0);
		assert_string_equal(buf, rows[i].text);
	}
}

static void test_nofollow(void **state)
{
	AUTO_CLOSE fd = walk_open(root, "absolute", O_PATH | O_NOFOLLOW);
	struct stat st;

	(void)state;
	assert_true(fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
	fd_close(&fd);
	assert_int_equal(walk_open(root, "absolute", O_RDONLY | O_NOFOLLOW), -ELOOP);
	fd = walk_open(root, "dir/file", O_RDONLY | O_NOFOLLOW); /* speaks of the last one only */
	assert_true(fd >= 0);
}

static void check_is(int fd, const char *path)
{
	struct stat a, b;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &a), 0);
	assert_int_equal(fstatat(outside, path, &b, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
}

static void test_make(void **state)
{
	AUTO_CLOSE a = walk_make(root, "/new/a/b", WALK_MAKE_DIR);
	AUTO_CLOSE b = walk_make(root, "../../new/f", WALK_MAKE_FILE);
	AUTO_CLOSE c = walk_make(root, "dangling/x", WALK_MAKE_DIR);
	AUTO_CLOSE d = walk_make(root, "d/file", WALK_MAKE_DIR); /* is there: left as it is */
	AUTO_CLOSE e = walk_make(root, "/", WALK_MAKE_DIR);

	(void)state;
	check_is(a, "root/new/a/b");
	check_is(b, "root/new/f");
	check_is(c, "root/made/by/link/x");
	check_is(d, "root/d/file");
	check_is(e, "root");
	assert_int_equal(walk_make(root, "file/x", WALK_MAKE_DIR), -ENOTDIR);
	assert_int_equal(faccessat(outside, "made", F_OK, 0), -1);
}

static void test_parent(void **state)
{
	char dir[4096];
	const char *name;
	AUTO_CLOSE a = walk_parent(root, "/p/q/r", &name, dir);

	(void)state;
	check_is(a, "root/p/q");
	assert_string_equal(name, "r");
	assert_int_equal(walk_parent(root, "/p/..", &name, dir), -EINVAL);
	assert_int_equal(walk_parent(root, "/p/", &name, dir), -EINVAL);
	assert_int_equal(walk_parent(root, "/", &name, dir), -EINVAL);
}

static void test_long(void **state)
{
	char path[8192];

	(void)state;
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(walk_open(root, path, O_PATH), -ENAMETOOLONG);
	assert_int_equal(walk_make(root, path, WALK_MAKE_DIR), -ENAMETOOLONG);
	for (size_t i = 0; i + 1 < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'a';
	assert_true(walk_make(root, path, WALK_MAKE_DIR) < 0);
}

/* root/race is a directory and a link out of the tree by turns. */
static _Noreturn void keep_changing(void)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		(void)syscall(SYS_renameat2, root, "race", root, "other", 2 /* RENAME_EXCHANGE */);
}

static bool leads_outside(const char *path, const struct stat *secret)
{
	AUTO_CLOSE fd = walk_open(root, path, O_PATH);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == secret->st_ino &&
	       st.st_dev == secret->st_dev;
}

static void test_race(void **state)
{
	struct stat secret;
	unsigned out = 0;
	pid_t child;

	(void)state;
	(void)unlinkat(root, "other", 0);
	(void)unlinkat(root, "race", 0);
	(void)unlinkat(root, "race", AT_REMOVEDIR);
	(void)unlinkat(root, "other", AT_REMOVEDIR);
	assert_int_equal(mkdirat(root, "race", 0755), 0);
	assert_int_equal(symlinkat("..", root, "other"), 0);
	assert_int_equal(fstatat(outside, "file", &secret, 0), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		keep_changing();
	for (unsigned i = 0; i < RACES; i++) {
		out += leads_outside("race/../file", &secret);
		out += leads_outside("race/file", &secret);
	}
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(out, 0);
}

static void forbid_openat2(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_LEN(filter), .filter = filter };

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	assert_int_equal(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), 0);
}

static int remove_one(int dir, const char *name);

static void remove_below(int fd)
{
	DIR *d = fdopendir(fd);
	struct dirent *entry;

	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			(void)remove_one(dirfd(d), entry->d_name);
	}
	if (d)
		(void)closedir(d);
}

static int remove_one(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return unlinkat(dir, name, 0);
	remove_below(fd);
	return unlinkat(dir, name, AT_REMOVEDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_open), cmocka_unit_test(test_nofollow),
		cmocka_unit_test(test_make), cmocka_unit_test(test_parent),
		cmocka_unit_test(test_long), cmocka_unit_test(test_race),
	};
	int failed;

	make_tree();
	failed = cmocka_run_group_tests_name("walk by openat2", tests, NULL, NULL);
	(void)remove_one(root, "new");
	(void)remove_one(root, "made");
	(void)remove_one(root, "p");
	forbid_openat2();
	failed |= cmocka_run_group_tests_name("walk without openat2", tests, NULL, NULL);
	(void)remove_one(AT_FDCWD, top);
	return failed;
}
