#include "runtime/container/status.h"

#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "base/jv.h"

#define STATE_FILE "state.json"
#define LOCK_FILE "shim"
#define FILE_MAX 8192
#define STAT_MAX 1024
#define FIELD_STATE 3 /* of /proc/PID/stat, see proc(5) */
#define FIELD_START 22
#define POLL_NS 2000000

static const char *const phases[] = {
	[PHASE_CREATED] = "created", [PHASE_STARTING] = "starting",
	[PHASE_RUNNING] = "running", [PHASE_PAUSED] = "paused",
	[PHASE_EXITED] = "exited",   [PHASE_RESTARTING] = "restarting",
};
static const char *const healths[] = {
	[HEALTH_NONE] = "none",
	[HEALTH_STARTING] = "starting",
	[HEALTH_GOOD] = "healthy",
	[HEALTH_BAD] = "unhealthy",
};

const char *phase_text(enum phase p)
{
	return phases[p];
}

const char *health_text(enum health h)
{
	return healths[h];
}

static bool find_name(const char *const *names, size_t n, const struct jv *v, unsigned *ret)
{
	struct str s;

	for (unsigned i = 0; jv_text(v, &s) && i < n; i++) {
		if (str_eq(s, str_of(names[i]))) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static uint64_t number(const struct jv *v, const char *key)
{
	uint64_t n = 0;

	(void)jv_uint(jv_member(v, key), &n);
	return n;
}

static void text(const struct jv *v, const char *key, char *buf, size_t cap)
{
	struct str s = { "", 0 };

	(void)jv_text(jv_member(v, key), &s);
	s.n = MIN(s.n, cap - 1);
	(void)str_copy(s, buf, cap);
}

enum err_kind status_read(int dir, struct status *ret, struct err *e)
{
	AUTO_SBUF bytes;
	AUTO_JV *v = NULL;
	struct status s = { 0 };
	unsigned phase = 0, health = HEALTH_NONE;
	enum err_kind k;

	sbuf_init(&bytes, FILE_MAX);
	k = fd_read_file(dir, STATE_FILE, &bytes, e);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ bytes.p, bytes.n }, 4, &v, e);
	if (k == ERR_OK && !find_name(phases, ARRAY_LEN(phases), jv_member(v, "status"), &phase))
		k = err_set(e, ERR_CORRUPT, __func__, "without status");
	if (k != ERR_OK)
		return err_wrap(e, STATE_FILE);
	(void)find_name(healths, ARRAY_LEN(healths), jv_member(v, "health"), &health);
	s.phase = (enum phase)phase;
	s.health = (enum health)health;
	s.pid = (pid_t)number(v, "pid");
	s.pid_started = number(v, "pid_started");
	text(v, "boot", s.boot, sizeof(s.boot));
	s.started_ms = number(v, "started_ms");
	s.finished_ms = number(v, "finished_ms");
	s.exit_code = (int)number(v, "exit_code");
	s.exit_is_known = jv_is_true(jv_member(v, "exit_is_known"));
	s.oom = jv_is_true(jv_member(v, "oom"));
	s.restarts = number(v, "restarts");
	s.stopped_by_user = jv_is_true(jv_member(v, "stopped_by_user"));
	text(v, "error", s.error, sizeof(s.error));
	*ret = s;
	return ERR_OK;
}

enum err_kind status_write(int dir, const struct status *s, struct err *e)
{
	AUTO_SBUF bytes;
	AUTO_JV *v = jv_pack("{s:s, s:s, s:I, s:I, s:s, s:I, s:I, s:i, s:b, s:b, s:I, s:b, s:s}",
			     "status", phases[s->phase], "health", healths[s->health], "pid",
			     (long long)s->pid, "pid_started", (long long)s->pid_started, "boot",
			     s->boot, "started_ms", (long long)s->started_ms, "finished_ms",
			     (long long)s->finished_ms, "exit_code", s->exit_code, "exit_is_known",
			     s->exit_is_known, "oom", s->oom, "restarts", (long long)s->restarts,
			     "stopped_by_user", s->stopped_by_user, "error", s->error);

