/* Seccomp profiles as BPF programs, run here by an interpreter; and programs that are kept. */
#include "tests/lib/unit.h"

#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/oci/seccomp/filter.h"
#include "runtime/oci/spec/spec.h"

#define X86_64 AUDIT_ARCH_X86_64
#define I386 AUDIT_ARCH_I386
#define X32_BIT 0x40000000
#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))

static bool holds(int op, uint32_t a, uint32_t b)
{
	switch (op) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	case BPF_JSET:
		return (a & b) != 0;
	default:
		fail_msg("jump %#x", (unsigned)op);
		return false;
	}
}

static uint32_t run(const struct filter *f, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < f->n; pc++) {
		const struct sock_filter *i = &f->v[pc];

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k <= sizeof(*data) - 4);
			memcpy(&a, (const char *)data + i->k, sizeof(a));
			break;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_ALU | BPF_AND | BPF_K:
			a &= i->k;
			break;
		case BPF_JMP | BPF_JA:
			pc += i->k;
			break;
		default:
			assert_int_equal(BPF_CLASS(i->code), BPF_JMP);
			pc += holds(BPF_OP(i->code), a, i->k) ? i->jt : i->jf;
		}
	}
	fail_msg("the program does not end");
	return 0;
}

struct call {
	uint32_t arch;
	int nr;
	uint64_t args[2];
	uint32_t action;
};

struct row {
	const char *profile; /* JSON with ' for " */
	struct call calls[8];
};

#define ALLOW SECCOMP_RET_ALLOW
#define END                                                                                        \
	{                                                                                          \
		0                                                                                  \
	}

