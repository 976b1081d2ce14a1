#include "server/admin.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/lock.h"

#define CALLS_MAX 8
#define LINE_MAX_BYTES (1024u * 1024)
#define REQUEST_MS 5000 /* for the line that asks */
#define WAKE_MS 200
#define DEPTH_MAX 16

struct call_thread {
	struct admin *admin;
	int fd;
	bool used, done; /* under the admin's lock */
	pthread_t thread;
};

struct admin {
	const struct ops *ops;
	int fd;
	_Atomic bool stopping;
	pthread_t thread;
	bool has_thread;
	struct lock mu;
	struct call_thread calls[CALLS_MAX];
};

/* Names of sockets are short, roots need not be: the directory is named by its descriptor. */
static enum err_kind socket_address(const char *root, int *ret_dir, struct sockaddr_un *ret,
				    struct err *e)
{
	enum err_kind k = ERR_OK;

	*ret_dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_dir < 0)
		k = err_sys(e, __func__, "open the root %s", root);
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/admin.sock",
		       *ret_dir);
	return k;
}

/* --- lines --- */

/* One line, without its end; false at the end of the stream, on errors, and beyond the limits. */
static bool read_line(int fd, struct sbuf *line, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	sbuf_clear(line);
	sbuf_init(line, LINE_MAX_BYTES);
	for (;;) {
		char buf[4096], *end;
		ssize_t n;

		if (poll(&p, 1, timeout_ms) <= 0)
			return false;
		n = recv(fd, buf, sizeof(buf), MSG_PEEK);
		if (n <= 0)
			return false;
		end = memchr(buf, '\n', (size_t)n);
		n = recv(fd, buf, end ? (size_t)(end - buf) + 1 : (size_t)n, 0);
		if (n <= 0)
			return false;
		sbuf_add(line, buf, (size_t)n - (end ? 1 : 0));
		if (end)
			return !line->failed;
	}
}

static bool send_line(int fd, struct jv *take)
{
	AUTO_JV *v = take;
	AUTO_SBUF b = { .max = LINE_MAX_BYTES };

	jv_dump(v, &b);
	sbuf_add(&b, "\n", 1);
	for (size_t at = 0; !b.failed && at < b.n;) {
		ssize_t n = send(fd, b.p + at, b.n - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return !b.failed;
}

/* --- the daemon's side --- */

static bool is_trusted(int fd, uid_t *ret)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
		return false;
	*ret = peer.uid;
	return peer.uid == 0 || peer.uid == geteuid();
}

static bool emit_line(void *arg, struct jv *take)
{
	return send_line(*(int *)arg, jv_pack("{s:o}", "item", take));
}

/* Whoever asked has nothing more to say: an event at its descriptor is its end. */
static bool is_there(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg, .events = POLLRDHUP };

	return poll(&p, 1, 0) <= 0;
}

static enum err_kind run_op(const struct admin *a, int fd, struct err *e)
{
	AUTO_SBUF line = { .max = LINE_MAX_BYTES };
	AUTO_JV *request = NULL;
	struct str name = { "", 0 };
	const struct op *op;
	struct op_call c = {
		.ops = a->ops, .emit = emit_line, .emit_arg = &fd, .is_heard = is_there
	};
	struct change_guard guard;
	char who[OPS_WHO_MAX];
	uid_t uid;
	enum err_kind k;

	if (!is_trusted(fd, &uid))
		return err_set(e, ERR_DENIED, __func__,
			       "only root and the daemon's own user may do this");
	if (!read_line(fd, &line, REQUEST_MS))
		return err_set(e, ERR_INVALID, __func__, "no request came");
	k = jv_parse_object((struct str){ line.p, line.n }, DEPTH_MAX, &request, e);
	if (k != ERR_OK)
		return k;
	(void)jv_text(jv_member(request, "op"), &name);
	op = op_find(name);
	if (!op)
		return err_set(e, ERR_UNSUPPORTED, __func__, "the daemon knows no \"%.60s\"",
			       name.p);
	c.args = jv_member(request, "args");
	guard = ops_local_guard(uid, who);
	c.guard = &guard;
	return op->run(&c, e);
}

static void *call_main(void *arg)
{
	struct call_thread *t = arg;
	struct err e = { 0 };
	enum err_kind k = run_op(t->admin, t->fd, &e);

	(void)send_line(t->fd, k == ERR_OK ? jv_pack("{s:b}", "ok", 1)
					   : jv_pack("{s:b, s:I, s:s}", "ok", 0, "kind",
						     (long long)k, "error", e.msg));
	fd_close(&t->fd);
	lock_get(&t->admin->mu);
	t->done = true;
	lock_put(&t->admin->mu);
	return NULL;
}

/* A free place, after those that are done were tidied up. */
static struct call_thread *place_for(struct admin *a)
{
	struct call_thread *found = NULL;

	for (size_t i = 0; i < CALLS_MAX; i++) {
		struct call_thread *t = &a->calls[i];
		bool done;

		lock_get(&a->mu);
		done = t->used && t->done;
		lock_put(&a->mu);
		if (done) {
			(void)pthread_join(t->thread, NULL);
			t->used = false;
		}
		if (!t->used && !found)
			found = t;
	}
	return found;
}

