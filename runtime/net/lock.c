#include "runtime/net/lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/fd.h"

#define GATES ((off_t)0)
#define CONTAINERS ((off_t)1 << 61)
#define ALIVE ((off_t)1 << 62) /* added to the byte that it is about */
#define PAUSE_MIN_MS 1u
#define PAUSE_MAX_MS 20u
#define KILLED_MS 5000u /* for what was killed to be gone */
#define INFO_MAX (64u * 1024)

static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3u;
	return h;
}

static off_t gate_of(const struct net_name *network)
{
	return GATES + (off_t)(hash_of(network->s) >> 5) * 2;
}

static off_t byte_of(const struct container_id *container)
{
	return CONTAINERS + (off_t)(hash_of(container->s) >> 4);
}

static int range(int fd, int cmd, short type, off_t at, struct flock *l)
{
	*l = (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	return fcntl(fd, cmd, l);
}

static bool try_lock(int fd, short type, off_t at)
{
	struct flock l;

	return range(fd, F_OFD_SETLK, type, at, &l) == 0;
}

/* Would a lock of this kind have to wait for somebody else? */
static bool is_held(int fd, short type, off_t at)
{
	struct flock l;

	return range(fd, F_OFD_GETLK, type, at, &l) == 0 && l.l_type != F_UNLCK;
}

static void pause_for(uint64_t ms)
{
	const struct timespec t = { .tv_nsec = (long)ms * 1000000 };

	(void)nanosleep(&t, NULL);
}

static bool wait_lock(int fd, short type, off_t at, uint64_t wait_ms)
{
	uint64_t end = mono_ms() + wait_ms, pause = PAUSE_MIN_MS;

	while (!try_lock(fd, type, at)) {
		if (mono_ms() >= end)
			return false;
		pause_for(pause);
		pause = MIN(2 * pause, (uint64_t)PAUSE_MAX_MS);
	}
	return true;
}

/* ---- processes that hold a lock whose owner is gone ---- */

/* "1: OFDLCK  ADVISORY  WRITE -1 fd:00:1234 START END" */
static bool line_is_about(struct str line, off_t at)
{
	struct str word, rest = line;
	uint64_t start;

	if (!memmem(line.p, line.n, "OFDLCK", 6))
		return false;
	while (rest.n && rest.p[rest.n - 1] == ' ')
		rest.n--;
	/* The last but one word. */
	for (unsigned from_end = 0; from_end < 2; from_end++) {
		const char *blank = memrchr(rest.p, ' ', rest.n);

		if (!blank)
			return false;
		word = (struct str){ blank + 1, (size_t)(rest.p + rest.n - blank - 1) };
		rest.n = (size_t)(blank - rest.p);
	}
	return scan_u64(&word, INT64_MAX, &start) && scan_end(&word) && (off_t)start == at;
}

struct holders {
	off_t at;
	dev_t dev; /* of the lock file */
	ino_t ino;
	int proc; /* directory of the process in /proc */
	bool holds;
};

static bool is_lock_file(const struct holders *h, const char *name)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "fd/%.20s", name);
	return fstatat(h->proc, path, &st, 0) == 0 && st.st_dev == h->dev && st.st_ino == h->ino;
}

static enum err_kind look_at_fd(void *arg, const char *name, struct err *e)
{
	struct holders *h = arg;
	AUTO_CLOSE fd = -1;
	AUTO_SBUF text;
	char path[64];
	struct str rest, line;

	sbuf_init(&text, INFO_MAX);
	(void)snprintf(path, sizeof(path), "fdinfo/%.20s", name);
	/* What cannot be read is closed by now. */
	if (!is_lock_file(h, name) || fd_open_at(h->proc, path, O_RDONLY, 0, &fd, e) != ERR_OK ||
	    fd_read_rest(fd, &text, path, e) != ERR_OK)
		return ERR_OK;
	for (rest = (struct str){ text.p, text.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		h->holds = h->holds || line_is_about(line, h->at);
	}
	return ERR_OK;
}

static enum err_kind kill_if_holder(void *arg, const char *name, struct err *e)
{
	struct holders *h = arg;
	struct str digits = str_of(name);
	AUTO_CLOSE pidfd = -1;
	AUTO_CLOSE proc = -1;
	char path[64];
	uint64_t pid;