static const struct row rows[] = {
	{ "{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['mkdir','nonsense_call'],"
	  "'action':'SCMP_ACT_ERRNO'}]}",
	  { { X86_64, SYS_mkdir, { 0 }, ERRNO(EPERM) },
	    { X86_64, SYS_getpid, { 0 }, ALLOW },
	    { X86_64, 100000, { 0 }, ALLOW },
	    { I386, 20, { 0 }, SECCOMP_RET_KILL_THREAD },
	    END } },
	{ "{'defaultAction':'SCMP_ACT_ERRNO','architectures':['SCMP_ARCH_X86_64','SCMP_ARCH_X86',"
	  "'SCMP_ARCH_X32'],'syscalls':[{'names':['getpid','exit_group'],'action':'SCMP_ACT_ALLOW'}"
	  "]}",
	  { { X86_64, SYS_getpid, { 0 }, ALLOW },
	    { X86_64, SYS_getpid | X32_BIT, { 0 }, ALLOW },
	    { X86_64, SYS_read, { 0 }, ERRNO(EPERM) },
	    /* newer than what the profile names: as on an older kernel */
	    { X86_64, SYS_exit_group + 1, { 0 }, ERRNO(ENOSYS) },
	    { X86_64, (SYS_exit_group + 1) | X32_BIT, { 0 }, ERRNO(ENOSYS) },
	    { I386, 20, { 0 }, ALLOW },
	    { I386, 253, { 0 }, ERRNO(ENOSYS) },
	    END } },
	{ "{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':38,'syscalls':[{'names':['getpid'],"
	  "'action':'SCMP_ACT_ALLOW'}]}",
	  { { X86_64, SYS_read, { 0 }, ERRNO(ENOSYS) },
	    { X86_64, 9999, { 0 }, ERRNO(ENOSYS) },
	    END } },
	{ "{'defaultAction':'SCMP_ACT_KILL_PROCESS','syscalls':["
	  "{'names':['read'],'action':'SCMP_ACT_LOG'},{'names':['write'],'action':'SCMP_ACT_TRAP'},"
	  "{'names':['open'],'action':'SCMP_ACT_TRACE','errnoRet':7},"
	  "{'names':['close'],'action':'SCMP_ACT_ERRNO','errnoRet':0},"
	  "{'names':['stat'],'action':'SCMP_ACT_KILL'}]}",
	  { { X86_64, SYS_read, { 0 }, SECCOMP_RET_LOG },
	    { X86_64, SYS_write, { 0 }, SECCOMP_RET_TRAP },
	    { X86_64, SYS_open, { 0 }, SECCOMP_RET_TRACE | 7 },
	    { X86_64, SYS_close, { 0 }, ERRNO(0) },
	    { X86_64, SYS_stat, { 0 }, SECCOMP_RET_KILL_THREAD },
	    { X86_64, SYS_getpid, { 0 }, SECCOMP_RET_KILL_PROCESS },
	    { X86_64, 9999, { 0 }, SECCOMP_RET_KILL_PROCESS },
	    END } },
	/* conditions on different arguments hold together ... */
	{ "{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['ioctl'],'action':'SCMP_ACT_"
	  "ERRNO',"
	  "'args':[{'index':0,'value':1,'op':'SCMP_CMP_EQ'},{'index':1,'value':5,'op':'SCMP_CMP_GE'"
	  "}]}]}",
	  { { X86_64, SYS_ioctl, { 1, 5 }, ERRNO(EPERM) },
	    { X86_64, SYS_ioctl, { 1, 4 }, ALLOW },
	    { X86_64, SYS_ioctl, { 2, 5 }, ALLOW },
	    { X86_64, SYS_ioctl, { 1, 0x100000000 }, ERRNO(EPERM) },
	    END } },
	/* ... on the same one each by itself */
	{ "{'defaultAction':'SCMP_ACT_ERRNO','syscalls':[{'names':['personality'],"
	  "'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':0,'op':'SCMP_CMP_EQ'},"
	  "{'index':0,'value':8,'op':'SCMP_CMP_EQ'}]}]}",
	  { { X86_64, SYS_personality, { 0 }, ALLOW },
	    { X86_64, SYS_personality, { 8 }, ALLOW },
	    { X86_64, SYS_personality, { 4 }, ERRNO(EPERM) },
	    END } },
	{ "{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['clone'],'action':'SCMP_ACT_"
	  "ERRNO',"
	  "'args':[{'index':0,'value':2114060288,'valueTwo':0,'op':'SCMP_CMP_MASKED_EQ'}]}]}",
	  { { X86_64, SYS_clone, { 0x11 }, ERRNO(EPERM) },
	    { X86_64, SYS_clone, { 0x10000000 }, ALLOW },
	    END } },
	{ "{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['dup'],'action':'SCMP_ACT_ERRNO'"
	  ","
	  "'args':[{'index':0,'value':18446744073709551615,'op':'SCMP_CMP_EQ'}]}]}",
	  { { X86_64, SYS_dup, { UINT64_MAX }, ERRNO(EPERM) },
	    { X86_64, SYS_dup, { UINT32_MAX }, ALLOW },
	    END } },
};

/* A config.json of which only linux.seccomp is looked at. */
static void parse(const char *profile, struct spec *s)
{
	char text[8192];
	struct err e;
	enum err_kind k;

	assert_true(snprintf(text, sizeof(text),
			     "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"r\"},\"linux\":{"
			     "\"seccomp\":%s}}",
			     profile) < (int)sizeof(text));
	for (char *p = text; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	k = spec_parse(str_of(text), s, &e);
	if (k != ERR_OK)
		fail_msg("%s", e.msg);
}

static void test_programs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO_SPEC s = { 0 };
		struct filter f;
		struct err e;

		parse(rows[i].profile, &s);
		if (filter_compile(s.linux_.seccomp, &s.arena, &f, &e) != ERR_OK)
			fail_msg("row %zu: %s", i, e.msg);
		for (const struct call *c = rows[i].calls; c->arch; c++) {
			const struct seccomp_data data = { .nr = c->nr,
							   .arch = c->arch,
							   .args = { c->args[0], c->args[1] } };
			uint32_t action = run(&f, &data);

			if (action != c->action)
				fail_msg("row %zu, call %d of %#x: %#x, wanted %#x", i, c->nr,
					 c->arch, action, c->action);
		}
	}
}

