/* What several operations need. */
#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "runtime/oci/init/hook.h"
#include "runtime/oci/run/runtime.h"

#define LISTEN_FDS_MAX 1024

enum err_kind runtime_read_spec(const struct container *c, struct spec *ret, struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	*ret = (struct spec){ 0 };
	sbuf_init(&b, SPEC_BYTES_MAX);
	k = fd_read_file(c->dir, "config.json", &b, e);
	return k == ERR_OK ? spec_parse((struct str){ b.p, b.n }, ret, e) : k;
}

static const char *status_for(enum hook_kind kind)
{
	if (kind == HOOK_POSTSTART)
		return "running";
	return kind == HOOK_POSTSTOP ? "stopped" : "created";
}

static enum err_kind run_one(const struct spec *s, const struct state *st, enum hook_kind kind,
			     size_t i, struct arena *a, struct err *e)
{
	const struct plan_options o = { .id = st->id, .bundle = st->bundle };
	const struct spec_hook *h = &s->hooks[kind].v[i];
	struct note why = { 0 };
	struct state_text text;
	struct hook_op op;
	enum err_kind k = plan_state_text(s, &o, status_for(kind), a, &text, e);
	int r;

	if (k == ERR_OK)
		k = plan_hook(h, &text, a, &op, e);
	if (k != ERR_OK)
		return k;
	r = hook_run(&op, kind == HOOK_POSTSTOP ? 0 : st->pid, &why);
	if (r == 0)
		return ERR_OK;
	if (r == -ECHILD || r == -ETIMEDOUT) /* why says it all */
		return err_set(e, ERR_IO, __func__, "hooks.%s[%zu] %s: %s", spec_hook_names[kind],
			       i, h->path, why.s);
	errno = -r;
	return err_sys(e, __func__, "hooks.%s[%zu] %s: %s", spec_hook_names[kind], i, h->path,
		       why.s);
}

enum err_kind runtime_run_hooks(struct runtime *rt, const struct spec *s, const struct state *st,
				enum hook_kind kind, struct err *e)
{
	for (size_t i = 0; i < s->hooks[kind].n; i++) {
		AUTO_ARENA a;
		enum err_kind k;

		arena_init(&a, 4u * 1024 * 1024);
		k = run_one(s, st, kind, i, &a, e);
		if (k != ERR_OK && kind == HOOK_POSTSTOP)
			rt->warn(e->msg);
		else if (k != ERR_OK)
			return k;
	}
	return ERR_OK;
}

enum err_kind runtime_write_pid_file(const char *path, pid_t pid, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char temporary[4096], text[24];
	int dir_n = slash ? (int)(slash - path + 1) : 0;
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (snprintf(temporary, sizeof(temporary), "%.*s.%s.%d", dir_n, path, path + dir_n,
		     getpid()) >= (int)sizeof(temporary))
		return err_set(e, ERR_INVALID, __func__, "--pid-file: the path is too long");
	(void)snprintf(text, sizeof(text), "%d", pid);
	(void)unlink(temporary); /* of a killed process that had our pid */
	k = fd_open_at(AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, text, strlen(text), path, e);
	if (k == ERR_OK && rename(temporary, path) < 0)
		k = err_sys(e, __func__, "write %s", path);
	if (k != ERR_OK && fd >= 0)
		(void)unlink(temporary);
	return k == ERR_OK ? k : err_wrap(e, "--pid-file");
}

/* Longer than an address has room for: by way of the directory. */
static enum err_kind socket_address(const char *path, int *dir, struct sockaddr_un *ret,
				    struct err *e)
{
	const char *slash = strrchr(path, '/');
	char parent[4096];

	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (str_copy(str_of(path), ret->sun_path, sizeof(ret->sun_path)))
		return ERR_OK;
	if (!slash ||
	    !str_copy((struct str){ path, (size_t)(slash - path) }, parent, sizeof(parent)))
		return err_set(e, ERR_INVALID, __func__, "the path is too long");
	*dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*dir < 0)
		return err_sys(e, __func__, "open %s", parent);
	if (snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d%s", *dir, slash) >=
	    (int)sizeof(ret->sun_path))
		return err_set(e, ERR_INVALID, __func__, "the name is too long");
	return ERR_OK;
}

enum err_kind runtime_connect(const char *path, int *ret, struct err *e)
{
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_CLOSE dir = -1;
	struct sockaddr_un address;
	enum err_kind k = socket_address(path, &dir, &address, e);

	if (k != ERR_OK)
		return err_wrap(e, "connect to %s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return err_sys(e, __func__, "connect to %s", path);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

unsigned runtime_listen_fds(void)
{
	struct str fds = str_of(getenv("LISTEN_FDS")), pid = str_of(getenv("LISTEN_PID"));
	uint64_t n, who;

	if (!scan_u64(&fds, LISTEN_FDS_MAX, &n) || !scan_end(&fds))
		return 0;
	if (pid.n && (!scan_u64(&pid, INT32_MAX, &who) || (pid_t)who != getpid()))
		return 0;
	return (unsigned)n;
}

enum err_kind runtime_filter(struct runtime *rt, const struct spec *s, struct arena *a,
			     struct filter *ret, int *ret_agent, struct err *e)
{
	AUTO_CLOSE cache = -1;
	enum err_kind k;

	*ret_agent = -1;
	if (!s->linux_.seccomp)
		return ERR_OK;
	cache = filter_cache_open(rt->root);
	k = filter_get(s->linux_.seccomp, cache, a, ret, e);
	if (k != ERR_OK || !seccomp_uses_notify(s->linux_.seccomp))
		return k;
	k = runtime_connect(s->linux_.seccomp->listener_path, ret_agent, e);
	return k == ERR_OK ? k : err_wrap(e, "linux.seccomp.listenerPath");
}