	if (!scan_u64(&digits, INT32_MAX, &pid) || !scan_end(&digits) || (pid_t)pid == getpid())
		return ERR_OK;
	(void)snprintf(path, sizeof(path), "/proc/%.20s", name);
	pidfd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	proc = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (pidfd < 0 || proc < 0)
		return ERR_OK; /* gone */
	h->proc = proc;
	h->holds = false;
	/* Nobody we may not look at got the lock from us. */
	if (fd_list_dir(proc, "fd", look_at_fd, h, e) == ERR_OK && h->holds)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	return ERR_OK;
}

static void kill_holders(int fd, off_t at)
{
	struct holders h = { .at = at };
	struct err ignored;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	h.dev = st.st_dev;
	h.ino = st.st_ino;
	(void)!fd_list_dir(AT_FDCWD, "/proc", kill_if_holder, &h, &ignored);
}

static enum err_kind busy(const char *what, struct err *e)
{
	return err_set(e, ERR_IN_USE, __func__, "another operation on %s is under way", what);
}

/*
 * Waits; then ends what nobody waits for any more (O3).  The mark is given back before the lock is, so whoever has
 * the lock gets the mark at once.
 */
static enum err_kind take(const struct op_lock *l, short type, off_t at, uint64_t wait_ms,
			  const char *what, struct err *e)
{
	if (!wait_lock(l->fd, type, at, wait_ms)) {
		if (is_held(l->alive_fd, F_WRLCK, at + ALIVE))
			return busy(what, e);
		kill_holders(l->fd, at);
		if (!wait_lock(l->fd, type, at, KILLED_MS))
			return busy(what, e);
	}
	return wait_lock(l->alive_fd, type, at + ALIVE, KILLED_MS) ? ERR_OK : busy(what, e);
}

static enum err_kind open_lock(const char *dir, struct op_lock *ret, struct err *e)
{
	AUTO_CLOSE top = -1;
	enum err_kind k;

	if (sys_mkdirat(AT_FDCWD, dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make directory %s", dir);
	top = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (top < 0)
		return err_sys(e, __func__, "open directory %s", dir);
	k = fd_open_at(top, "lock", O_RDWR | O_CREAT, 0600, &ret->fd, e);
	if (k == ERR_OK)
		k = fd_open_at(top, "lock", O_RDWR, 0, &ret->alive_fd, e);
	return k;
}

/* exclusive: garbage collection, which keeps the gate shut while it waits for those inside. */
static enum err_kind pass_gate(const struct op_lock *l, const struct net_name *network,
			       bool exclusive, uint64_t wait_ms, struct err *e)
{
	off_t gate = gate_of(network);
	char what[NET_NAME_MAX + 16];
	enum err_kind k;

	(void)snprintf(what, sizeof(what), "network %s", network->s);
	/* Plugins never hold the gate. */
	if (!wait_lock(l->fd, F_WRLCK, gate, wait_ms))
		return busy(what, e);
	k = take(l, exclusive ? F_WRLCK : F_RDLCK, gate + 1, wait_ms, what, e);
	(void)try_lock(l->fd, F_UNLCK, gate);
	return k;
}

enum err_kind op_lock_container(const char *dir, const struct net_name *network,
				const struct container_id *container, uint64_t wait_ms,
				struct op_lock *ret, struct err *e)
{
	struct op_lock l = OP_LOCK_NONE;
	char what[CONTAINER_ID_MAX + 16];
	enum err_kind k = open_lock(dir, &l, e);

	(void)snprintf(what, sizeof(what), "container %s", container->s);
	if (k == ERR_OK)
		k = pass_gate(&l, network, false, wait_ms, e);
	if (k == ERR_OK)
		k = take(&l, F_WRLCK, byte_of(container), wait_ms, what, e);
	if (k == ERR_OK)
		*ret = l;
	else
		op_unlock(&l);
	return k;
}

enum err_kind op_lock_network(const char *dir, const struct net_name *network, uint64_t wait_ms,
			      struct op_lock *ret, struct err *e)
{
	struct op_lock l = OP_LOCK_NONE;
	enum err_kind k = open_lock(dir, &l, e);

	if (k == ERR_OK)
		k = pass_gate(&l, network, true, wait_ms, e);
	if (k == ERR_OK)
		*ret = l;
	else
		op_unlock(&l);
	return k;
}

void op_unlock(struct op_lock *l)
{
	struct flock whole = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

	/* In words, for plugins may have left processes behind that hold the descriptor (O4). */
	if (l->alive_fd >= 0)
		(void)fcntl(l->alive_fd, F_OFD_SETLK, &whole);
	if (l->fd >= 0)
		(void)fcntl(l->fd, F_OFD_SETLK, &whole);
	fd_close(&l->alive_fd);
	fd_close(&l->fd);
}