static void test_flags(void **state)
{
	AUTO_SPEC s = { 0 };

	(void)state;
	parse("{'defaultAction':'SCMP_ACT_ALLOW','flags':['SECCOMP_FILTER_FLAG_LOG',"
	      "'SECCOMP_FILTER_FLAG_TSYNC','SECCOMP_FILTER_FLAG_SPEC_ALLOW',"
	      "'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV']}",
	      &s);
	/* WAIT_KILLABLE_RECV without a listener would be refused */
	assert_int_equal(filter_load_flags(s.linux_.seccomp),
			 SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

/* ---- kept filters ---- */

#define ONE                                                                                        \
	"{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['mkdir'],'action':'SCMP_ACT_"     \
	"ERRNO'}]}"
#define TWO                                                                                        \
	"{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['rmdir'],'action':'SCMP_ACT_"     \
	"ERRNO'}]}"

struct place {
	char path[32];
	int dir, cache;
};

static int make_place(void **state)
{
	static struct place p;

	(void)snprintf(p.path, sizeof(p.path), "/tmp/test-seccomp.XXXXXX");
	if (!mkdtemp(p.path))
		return -1;
	p.dir = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p.cache = filter_cache_open(p.dir);
	*state = &p;
	return p.cache < 0 ? -1 : 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;
	DIR *d = fdopendir(p->cache);
	struct dirent *entry;

	while ((entry = readdir(d)))
		(void)unlinkat(p->cache, entry->d_name, 0);
	(void)closedir(d);
	(void)unlinkat(p->dir, "elsewhere", 0);
	(void)unlinkat(p->dir, "~seccomp", AT_REMOVEDIR);
	fd_close(&p->dir);
	return rmdir(p->path);
}

static size_t file_of(const struct place *p, char name[static 256])
{
	int again = openat(p->cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(again);
	struct dirent *entry;
	size_t n = 0;

	while ((entry = readdir(d))) {
		if (entry->d_name[0] == '.')
			continue;
		n++;
		(void)snprintf(name, 256, "%s", entry->d_name);
	}
	(void)closedir(d);
	return n;
}

/* True if the filter that comes back is the right one. */
static bool is_right(const char *profile, int cache)
{
	AUTO_SPEC s = { 0 };
	struct filter compiled, got;
	struct err e;

	parse(profile, &s);
	return filter_compile(s.linux_.seccomp, &s.arena, &compiled, &e) == ERR_OK &&
	       filter_get(s.linux_.seccomp, cache, &s.arena, &got, &e) == ERR_OK &&
	       got.n == compiled.n && got.flags == compiled.flags &&
	       memcmp(got.v, compiled.v, got.n * sizeof(*got.v)) == 0;
}

/* What is kept is what comes back: a mark in the kept program shows. */
static void test_is_kept(void **state)
{
	struct place *p = *state;
	char name[256];
	uint8_t byte;
	AUTO_CLOSE fd = -1;
	struct stat st;

	assert_true(is_right(ONE, p->cache));
	assert_int_equal(file_of(p, name), 1);
	fd = openat(p->cache, name, O_RDWR | O_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_true(is_right(ONE, p->cache));
	assert_true(is_right(TWO, p->cache));
	assert_int_equal(file_of(p, name), 2);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 1), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 1), 1);
	assert_false(is_right(ONE, p->cache));
}

static void check_not_taken(struct place *p, const char *what)
{
	if (!is_right(ONE, p->cache))
		fail_msg("%s: taken", what);
}

/* A file that somebody else could have written, with a program that lets everything pass. */
static void test_not_trusted(void **state)
{
	struct place *p = *state;
	char name[256];
	uint8_t evil[8192];
	AUTO_CLOSE fd = -1;
	ssize_t n;

	assert_true(is_right(ONE, p->cache));
	assert_int_equal(file_of(p, name), 1);
	fd = openat(p->cache, name, O_RDWR | O_CLOEXEC);
	n = read(fd, evil, sizeof(evil));
	assert_true(n > 8);
	evil[n - 1] ^= 1;
	assert_int_equal(pwrite(fd, evil, (size_t)n, 0), n);

	assert_int_equal(fchmod(fd, 0620), 0);
	check_not_taken(p, "writable by a group");
	/* it was replaced by a good one; put the bad one back each time */
	fd_close(&fd);
	fd = openat(p->cache, name, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, evil, (size_t)n, 0), n);
	assert_false(is_right(ONE, p->cache)); /* the test's own check that it would be taken */
	assert_int_equal(linkat(p->cache, name, p->dir, "elsewhere", 0), 0);
	check_not_taken(p, "has another name");
	fd_close(&fd);
	assert_int_equal(unlinkat(p->dir, "elsewhere", 0), 0);

	fd = openat(p->dir, "elsewhere", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, evil, (size_t)n), n);
	assert_int_equal(unlinkat(p->cache, name, 0), 0);
	assert_int_equal(symlinkat("../elsewhere", p->cache, name), 0);
	check_not_taken(p, "a link");
	if (geteuid() != 0)
		return;
	fd_close(&fd);
	fd = openat(p->cache, name, O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, evil, (size_t)n, 0), n);
	assert_int_equal(fchown(fd, 1, 1), 0);
	check_not_taken(p, "of another user");
}

