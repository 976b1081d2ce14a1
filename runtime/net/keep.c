#include "runtime/net/keep.h"

#include <errno.h>

#include "base/fd.h"

#define NETNS_DIR "netns"
#define PIDS_DIR "pids"
#define PID_TEXT_MAX 24

static enum err_kind part_path(const struct cni_options *o, const char *dir, const char *name,
			       char ret[static NETNS_PATH_MAX], struct err *e)
{
	int n =
	    snprintf(ret, NETNS_PATH_MAX, "%s/%s%s%s", o->state_dir, dir, *name ? "/" : "", name);

	return n < NETNS_PATH_MAX
		   ? ERR_OK
		   : err_set(e, ERR_INVALID, __func__, "the path %.80s is too long", o->state_dir);
}

/* The directory of numbers; K3: locked as long as it is open. */
static enum err_kind lock_pids(const struct cni_options *o, int *ret, struct err *e)
{
	AUTO_CLOSE state = -1;
	AUTO_CLOSE dir = -1;
	enum err_kind k = fd_mkdir_at(AT_FDCWD, o->state_dir, 0700, e);

	if (k == ERR_OK)
		k = fd_open_at(AT_FDCWD, o->state_dir, O_RDONLY | O_DIRECTORY, 0, &state, e);
	if (k == ERR_OK)
		k = fd_mkdir_at(state, PIDS_DIR, 0700, e);
	if (k == ERR_OK)
		k = fd_open_at(state, PIDS_DIR, O_RDONLY | O_DIRECTORY, 0, &dir, e);
	if (k == ERR_OK)
		k = fd_lock(dir, "the numbers of processes", e);
	if (k == ERR_OK)
		*ret = TAKE_FD(dir);
	return k;
}

static enum err_kind release(const struct cni_options *o, const struct container_id *container,
			     int pids, struct err *e)
{
	char path[NETNS_PATH_MAX];
	enum err_kind k = part_path(o, NETNS_DIR, container->s, path, e);

	if (k == ERR_OK)
		k = netns_remove(path, e);
	if (k == ERR_OK && sys_unlinkat(pids, container->s, 0) < 0 && errno != ENOENT)
		k = err_sys(e, __func__, "remove the number of %s", container->s);
	return k;
}

/* Before the namespace is kept, so that whatever is kept is known to be somebody's. */
static enum err_kind write_pid(int pids, const struct container_id *container, pid_t pid,
			       struct err *e)
{
	char text[PID_TEXT_MAX];
	AUTO_CLOSE fd = -1;
	int n = snprintf(text, sizeof(text), "%d\n", (int)pid);
	enum err_kind k =
	    fd_open_at(pids, container->s, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, e);

	return k == ERR_OK ? fd_write_all(fd, text, (size_t)n, container->s, e) : k;
}

enum err_kind keep_namespace(const struct cni_options *o, const struct container_id *container,
			     pid_t pid, char ret_path[static NETNS_PATH_MAX], struct err *e)
{
	char source[64], dir[NETNS_PATH_MAX];
	AUTO_CLOSE pids = -1;
	enum err_kind k;

	(void)snprintf(source, sizeof(source), "/proc/%d/ns/net", (int)pid);
	k = netns_check(source, e);
	if (k == ERR_OK)
		k = part_path(o, NETNS_DIR, "", dir, e);
	if (k == ERR_OK)
		k = lock_pids(o, &pids, e);
	if (k == ERR_OK)
		k = release(o, container, pids, e);
	if (k == ERR_OK)
		k = write_pid(pids, container, pid, e);
	return k == ERR_OK ? netns_keep(source, dir, container->s, ret_path, e) : k;
}

enum err_kind keep_release(const struct cni_options *o, const struct container_id *container,
			   bool only_dead, struct err *e)
{
	char path[NETNS_PATH_MAX];
	AUTO_CLOSE pids = -1;
	enum err_kind k = part_path(o, NETNS_DIR, container->s, path, e);

	if (k == ERR_OK)
		k = lock_pids(o, &pids, e);
	if (k != ERR_OK || (only_dead && keep_is_alive(o, path)))
		return k;
	return release(o, container, pids, e);
}

/* The name of the container whose kept namespace this is; NULL: it is none. */
static const char *kept_name(const struct cni_options *o, const char *path)
{
	char dir[NETNS_PATH_MAX];
	struct err ignored;
	size_t n;

	if (part_path(o, NETNS_DIR, "", dir, &ignored) != ERR_OK)
		return NULL;
	n = strlen(dir);
	return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/')
		   ? path + n + 1
		   : NULL;
}

bool keep_is_kept(const struct cni_options *o, const char *path)
{
	return kept_name(o, path) != NULL;
}

static bool read_pid(const struct cni_options *o, const char *name, pid_t *ret)
{
	char path[NETNS_PATH_MAX];
	struct err ignored;
	struct str text;
	AUTO_SBUF b;
	uint64_t pid;

	sbuf_init(&b, PID_TEXT_MAX);
	if (part_path(o, PIDS_DIR, name, path, &ignored) != ERR_OK ||
	    fd_read_file(AT_FDCWD, path, &b, &ignored) != ERR_OK)
		return false;
	text = (struct str){ b.p ? b.p : "", b.n };
	if (!scan_u64(&text, INT32_MAX, &pid))
		return false;
	*ret = (pid_t)pid;
	return true;
}

bool keep_is_alive(const struct cni_options *o, const char *path)
{
	const char *name = kept_name(o, path);
	struct stat kept, now;
	char process[64];
	struct err ignored;
	pid_t pid;

	if (netns_check(path, &ignored) != ERR_OK)
		return false;
	if (!name)
		return true;
	if (!read_pid(o, name, &pid))
		return false;
	(void)snprintf(process, sizeof(process), "/proc/%d/ns/net", (int)pid);
	return stat(path, &kept) == 0 && stat(process, &now) == 0 && kept.st_dev == now.st_dev &&
	       kept.st_ino == now.st_ino;
}

enum err_kind keep_find(const struct cni_options *o, const struct container_id *container,
			char ret_path[static NETNS_PATH_MAX], struct err *e)
{
	enum err_kind k = part_path(o, NETNS_DIR, container->s, ret_path, e);

	if (k == ERR_OK && !keep_is_alive(o, ret_path))
		k = err_set(e, ERR_NOT_FOUND, __func__, "container %s has no network namespace",
			    container->s);
	return k;
}

struct looking {
	const struct cni_options *options;
	keep_fn *fn;
	void *arg;
};

static enum err_kind look_at(void *arg, const char *name, struct err *e)
{
	const struct looking *w = arg;
	struct container_id container;
	char path[NETNS_PATH_MAX];
	struct err ignored;

	if (container_id_parse(str_of(name), &container, &ignored) != ERR_OK ||
	    part_path(w->options, NETNS_DIR, name, path, &ignored) != ERR_OK ||
	    keep_is_alive(w->options, path))
		return ERR_OK;
	return w->fn(w->arg, &container, e);
}

enum err_kind keep_each_dead(const struct cni_options *o, keep_fn *fn, void *arg, struct err *e)
{
	struct looking w = { o, fn, arg };
	char dir[NETNS_PATH_MAX];
	enum err_kind k = part_path(o, NETNS_DIR, "", dir, e);

	if (k == ERR_OK)
		k = fd_list_dir(AT_FDCWD, dir, look_at, &w, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
