#include "tests/fault/disk.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <search.h>

#include "base/fd.h"

#define NAME_BYTES 160
#define PATH_BYTES 512
#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "# %s:%d: %s: %s\n", __FILE__, __LINE__, #x,         \
				      strerror(errno));                                            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct name {
	char text[NAME_BYTES];
	ino_t ino;
};

/* A file or directory as stable storage has it. */
struct inode {
	ino_t ino;
	bool is_dir;
	char *bytes; /* of a file */
	size_t n;
	struct name *names; /* of a directory */
	size_t n_names;
};

struct disk {
	char root[PATH_BYTES];
	ino_t root_ino;
	void *inodes; /* tree of struct inode */
};

static int inode_order(const void *a, const void *b)
{
	ino_t x = ((const struct inode *)a)->ino, y = ((const struct inode *)b)->ino;

	return x < y ? -1 : x > y;
}

static void inode_free(void *p)
{
	struct inode *i = p;

	free(i->bytes);
	free(i->names);
	free(i);
}

static struct inode *inode_find(struct disk *d, ino_t ino)
{
	struct inode key = { .ino = ino };
	void *node = tfind(&key, &d->inodes, inode_order);

	return node ? *(struct inode **)node : NULL;
}

static struct inode *inode_get(struct disk *d, ino_t ino, bool is_dir)
{
	struct inode *i = inode_find(d, ino);

	if (i && i->is_dir == is_dir)
		return i;
	if (i) { /* the number was given to something else */
		(void)tdelete(i, &d->inodes, inode_order);
		inode_free(i);
	}
	i = calloc(1, sizeof(*i));
	MUST(i);
	i->ino = ino;
	i->is_dir = is_dir;
	MUST(tsearch(i, &d->inodes, inode_order));
	return i;
}

static void read_bytes(int fd, char **ret, size_t *ret_n)
{
	struct stat s;
	struct err e;

	MUST(fstat(fd, &s) == 0);
	*ret_n = (size_t)s.st_size;
	*ret = malloc(*ret_n + 1);
	MUST(*ret);
	MUST(fd_pread_exact(fd, *ret, *ret_n, 0, "file", &e) == ERR_OK);
}

static void read_names(const char *path, struct name **ret, size_t *ret_n)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	size_t room = 8;

	MUST(d);
	*ret_n = 0;
	*ret = calloc(room, sizeof(**ret));
	while ((entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (*ret_n == room)
			*ret = reallocarray(*ret, room *= 2, sizeof(**ret));
		MUST(*ret);
		(*ret)[*ret_n].ino = entry->d_ino;
		MUST(str_copy(str_of(entry->d_name), (*ret)[*ret_n].text, NAME_BYTES));
		(*ret_n)++;
	}
	(void)closedir(d);
}

/* The file or directory at path is durable as it is now. */
static void sync_path(struct disk *d, const char *path, ino_t ino, bool is_dir)
{
	struct inode *i = inode_get(d, ino, is_dir);

	if (is_dir) {
		free(i->names);
		read_names(path, &i->names, &i->n_names);
	} else {
		AUTO_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC);

		MUST(fd >= 0);
		free(i->bytes);
		read_bytes(fd, &i->bytes, &i->n);
	}
}

static struct disk *walked; /* nftw takes no argument */

static int sync_one(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)flag, (void)f;
	sync_path(walked, path, st->st_ino, S_ISDIR(st->st_mode));
	return 0;
}

struct disk *disk_begin(const char *root)
{
	struct disk *d = calloc(1, sizeof(*d));
	struct stat s;

	MUST(d && stat(root, &s) == 0);
	MUST(str_copy(str_of(root), d->root, sizeof(d->root)));
	d->root_ino = s.st_ino;
	sync_path(d, root, s.st_ino, true);
	return d;
}

void disk_end(struct disk **d)
{
	struct disk *p = TAKE(*d);

	tdestroy(p->inodes, inode_free);
	free(p);
}