static void test_damaged(void **state)
{
	struct place *p = *state;
	char name[256];
	uint8_t good[8192];
	uint32_t key;
	ssize_t n;
	AUTO_CLOSE fd = -1;

	assert_true(is_right(ONE, p->cache));
	assert_int_equal(file_of(p, name), 1);
	fd = openat(p->cache, name, O_RDWR | O_CLOEXEC);
	n = read(fd, good, sizeof(good));
	assert_true(n > 0);
	for (ssize_t size = 0; size < n; size += size < 64 ? 1 : 37) {
		fd_close(&fd);
		fd = openat(p->cache, name, O_RDWR | O_TRUNC | O_CLOEXEC);
		assert_int_equal(write(fd, good, (size_t)size), size);
		check_not_taken(p, "cut");
	}
	/* the head and the key, byte by byte */
	memcpy(&key, good + 8, sizeof(key));
	for (ssize_t at = 0; at < 16 + (ssize_t)key; at++) {
		uint8_t flipped = good[at] ^ 0x55;

		fd_close(&fd);
		fd = openat(p->cache, name, O_RDWR | O_TRUNC | O_CLOEXEC);
		assert_int_equal(write(fd, good, (size_t)n), n);
		assert_int_equal(pwrite(fd, &flipped, 1, at), 1);
		check_not_taken(p, "flipped");
	}
}

static void test_directory(void **state)
{
	struct place *p = *state;
	int fd;

	assert_int_equal(fchmod(p->cache, 0770), 0);
	assert_int_equal(filter_cache_open(p->dir), -1);
	assert_int_equal(fchmod(p->cache, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(fchown(p->cache, 1, 1), 0);
		assert_int_equal(filter_cache_open(p->dir), -1);
		assert_int_equal(fchown(p->cache, 0, 0), 0);
	}
	fd = filter_cache_open(p->dir);
	assert_true(fd >= 0);
	fd_close(&fd);
	assert_true(is_right(ONE, -1));
}

static void test_room(void **state)
{
	struct place *p = *state;
	char name[256];

	for (unsigned i = 0; i < 100; i++) {
		char profile[200];

		(void)snprintf(profile, sizeof(profile),
			       "{'defaultAction':'SCMP_ACT_ALLOW','syscalls':[{'names':['mkdir'],"
			       "'action':'SCMP_ACT_ERRNO','errnoRet':%u}]}",
			       i + 1);
		assert_true(is_right(profile, p->cache));
		assert_true(file_of(p, name) <= 65);
	}
}

#define KEPT(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_flags),
		KEPT(test_is_kept),
		KEPT(test_not_trusted),
		KEPT(test_damaged),
		KEPT(test_directory),
		KEPT(test_room),
	};

	return cmocka_run_group_tests_name("seccomp", tests, NULL, NULL);
}
