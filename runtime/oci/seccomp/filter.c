#include "runtime/oci/seccomp/filter.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <sys/utsname.h>

#include "base/fd.h"

#define CACHE_NAME "~seccomp" /* no id of a container starts with ~ */
#define CACHE_FILES_MAX 64
#define KEY_BYTES_MAX (8u * 1024 * 1024)
#define COMPILER_VERSION 1 /* of compile.c: raised when the same profile gives another program */
#define NAME_MAX_BYTES 40

/*
 * A file: this head, the key, the program.  Written and read by one machine, so in its own byte order.
 * Valid iff the magic is right and the size is the sum of its parts.
 */
struct cache_head {
	char magic[8];
	uint32_t key_bytes;
	uint16_t insns;
	uint16_t zero;
};
static const char magic[8] = { 'b', 'e', 'r', 't', 'h', 's', 'c', '1' };

static void key_number(struct sbuf *b, uint64_t v)
{
	sbuf_add(b, &v, sizeof(v));
}

static void key_text(struct sbuf *b, const char *text)
{
	sbuf_add(b, text, strlen(text) + 1); /* with its NUL: no two lists of texts look alike */
}

static void key_errno(struct sbuf *b, const struct opt_u32 *ret)
{
	key_number(b, ret->set);
	key_number(b, ret->v);
}

/* Everything that the program depends on. */
static void make_key(const struct spec_seccomp *s, struct sbuf *b)
{
	struct utsname kernel;
	char version[32];

	(void)uname(&kernel); /* fails for a bad address only */
	key_number(b, COMPILER_VERSION);
	key_text(b, filter_library_version(version));
	key_text(b, kernel.release);
	key_text(b, kernel.machine);
	key_number(b, (uint64_t)s->default_action);
	key_errno(b, &s->default_errno_ret);
	key_number(b, s->flags);
	key_number(b, s->architectures.n);
	for (size_t i = 0; i < s->architectures.n; i++)
		key_number(b, s->architectures.v[i]);
	key_number(b, s->syscalls.n);
	for (size_t i = 0; i < s->syscalls.n; i++) {
		const struct spec_syscall *one = &s->syscalls.v[i];

		key_number(b, (uint64_t)one->action);
		key_errno(b, &one->errno_ret);
		key_number(b, one->args.n);
		for (size_t j = 0; j < one->args.n; j++) {
			key_number(b, one->args.v[j].index);
			key_number(b, one->args.v[j].value);
			key_number(b, one->args.v[j].value_two);
			key_number(b, (uint64_t)one->args.v[j].op);
		}
		key_number(b, one->names.n);
		for (size_t j = 0; j < one->names.n; j++)
			key_text(b, one->names.v[j]);
	}
}

/* FNV-1a, twice with different starts.  It chooses a file; equality decides (F1). */
static void name_of_key(const struct sbuf *key, char buf[static NAME_MAX_BYTES])
{
	uint64_t a = 0xcbf29ce484222325u, b = 0x84222325cbf29ce4u;

	for (size_t i = 0; i < key->n; i++) {
		a = (a ^ (uint8_t)key->p[i]) * 0x100000001b3u;
		b = (b ^ (uint8_t)key->p[i]) * 0x100000001b3u + 1;
	}
	(void)snprintf(buf, NAME_MAX_BYTES, "%016llx%016llx", (unsigned long long)a,
		       (unsigned long long)b);
}

int filter_cache_open(int dir)
{
	struct stat st;
	int fd;

	if (mkdirat(dir, CACHE_NAME, 0700) < 0 && errno != EEXIST)
		return -1;
	fd = openat(dir, CACHE_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & 077))
		fd_close(&fd);
	return fd;
}

static bool is_trusted(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
	       (st->st_mode & 077) == 0;
}

static bool read_cached(int dir, const char *name, const struct sbuf *key, struct arena *a,
			struct filter *ret)
{
	AUTO_CLOSE fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct cache_head head;
	struct stat st;
	size_t bytes;
	uint8_t *file;

	if (fd < 0 || fstat(fd, &st) < 0 || !is_trusted(&st))
		return false;
	bytes = (size_t)st.st_size;
	if (bytes < sizeof(head) || bytes > KEY_BYTES_MAX)
		return false;
	file = arena_get(a, bytes);
	if (!file || read(fd, file, bytes) != (ssize_t)bytes)
		return false;
	memcpy(&head, file, sizeof(head));
	if (memcmp(head.magic, magic, sizeof(magic)) != 0 || head.key_bytes != key->n ||
	    head.zero || head.insns == 0 || head.insns > BPF_MAXINSNS ||
	    bytes != sizeof(head) + key->n + head.insns * sizeof(struct sock_filter) ||
	    memcmp(file + sizeof(head), key->p, key->n) != 0)
		return false;
	ret->v = arena_array(a, head.insns, sizeof(*ret->v));
	if (!ret->v)
		return false;
	memcpy(ret->v, file + sizeof(head) + key->n, head.insns * sizeof(*ret->v));
	ret->n = head.insns;
	return true;
}

/* Every file may go at any time, so a full directory is simply emptied. */
static void make_room(int dir)
{
	int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	size_t n = 0;

	while (d && (entry = readdir(d)))
		n += entry->d_name[0] != '.';
	if (d && n >= CACHE_FILES_MAX) {
		rewinddir(d);
		while ((entry = readdir(d))) {
			if (entry->d_name[0] != '.')
				(void)unlinkat(dir, entry->d_name, 0);
		}
	}
	if (d)
		(void)closedir(d);
}

/* Under another name first, so that a reader sees all of a file or none. */
static void write_cached(int dir, const char *name, const struct sbuf *key, const struct filter *f)
{
	struct cache_head head = { .key_bytes = (uint32_t)key->n, .insns = f->n };
	char temporary[NAME_MAX_BYTES + 16];
	struct err ignored;
	AUTO_CLOSE fd = -1;

	memcpy(head.magic, magic, sizeof(magic));
	make_room(dir);
	(void)snprintf(temporary, sizeof(temporary), "%s.%d", name, getpid());
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (fd_write_all(fd, &head, sizeof(head), name, &ignored) != ERR_OK ||
	    fd_write_all(fd, key->p, key->n, name, &ignored) != ERR_OK ||
	    fd_write_all(fd, f->v, f->n * sizeof(*f->v), name, &ignored) != ERR_OK ||
	    renameat(dir, temporary, dir, name) < 0)
		(void)unlinkat(dir, temporary, 0);
}

enum err_kind filter_get(const struct spec_seccomp *s, int cache_dir, struct arena *a,
			 struct filter *ret, struct err *e)
{
	AUTO_SBUF key;
	char name[NAME_MAX_BYTES];
	enum err_kind k;

	if (cache_dir < 0)
		return filter_compile(s, a, ret, e);
	sbuf_init(&key, KEY_BYTES_MAX / 2);
	make_key(s, &key);
	if (key.failed)
		return filter_compile(s, a, ret, e);
	name_of_key(&key, name);
	if (read_cached(cache_dir, name, &key, a, ret)) {
		ret->flags = filter_load_flags(s);
		return ERR_OK;
	}
	k = filter_compile(s, a, ret, e);
	if (k == ERR_OK && ret->n)
		write_cached(cache_dir, name, &key, ret);
	return k;
}