	sbuf_init(&bytes, FILE_MAX);
	jv_dump_pretty(v, 2, &bytes);
	if (bytes.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for " STATE_FILE);
	return fd_swap_file(dir, STATE_FILE, (struct str){ bytes.p, bytes.n }, 0600, e);
}

/* --- Processes --- */

enum err_kind boot_id(char ret[static BOOT_ID_MAX], struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	enum err_kind k =
	    fd_open_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0, &fd, e);

	sbuf_init(&b, 64);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &b, "boot_id", e);
	if (k == ERR_OK && !str_copy((struct str){ b.p, strcspn(b.p, "\n") }, ret, BOOT_ID_MAX))
		return err_set(e, ERR_IO, __func__, "a boot id that is too long");
	return k;
}

/* Its name is in parentheses, and may hold anything; fields are counted after the last one. */
bool process_started(pid_t pid, uint64_t *ret)
{
	AUTO_CLOSE fd = -1;
	char path[64], buf[STAT_MAX];
	struct err ignored;
	struct str rest, field;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (pid <= 0 || fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &ignored) != ERR_OK)
		return false;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return false;
	buf[n] = '\0';
	rest = str_of(strrchr(buf, ')'));
	if (rest.n < 2)
		return false;
	rest = (struct str){ rest.p + 2, rest.n - 2 };
	if (rest.p[0] == 'Z' || rest.p[0] == 'X')
		return false;
	for (unsigned i = FIELD_STATE; i < FIELD_START; i++)
		(void)str_cut(rest, ' ', &field, &rest);
	return scan_u64(&rest, UINT64_MAX, ret);
}

static bool lives(const struct status *s)
{
	char boot[BOOT_ID_MAX];
	struct err ignored;
	uint64_t started;

	return boot_id(boot, &ignored) == ERR_OK && strcmp(boot, s->boot) == 0 &&
	       process_started(s->pid, &started) && started == s->pid_started;
}

/* --- The shim's life --- */

static bool shim_lives(int dir)
{
	AUTO_CLOSE fd = -1;
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct err ignored;

	return fd_open_at(dir, LOCK_FILE, O_RDWR, 0, &fd, &ignored) == ERR_OK &&
	       fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

enum err_kind shim_lock(int dir, int *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	enum err_kind k = fd_open_at(dir, LOCK_FILE, O_RDWR | O_CREAT, 0600, &fd, e);

	if (k != ERR_OK)
		return k;
	if (fcntl(fd, F_OFD_SETLK, &whole) < 0)
		return errno == EAGAIN || errno == EACCES
			   ? err_set(e, ERR_IN_USE, __func__, "the container is running")
			   : err_sys(e, __func__, "lock " LOCK_FILE);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

bool shim_wait_gone(int dir, uint64_t timeout_ms)
{
	const struct timespec pause = { .tv_nsec = POLL_NS };
	uint64_t deadline = mono_ms() + timeout_ms;

	while (shim_lives(dir)) {
		if (mono_ms() >= deadline)
			return false;
		(void)nanosleep(&pause, NULL);
	}
	return true;
}

static bool is_over(enum phase p)
{
	return p == PHASE_CREATED || p == PHASE_EXITED;
}

/* Life is looked at before the file is: what a shim that ends wrote last is seen then. */
enum err_kind status_now(int dir, struct status *ret, bool *ret_supervised, struct err *e)
{
	bool supervised = shim_lives(dir);
	enum err_kind k = status_read(dir, ret, e);

	*ret_supervised = supervised;
	if (k == ERR_NOT_FOUND || k == ERR_CORRUPT || k == ERR_INVALID) {
		/* A power cut may have taken it. */
		*ret = (struct status){ .phase = PHASE_EXITED };
		k = ERR_OK;
	}
	if (k != ERR_OK || supervised || is_over(ret->phase) || lives(ret))
		return k;
	ret->phase = PHASE_EXITED;
	ret->health = HEALTH_NONE;
	ret->pid = 0;
	ret->exit_is_known = false;
	return ERR_OK;
}