bool disk_note(struct disk *d, const char *call, int fd)
{
	bool syncs = strcmp(call, "fsync") == 0 || strcmp(call, "fdatasync") == 0;
	bool writes = strcmp(call, "pwrite") == 0 || strcmp(call, "write") == 0;
	char self[64];
	struct stat s;

	if (strcmp(call, "syncfs") == 0) {
		walked = d;
		MUST(nftw(d->root, sync_one, 16, FTW_PHYS) == 0);
		return true;
	}
	if (!syncs && !(writes && fcntl(fd, F_GETFL) & O_DSYNC))
		return false;
	MUST(fstat(fd, &s) == 0);
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	sync_path(d, self, s.st_ino, S_ISDIR(s.st_mode));
	return true;
}

/* --- the copy --- */

struct copying {
	struct disk *d;
	unsigned luck;
};

/* By chance, unless all luck is bad.  One file's names share their luck, so that a rename is done or not. */
static bool lucky(const struct copying *c, ino_t ino, unsigned salt)
{
	uint64_t x = (c->luck + ino * 4 + salt) * 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
	return c->luck && (x >> 40 & 1);
}

static void write_file(const char *path, const char *bytes, size_t n)
{
	AUTO_CLOSE fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct err e;

	MUST(fd >= 0);
	MUST(fd_write_all(fd, bytes ? bytes : "", n, path, &e) == ERR_OK);
}

/* What the tree holds now, of a file that was lucky; at is its path there. */
static void copy_file(struct copying *c, ino_t ino, const char *at, const char *to)
{
	struct inode *i = inode_find(c->d, ino);
	AUTO_CLOSE fd = lucky(c, ino, 1) ? open(at, O_RDONLY | O_CLOEXEC) : -1;
	AUTO_FREE char *bytes = NULL;
	struct stat s;
	size_t n;

	if (fd < 0 || fstat(fd, &s) < 0 || s.st_ino != ino) {
		write_file(to, i ? i->bytes : NULL, i ? i->n : 0);
		return;
	}
	read_bytes(fd, &bytes, &n);
	write_file(to, bytes, n);
}

/* The name as it stands among others, NULL if it does not. */
static const struct name *find_name(const struct name *names, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i].text, text) == 0)
			return &names[i];
	}
	return NULL;
}

static void copy_dir(struct copying *c, ino_t ino, const char *at, const char *to);

static void copy_name(struct copying *c, const struct name *name, const char *at, const char *to)
{
	char from[PATH_BYTES], path[PATH_BYTES];
	struct inode *i = inode_find(c->d, name->ino);
	struct stat s;
	bool is_dir;

	MUST(snprintf(from, sizeof(from), "%s/%s", at, name->text) < PATH_BYTES);
	MUST(snprintf(path, sizeof(path), "%s/%s", to, name->text) < PATH_BYTES);
	if (access(path, F_OK) == 0)
		return; /* its older or newer self got there */
	is_dir =
	    i ? i->is_dir : lstat(from, &s) == 0 && s.st_ino == name->ino && S_ISDIR(s.st_mode);
	if (is_dir) {
		MUST(mkdir(path, 0755) == 0);
		copy_dir(c, name->ino, from, path);
	} else {
		copy_file(c, name->ino, from, path);
	}
}

static void copy_dir(struct copying *c, ino_t ino, const char *at, const char *to)
{
	struct inode *old = inode_find(c->d, ino);
	struct name *now = NULL;
	size_t n_now = 0, n_old = old ? old->n_names : 0;
	struct name *was = old ? old->names : NULL;
	struct stat s;

	if (c->luck && stat(at, &s) == 0 && s.st_ino == ino) /* it may have another name by now */
		read_names(at, &now, &n_now);
	for (size_t i = 0; i < n_now; i++) { /* new names that got to the disk */
		const struct name *before = find_name(was, n_old, now[i].text);

		if ((!before || before->ino != now[i].ino) && lucky(c, now[i].ino, 0))
			copy_name(c, &now[i], at, to);
	}
	for (size_t i = 0; i < n_old; i++) { /* old names, but for those whose removal did */
		if (find_name(now, n_now, was[i].text) || !lucky(c, was[i].ino, 0))
			copy_name(c, &was[i], at, to);
	}
	free(now);
}

void disk_copy(struct disk *d, const char *to, unsigned luck)
{
	struct copying c = { .d = d, .luck = luck };

	copy_dir(&c, d->root_ino, d->root, to);
}
