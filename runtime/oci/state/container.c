#include "runtime/oci/state/container.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/state/state.h"

#define STATE_NAME "state.json"
#define START_NAME "start"
#define STATE_BYTES_MAX (4u * 1024 * 1024)
#define POLL_MS 5
#define CONTAINERS_MAX 65536

const char *status_text(enum status s)
{
	static const char *const names[] = { "creating", "created", "running", "paused",
					     "stopped" };

	return names[s];
}

bool container_id_is_valid(const char *id)
{
	size_t n = strlen(id);

	if (n == 0 || n > CONTAINER_ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = id[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '_' || c == '+' || c == '-' || c == '.'))
			return false;
	}
	return true;
}

static enum err_kind make_path(const char *path, struct err *e)
{
	char part[4096];

	if (!str_copy(str_of(path), part, sizeof(part)))
		return err_set(e, ERR_INVALID, __func__, "--root: the path is too long");
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		(void)mkdir(part, 0755); /* what is missing shows at the last one */
		*p = '/';
	}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make %s", path);
	return ERR_OK;
}

enum err_kind container_root_open(const char *path, bool make, int *ret, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && make) {
		enum err_kind k = make_path(path, e);

		if (k != ERR_OK)
			return k;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (fd < 0)
		return err_sys(e, __func__, "open %s", path);
	*ret = fd;
	return ERR_OK;
}

static enum err_kind does_not_exist(struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, __func__, "container does not exist");
}

static void init(struct container *c, int root, const char *id, struct arena *a)
{
	*c = (struct container){ .root = root, .dir = -1, .lock = -1, .arena = a };
	(void)str_copy(str_of(id), c->id, sizeof(c->id));
}