static void take_call(struct admin *a, int fd)
{
	struct call_thread *t = place_for(a);

	if (t) {
		*t = (struct call_thread){ .admin = a, .fd = fd };
		t->used = pthread_create(&t->thread, NULL, call_main, t) == 0;
	}
	if (!t || !t->used) {
		(void)send_line(fd,
				jv_pack("{s:b, s:I, s:s}", "ok", 0, "kind", (long long)ERR_TOO_MANY,
					"error", "too many administrators at once: try again"));
		fd_close(&fd);
	}
}

static void *admin_main(void *arg)
{
	struct admin *a = arg;
	struct pollfd p = { .fd = a->fd, .events = POLLIN };

	while (!a->stopping) {
		int fd;

		if (poll(&p, 1, WAKE_MS) <= 0)
			continue;
		fd = accept4(a->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			take_call(a, fd);
	}
	return NULL;
}

static enum err_kind listen_on(struct admin *a, const char *root, struct err *e)
{
	AUTO_CLOSE dir = -1;
	struct sockaddr_un at;
	mode_t before;
	int r;
	enum err_kind k = socket_address(root, &dir, &at, e);

	if (k != ERR_OK)
		return k;
	if (unlinkat(dir, "admin.sock", 0) < 0 &&
	    errno != ENOENT) /* a killed daemon's: we have the lock */
		return err_sys(e, __func__, "remove admin.sock");
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return err_sys(e, __func__, "make a socket");
	before = umask(0177);
	r = bind(a->fd, (struct sockaddr *)&at, sizeof(at));
	(void)umask(before);
	if (r < 0 || listen(a->fd, CALLS_MAX) < 0)
		return err_sys(e, __func__, "listen on %s/admin.sock", root);
	return ERR_OK;
}

enum err_kind admin_start(const struct ops *ops, struct admin **ret, struct err *e)
{
	struct admin *a = calloc(1, sizeof(*a));
	enum err_kind k;

	if (!a)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the admin socket");
	a->ops = ops;
	a->fd = -1;
	lock_init(&a->mu, LOCK_ADMIN);
	k = listen_on(a, ops->conf->root.p, e);
	if (k == ERR_OK) {
		a->has_thread = pthread_create(&a->thread, NULL, admin_main, a) == 0;
		if (!a->has_thread)
			k = err_set(e, ERR_NO_MEMORY, __func__, "no thread for the admin socket");
	}
	if (k != ERR_OK) {
		admin_stop(&a);
		return k;
	}
	*ret = a;
	return ERR_OK;
}

/* Nobody else can have put one there: the root is ours until the store is closed. */
static void remove_socket(const char *root)
{
	AUTO_CLOSE dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir >= 0)
		(void)unlinkat(dir, "admin.sock", 0);
}

void admin_stop(struct admin **take)
{
	struct admin *a = TAKE(*take);

	if (!a)
		return;
	a->stopping = true;
	if (a->has_thread)
		(void)pthread_join(a->thread, NULL);
	for (size_t i = 0; i < CALLS_MAX; i++) {
		if (a->calls[i].used)
			(void)pthread_join(a->calls[i].thread, NULL);
	}
	if (a->fd >= 0)
		remove_socket(a->ops->conf->root.p);
	fd_close(&a->fd);
	lock_clear(&a->mu);
	free(a);
}

/* --- the command's side --- */

/* Items until the last line. */
static enum err_kind read_answer(int fd, op_emit_fn *emit, void *arg, struct err *e)
{
	AUTO_SBUF line = { .max = LINE_MAX_BYTES };

	while (read_line(fd, &line, -1)) {
		AUTO_JV *answer = NULL;
		const struct jv *item;
		struct str text = { "", 0 };
		uint64_t kind = ERR_BUG;
		enum err_kind k =
		    jv_parse_object((struct str){ line.p, line.n }, DEPTH_MAX, &answer, e);

		if (k != ERR_OK)
			return k;
		item = jv_member(answer, "item");
		if (item) {
			(void)emit(arg, jv_share(item));
			continue;
		}
		if (!jv_text(jv_member(answer, "error"), &text))
			return ERR_OK;
		if (!jv_uint(jv_member(answer, "kind"), &kind) || kind == ERR_OK ||
		    kind >= ERR_KIND_N)
			kind = ERR_BUG;
		return err_set(e, (enum err_kind)kind, __func__, "%.200s", text.p);
	}
	return err_set(e, ERR_IO, __func__, "the daemon ended before it answered");
}

enum err_kind admin_connect(const char *root, int *ret_fd, struct err *e)
{
	AUTO_CLOSE fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	AUTO_CLOSE dir = -1;
	struct sockaddr_un at;
	enum err_kind k;

	if (fd < 0)
		return err_sys(e, __func__, "make a socket");
	k = socket_address(root, &dir, &at, e);
	if (k != ERR_OK)
		return k;
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		if (errno == ENOENT || errno == ECONNREFUSED)
			return err_set(e, ERR_NOT_FOUND, __func__, "no daemon runs on %s", root);
		return err_sys(e, __func__, "ask the daemon on %s", root);
	}
	*ret_fd = TAKE_FD(fd);
	return ERR_OK;
}

enum err_kind admin_ask(int fd, const char *op, const struct jv *args, op_emit_fn *emit, void *arg,
			struct err *e)
{
	bool sent;

	errno = 0;
	sent = send_line(fd, jv_pack("{s:s, s:o}", "op", op, "args", jv_share(args)));
	if (!sent && errno != EPIPE)
		return err_set(e, ERR_IO, __func__, "the daemon cannot be asked");
	return read_answer(fd, emit, arg, e); /* which may have been there before the question */
}
