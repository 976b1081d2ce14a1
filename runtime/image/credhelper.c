#include "runtime/image/credhelper.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/jv.h"

#define ANSWER_MAX (64u * 1024)

extern char **environ;

struct helper {
	pid_t pid;
	int in, out; /* its standard input and output */
};

static bool is_helper_name(const char *name)
{
	return *name && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "0123456789-_.") == strlen(name);
}

static enum err_kind start(const char *name, const char *verb, struct helper *ret, struct err *e)
{
	char program[256];
	char *const argv[] = { program, (char *)(uintptr_t)verb, NULL };
	posix_spawn_file_actions_t actions;
	int in[2], out[2], failed;

	if (!is_helper_name(name) || snprintf(program, sizeof(program), "docker-credential-%s",
					      name) >= (int)sizeof(program))
		return err_set(e, ERR_INVALID, __func__, "\"%.60s\" is no credential helper", name);
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_sys(e, __func__, "make a pipe");
	if (pipe2(out, O_CLOEXEC) < 0) {
		(void)err_sys(e, __func__, "make a pipe");
		fd_close(&in[0]);
		fd_close(&in[1]);
		return e->kind;
	}
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, in[0], 0);
	(void)posix_spawn_file_actions_adddup2(&actions, out[1], 1);
	failed = posix_spawnp(&ret->pid, program, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	fd_close(&in[0]);
	fd_close(&out[1]);
	ret->in = in[1];
	ret->out = out[0];
	if (!failed)
		return ERR_OK;
	fd_close(&ret->in);
	fd_close(&ret->out);
	if (failed == ENOENT) /* not ERR_NOT_FOUND, which says that there is no password */
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "%s keeps the passwords, and is not installed", program);
	errno = failed;
	return err_sys(e, __func__, "run %s", program);
}

static enum err_kind read_answer(struct helper *h, struct sbuf *b, struct err *e)
{
	uint64_t deadline = mono_ms() + CREDHELPER_WAIT_MS, now;
	char chunk[4096];

	while ((now = mono_ms()) < deadline) {
		struct pollfd p = { .fd = h->out, .events = POLLIN };
		ssize_t n;

		if (poll(&p, 1, (int)(deadline - now)) < 0 && errno != EINTR)
			return err_sys(e, __func__, "wait for a credential helper");
		if (!p.revents)
			continue;
		n = read(h->out, chunk, sizeof(chunk));
		if (n <= 0)
			return n == 0 ? ERR_OK : err_sys(e, __func__, "read a helper's answer");
		sbuf_add(b, chunk, (size_t)n);
		if (b->failed)
			return err_set(e, ERR_TOO_LARGE, __func__,
				       "a credential helper says more than %u bytes", ANSWER_MAX);
	}
	return err_set(e, ERR_IO, __func__, "a credential helper does not answer");
}

/* *ret_ok: it ended with status 0. */
static enum err_kind talk(const char *name, const char *verb, struct str input, struct sbuf *answer,
			  bool *ret_ok, struct err *e)
{
	struct helper h;
	struct err ignored;
	int status = 0;
	enum err_kind k = start(name, verb, &h, e);

	if (k != ERR_OK)
		return k;
	(void)!fd_write_all(h.in, input.p, input.n, "helper", &ignored); /* it may not care */
	fd_close(&h.in);
	k = read_answer(&h, answer, e);
	fd_close(&h.out);
	if (k != ERR_OK)
		(void)kill(h.pid, SIGKILL);
	while (waitpid(h.pid, &status, 0) < 0 && errno == EINTR)
		;
	*ret_ok = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	return k == ERR_OK ? k : err_wrap(e, "docker-credential-%s", name);
}

static enum err_kind refused(const char *name, const struct sbuf *answer, struct err *e)
{
	return err_set(e, ERR_DENIED, __func__, "docker-credential-%s: %.*s", name,
		       (int)MIN(answer->p ? strcspn(answer->p, "\n") : 0, (size_t)120),
		       answer->p ? answer->p : "");
}

static enum err_kind take_answer(const char *name, const struct sbuf *answer,
				 struct credential *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	struct str user, secret;
	enum err_kind k = jv_parse_object((struct str){ answer->p, answer->n }, 4, &v, e);

	if (k != ERR_OK)
		return err_wrap(e, "docker-credential-%s", name);
	if (!jv_text(jv_member(v, "Username"), &user) ||
	    !jv_text(jv_member(v, "Secret"), &secret) ||
	    !str_copy(user, ret->user, sizeof(ret->user)) ||
	    !str_copy(secret, ret->secret, sizeof(ret->secret)))
		return err_set(e, ERR_INVALID, __func__,
			       "docker-credential-%s: no Username and Secret", name);
	ret->is_token = strcmp(ret->user, "<token>") == 0;
	return ERR_OK;
}

static void wipe(struct sbuf *b)
{
	if (b->p)
		secret_wipe(b->p, b->cap);
	sbuf_clear(b);
}

enum err_kind credhelper_get(const char *name, const char *server, struct credential *ret,
			     struct err *e)
{
	CLEANUP(wipe) struct sbuf answer;
	bool ok = false;
	enum err_kind k;

	sbuf_init(&answer, ANSWER_MAX);
	k = talk(name, "get", str_of(server), &answer, &ok, e);
	if (k != ERR_OK)
		return k;
	if (ok)
		return take_answer(name, &answer, ret, e);
	return answer.p && strcasestr(answer.p, "not found") ? ERR_NOT_FOUND
							     : refused(name, &answer, e);
}

enum err_kind credhelper_store(const char *name, const char *server, const struct credential *c,
			       struct err *e)
{
	AUTO_JV *v = jv_pack("{s:s, s:s, s:s}", "ServerURL", server, "Username",
			     c->is_token ? "<token>" : c->user, "Secret", c->secret);
	CLEANUP(wipe) struct sbuf input;
	AUTO_SBUF answer;
	bool ok = false;
	enum err_kind k;

	sbuf_init(&input, ANSWER_MAX);
	sbuf_init(&answer, ANSWER_MAX);
	(void)sbuf_reserve(&input, ANSWER_MAX - 1); /* at once, so that no copy is left behind */
	jv_dump(v, &input);
	if (input.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a password");
	k = talk(name, "store", (struct str){ input.p, input.n }, &answer, &ok, e);
	return k == ERR_OK && !ok ? refused(name, &answer, e) : k;
}

enum err_kind credhelper_erase(const char *name, const char *server, struct err *e)
{
	AUTO_SBUF answer;
	bool ok = false;
	enum err_kind k;

	sbuf_init(&answer, ANSWER_MAX);
	k = talk(name, "erase", str_of(server), &answer, &ok, e);
	if (k != ERR_OK || ok)
		return k;
	return answer.p && strcasestr(answer.p, "not found")
		   ? err_set(e, ERR_NOT_FOUND, __func__, "not logged in to %s", server)
		   : refused(name, &answer, e);
}