/* True if the directory still has its name: it may have been removed before the lock was ours. */
static bool is_linked(const struct container *c)
{
	struct stat by_name, open_dir;

	return fstatat(c->root, c->id, &by_name, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(c->dir, &open_dir) == 0 && by_name.st_ino == open_dir.st_ino &&
	       by_name.st_dev == open_dir.st_dev;
}

/* A descriptor of its own, so that the lock ends with it and not with copies of c->dir in a child. */
static int open_lock(const struct container *c)
{
	return openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

enum err_kind container_new(int root, const char *id, struct arena *a, struct container *ret,
			    struct err *e)
{
	init(ret, root, id, a);
	if (!container_id_is_valid(id))
		return err_set(e, ERR_INVALID, __func__, "invalid container ID format");
	if (mkdirat(root, id, 0700) < 0)
		return errno == EEXIST ? err_set(e, ERR_EXISTS, __func__,
						 "container with given ID already exists")
				       : err_sys(e, __func__, "make the state directory of %s", id);
	ret->dir = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ret->lock = ret->dir < 0 ? -1 : open_lock(ret);
	if (ret->lock < 0 || flock(ret->lock, LOCK_EX) < 0)
		return err_sys(e, __func__, "lock the state directory of %s", id);
	if (!is_linked(ret))
		return err_set(e, ERR_IN_USE, __func__, "container %s was deleted meanwhile", id);
	return ERR_OK;
}

static enum err_kind read_state(struct container *c, struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	sbuf_init(&b, STATE_BYTES_MAX);
	k = fd_read_file(c->dir, STATE_NAME, &b, e);
	if (k == ERR_NOT_FOUND)
		return does_not_exist(e);
	if (k != ERR_OK)
		return k;
	jv_free(&c->document);
	return state_read((struct str){ b.p, b.n }, c->arena, &c->document, &c->state, e);
}

enum err_kind container_open(int root, const char *id, struct arena *a, struct container *ret,
			     struct err *e)
{
	init(ret, root, id, a);
	if (!container_id_is_valid(id))
		return err_set(e, ERR_INVALID, __func__, "invalid container ID format");
	ret->dir = openat(root, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (ret->dir < 0)
		return errno == ENOENT || errno == ENOTDIR
			   ? does_not_exist(e)
			   : err_sys(e, __func__, "open the state directory of %s", id);
	return read_state(ret, e);
}

enum err_kind container_lock(struct container *c, unsigned timeout_ms, struct err *e)
{
	uint64_t end = mono_ms() + timeout_ms;

	if (c->lock < 0)
		c->lock = open_lock(c);
	if (c->lock < 0)
		return err_sys(e, __func__, "lock container %s", c->id);
	while (flock(c->lock, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, __func__, "lock container %s", c->id);
		if (mono_ms() >= end)
			return err_set(e, ERR_IN_USE, __func__,
				       "another command works on container %s", c->id);
		(void)usleep(POLL_MS * 1000);
	}
	if (!is_linked(c))
		return does_not_exist(e);
	return read_state(c, e);
}

void container_close(struct container *c)
{
	fd_close(&c->lock);
	fd_close(&c->dir);
	jv_free(&c->document);
}

enum err_kind container_save_file(const struct container *c, const char *name, struct str text,
				  struct err *e)
{
	char temporary[64];
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	(void)snprintf(temporary, sizeof(temporary), ".%s.%d", name, getpid());
	(void)unlinkat(c->dir, temporary, 0); /* of a killed process that had our pid */
	k = fd_open_at(c->dir, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, text.p, text.n, name, e);
	if (k == ERR_OK && renameat(c->dir, temporary, c->dir, name) < 0)
		k = err_sys(e, __func__, "replace %s", name);
	return k;
}

enum err_kind container_save(struct container *c, struct err *e)
{
	AUTO_SBUF b;

	sbuf_init(&b, STATE_BYTES_MAX);
	state_write(&c->state, &b);
	if (b.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "the state of %s is too large", c->id);
	return container_save_file(c, STATE_NAME, (struct str){ b.p, b.n }, e);
}

/* state.json goes first: without it the container does not exist any more (S1). */
static void remove_entry(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) < 0 && errno == EISDIR)
		(void)unlinkat(dir, name, AT_REMOVEDIR); /* criu's place for a root */
}

enum err_kind container_remove(struct container *c, struct err *e)
{
	int again = openat(c->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;

	(void)unlinkat(c->dir, STATE_NAME, 0);
	while (d && (entry = readdir(d))) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_entry(c->dir, entry->d_name);
	}
	if (d)
		(void)closedir(d);
	if (unlinkat(c->root, c->id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove the state directory of %s", c->id);
	return ERR_OK;
}

/* ---- the process ---- */

/* The command in field 2 may hold anything, so counting starts behind its last parenthesis. */
static bool parse_stat(const char *text, char *ret_state, uint64_t *ret_start)
{
	enum { START_TIME = 22, STATE = 3 };
	const char *p = strrchr(text, ')');
	struct str s;

	if (!p || p[1] != ' ' || !p[2])
		return false;
	*ret_state = p[2];
	s = str_of(p + 2);
	for (int field = STATE; field < START_TIME; field++) {
		struct str skipped;

		if (!str_cut(s, ' ', &skipped, &s))
			return false;
	}
	return scan_u64(&s, UINT64_MAX, ret_start);
}

bool process_start_time(pid_t pid, uint64_t *ret)
{
	char path[32], text[1024], state = 0;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	fd_close(&fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return parse_stat(text, &state, ret) && state != 'Z' && state != 'X';
}

static bool is_alive(const struct state *s)
{
	uint64_t start;

	return s->pid > 0 && process_start_time(s->pid, &start) && start == s->start_time;
}

enum err_kind container_pidfd(const struct container *c, int *ret, struct err *e)
{
	int fd = c->state.pid > 0 ? k_pidfd_open(c->state.pid) : -ESRCH;

	if (fd >= 0 && is_alive(&c->state)) {
		*ret = fd;
		return ERR_OK;
	}
	if (fd >= 0)
		fd_close(&fd);
	return err_set(e, ERR_NOT_FOUND, __func__, "container not running");
}

bool container_wait(const struct container *c, unsigned timeout_ms)
{
	uint64_t end = mono_ms() + timeout_ms;
	AUTO_CLOSE fd = c->state.pid > 0 ? k_pidfd_open(c->state.pid) : -1;

	while (is_alive(&c->state)) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = mono_ms();

		if (now >= end)
			return false;
		(void)poll(&p, fd >= 0, fd >= 0 ? (int)(end - now) : POLL_MS);
	}
	return true;
}

/* A path of any length fits a socket's address by way of the directory's descriptor. */
static void start_address(const struct container *c, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s", c->dir,
		       START_NAME);
}

enum err_kind container_bind_start(const struct container *c, int *ret, struct err *e)
{
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	start_address(c, &address);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, __func__, "make the start socket");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

enum err_kind container_connect_start(const struct container *c, int *ret, struct err *e)
{
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	start_address(c, &address);
	if (fd < 0)
		return err_sys(e, __func__, "socket");
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_set(e, ERR_NOT_FOUND, __func__, "nobody waits for start");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

/* EAGAIN: it listens, and others are waiting in line. */
static bool is_listening(const struct container *c)
{
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address;

	start_address(c, &address);
	return fd >= 0 &&
	       (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EAGAIN);
}

/* S2: create holds the lock until it has come to an end. */
static bool is_being_created(const struct container *c)
{
	AUTO_CLOSE fd = open_lock(c);

	return c->lock >= 0 ||
	       (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
}

enum status container_status(const struct container *c)
{
	if (!c->state.is_committed)
		return is_being_created(c) ? STATUS_CREATING : STATUS_STOPPED;
	if (!is_alive(&c->state))
		return STATUS_STOPPED;
	if (cgroup_is_frozen(&c->state.cgroup))
		return STATUS_PAUSED;
	return is_listening(c) ? STATUS_CREATED : STATUS_RUNNING;
}

/* ---- all of them ---- */

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t read_ids(int root, char **ids)
{
	int again = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *entry;
	size_t n = 0;

	while (d && n < CONTAINERS_MAX && (entry = readdir(d))) {
		if (container_id_is_valid(entry->d_name) && (ids[n] = strdup(entry->d_name)))
			n++;
	}
	if (d)
		(void)closedir(d);
	qsort(ids, n, sizeof(*ids), by_name);
	return n;
}

static enum err_kind visit_one(int root, const char *id,
			       enum err_kind (*visit)(struct container *c, void *arg,
						      struct err *e),
			       void *arg, struct err *e)
{
	AUTO_ARENA a;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	struct err gone;

	arena_init(&a, 2 * STATE_BYTES_MAX);
	if (container_open(root, id, &a, &c, &gone) != ERR_OK)
		return ERR_OK; /* deleted since, or not yet there (S1) */
	return visit(&c, arg, e);
}

enum err_kind container_each(int root,
			     enum err_kind (*visit)(struct container *c, void *arg, struct err *e),
			     void *arg, struct err *e)
{
	char **ids = calloc(CONTAINERS_MAX, sizeof(*ids));
	enum err_kind k = ERR_OK;
	size_t n;

	if (!ids)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
	n = read_ids(root, ids);
	for (size_t i = 0; i < n; i++) {
		if (k == ERR_OK)
			k = visit_one(root, ids[i], visit, arg, e);
		free(ids[i]);
	}
	free(ids);
	return k;
}
