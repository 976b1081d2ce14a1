#include "base/idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define MAP_TEXT_MAX (IDMAP_PIECES_MAX * 3 * sizeof("4294967295 "))

bool idmaps_are_set(const struct idmaps *m)
{
	return m->uids.n > 0;
}

static bool overlap(uint64_t a, uint64_t b, uint64_t n_a, uint64_t n_b)
{
	return a < b + n_b && b < a + n_a;
}

enum err_kind idmap_add(struct idmap *m, uint64_t inside, uint64_t outside, uint64_t n,
			struct err *e)
{
	if (n == 0)
		return err_set(e, ERR_INVALID, __func__, "a map of no ids");
	if (inside > ID_LAST || outside > ID_LAST || n - 1 > ID_LAST - inside ||
	    n - 1 > ID_LAST - outside)
		return err_set(e, ERR_INVALID, __func__, "ids end at %u", ID_LAST);
	if (m->n == IDMAP_PIECES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d pieces of a map",
			       IDMAP_PIECES_MAX);
	for (size_t i = 0; i < m->n; i++) {
		const struct idmap_piece *p = &m->v[i];

		if (overlap(inside, p->inside, n, p->n) || overlap(outside, p->outside, n, p->n))
			return err_set(e, ERR_INVALID, __func__,
				       "%llu:%llu:%llu and %u:%u:%u overlap",
				       (unsigned long long)inside, (unsigned long long)outside,
				       (unsigned long long)n, p->inside, p->outside, p->n);
	}
	m->v[m->n++] = (struct idmap_piece){ (uint32_t)inside, (uint32_t)outside, (uint32_t)n };
	return ERR_OK;
}

enum err_kind idmap_add_text(struct idmap *m, struct str text, struct err *e)
{
	struct str in = text;
	uint64_t inside, outside, n = 1;

	if (!scan_u64(&in, UINT32_MAX, &inside) || !scan_char(&in, ':') ||
	    !scan_u64(&in, UINT32_MAX, &outside) ||
	    (scan_char(&in, ':') && !scan_u64(&in, UINT32_MAX, &n)) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.*s\" is no piece of a map: CONTAINER:HOST:SIZE, ids below 2^32",
			       (int)MIN(text.n, (size_t)60), text.p);
	return idmap_add(m, inside, outside, n, e);
}

/* --- /proc --- */

static bool next_number(struct str *in, uint64_t *ret)
{
	while (scan_char(in, ' ') || scan_char(in, '\n'))
		;
	return scan_u64(in, UINT32_MAX, ret);
}

enum err_kind idmap_read(const char *path, struct idmap *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	struct idmap m = { .n = 0 };
	struct str in;
	uint64_t inside, outside, n;
	enum err_kind k = fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, e);

	sbuf_init(&b, MAP_TEXT_MAX);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &b, path, e);
	in = (struct str){ b.p, b.n };
	while (k == ERR_OK && next_number(&in, &inside)) {
		if (!next_number(&in, &outside) || !next_number(&in, &n))
			k = err_set(e, ERR_CORRUPT, __func__, "%s: not what the kernel writes",
				    path);
		else
			k = idmap_add(&m, inside, outside, n, e);
	}
	if (k == ERR_OK)
		*ret = m;
	return k;
}

void idmap_write(const struct idmap *m, struct sbuf *out)
{
	for (size_t i = 0; i < m->n; i++)
		sbuf_addf(out, "%u %u %u\n", m->v[i].inside, m->v[i].outside, m->v[i].n);
}

/* --- Asking --- */

bool idmap_out(const struct idmap *m, uint64_t inside, uint64_t *ret)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct idmap_piece *p = &m->v[i];

		if (inside >= p->inside && inside - p->inside < p->n) {
			*ret = p->outside + (inside - p->inside);
			return true;
		}
	}
	return false;
}

bool idmap_in(const struct idmap *m, uint64_t outside, uint64_t *ret)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct idmap_piece *p = &m->v[i];

		if (outside >= p->outside && outside - p->outside < p->n) {
			*ret = p->inside + (outside - p->outside);
			return true;
		}
	}
	return false;
}

bool idmaps_owner_out(const struct idmaps *m, uint32_t *uid, uint32_t *gid)
{
	uint64_t u, g;

	if (!m || !idmaps_are_set(m))
		return true;
	if (!idmap_out(&m->uids, *uid, &u) || !idmap_out(&m->gids, *gid, &g))
		return false;
	*uid = (uint32_t)u;
	*gid = (uint32_t)g;
	return true;
}

void idmaps_owner_in(const struct idmaps *m, uint32_t *uid, uint32_t *gid)
{
	uint64_t id;

	if (!m || !idmaps_are_set(m))
		return;
	*uid = idmap_in(&m->uids, *uid, &id) ? (uint32_t)id : ID_NOBODY;
	*gid = idmap_in(&m->gids, *gid, &id) ? (uint32_t)id : ID_NOBODY;
}

uint64_t idmap_count(const struct idmap *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		n += m->v[i].n;
	return n;
}

/* --- A namespace for a map --- */

enum err_kind idmap_put(pid_t pid, const char *file, const char *text, struct err *e)
{
	char path[64];
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	k = fd_open_at(AT_FDCWD, path, O_WRONLY, 0, &fd, e);
	if (k != ERR_OK)
		return k;
	if (write(fd, text, strlen(text)) < 0)
		return err_sys(e, __func__, "write %s", path);
	return ERR_OK;
}

/* The end of file that it waits for comes from our death as well. */
static pid_t start_waiting(int from, int to)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	char byte;

	if (pid != 0)
		return pid;
	(void)close(to);
	(void)!read(from, &byte, 1);
	_exit(0);
}

static enum err_kind open_userns(pid_t pid, const char *uid_map, const char *gid_map, int *ret,
				 struct err *e)
{
	char path[64];
	enum err_kind k = idmap_put(pid, "gid_map", gid_map, e);

	if (k == ERR_OK)
		k = idmap_put(pid, "uid_map", uid_map, e);
	if (k != ERR_OK)
		return k;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	*ret = open(path, O_RDONLY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, __func__, "open %s", path) : ERR_OK;
}

enum err_kind idmap_open_userns(const char *uid_map, const char *gid_map, int *ret, struct err *e)
{
	AUTO_CLOSE from = -1;
	AUTO_CLOSE to = -1;
	int fds[2];
	enum err_kind k;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	from = fds[0];
	to = fds[1];
	pid = start_waiting(from, to);
	if (pid < 0)
		return err_sys(e, __func__, "make a user namespace");
	k = open_userns(pid, uid_map, gid_map, ret, e);
	fd_close(&to);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return k;
}
