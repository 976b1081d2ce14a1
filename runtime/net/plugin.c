#include "runtime/net/plugin.h"

#include <sys/wait.h>
#include <unistd.h>

#include "base/jv.h"

#define MESSAGE_MAX (64u * 1024)
#define ERROR_JSON_DEPTH 16

void plugin_failure_init(struct plugin_failure *f)
{
	*f = (struct plugin_failure){ .command = "" };
	sbuf_init(&f->msg, MESSAGE_MAX);
	sbuf_init(&f->details, MESSAGE_MAX);
}

void plugin_failure_clear(struct plugin_failure *f)
{
	sbuf_clear(&f->msg);
	sbuf_clear(&f->details);
	f->plugin[0] = '\0';
	f->command = "";
	f->code = 0;
}

static const char *const variables[] = { "CNI_COMMAND=", "CNI_CONTAINERID=", "CNI_NETNS=",
					 "CNI_IFNAME=",  "CNI_ARGS=",        "CNI_PATH=" };

static bool is_ours(const char *entry)
{
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		if (str_starts(str_of(entry), str_of(variables[i])))
			return true;
	}
	return false;
}

/* NULL-terminated; the last six are owned, the others are environ's. */
struct environment {
	char **p;
	size_t n, n_borrowed;
};

static void environment_clear(struct environment *env)
{
	for (size_t i = env->n_borrowed; i < env->n; i++)
		free(env->p[i]);
	free(env->p);
}

static enum err_kind environment_make(const struct plugin_call *c, struct environment *ret,
				      struct err *e)
{
	const char *const values[] = { c->command, c->container, c->netns,
				       c->ifname,  c->args,      c->search_path };
	size_t n = 0;

	while (environ && environ[n])
		n++;
	ret->p = calloc(n + ARRAY_LEN(variables) + 1, sizeof(*ret->p));
	for (size_t i = 0; ret->p && i < n; i++) {
		if (!is_ours(environ[i]))
			ret->p[ret->n++] = environ[i];
	}
	ret->n_borrowed = ret->n;
	for (size_t i = 0; ret->p && i < ARRAY_LEN(variables); i++) {
		if (asprintf(&ret->p[ret->n], "%s%s", variables[i], values[i]) < 0)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a plugin");
		ret->n++;
	}
	return ret->p ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a plugin");
}

/* "exit status 3", "signal 9" */
static void describe_end(int status, char *buf, size_t cap)
{
	if (WIFSIGNALED(status))
		(void)snprintf(buf, cap, "ended by signal %d", WTERMSIG(status));
	else
		(void)snprintf(buf, cap, "exit status %d", WEXITSTATUS(status));
}

/* Text for one line: what is no printable character becomes a blank. */
static void add_clean(struct sbuf *b, struct str s)
{
	size_t room = b->max - b->n;

	s.n = MIN(s.n, room);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		sbuf_add(b, c < ' ' || c == 0x7f ? " " : s.p + i, 1);
	}
	while (b->n && b->p[b->n - 1] == ' ')
		b->p[--b->n] = '\0';
}

/* The error object of the specification. */
static bool read_error(struct str out, struct plugin_failure *f)
{
	AUTO_JV *v = NULL;
	struct str msg = { "", 0 }, details = { "", 0 };
	uint64_t code = 0;
	struct err ignored;

	if (jv_parse_object(out, ERROR_JSON_DEPTH, &v, &ignored) != ERR_OK)
		return false;
	(void)jv_text(jv_member(v, "msg"), &msg);
	(void)jv_text(jv_member(v, "details"), &details);
	(void)jv_uint(jv_member(v, "code"), &code);
	f->code = (unsigned)MIN(code, (uint64_t)UINT32_MAX);
	add_clean(&f->msg, msg);
	add_clean(&f->details, details);
	return true;
}

/* G2 */
static void read_failure(const struct exec_output *o, struct plugin_failure *f)
{
	struct str out = { o->out.p ? o->out.p : "", o->out.n };
	struct str log = { o->log.p ? o->log.p : "", o->log.n };
	char end[64];

	describe_end(o->status, end, sizeof(end));
	if (out.n && read_error(out, f)) {
		if (f->msg.n == 0)
			sbuf_addf(&f->msg, "no reason given (%s)", end);
	} else if (out.n) {
		sbuf_addf(&f->msg, "%s, and what it said is no error object", end);
		add_clean(&f->details, out);
	} else if (log.n) {
		sbuf_addf(&f->msg, "%s", end);
		add_clean(&f->details, log);
	} else {
		sbuf_addf(&f->msg, "%s, without a word", end);
	}
}

static enum err_kind kind_of(unsigned code)
{
	switch (code) {
	case CNI_CODE_VERSION:
		return ERR_UNSUPPORTED;
	case CNI_CODE_TRY_LATER:
	case CNI_CODE_NOT_AVAILABLE:
	case CNI_CODE_LIMITED:
		return ERR_IN_USE;
	default:
		return ERR_IO;
	}
}

static enum err_kind report(const struct plugin_failure *f, struct err *e)
{
	bool has_details = f->details.n > 0;

	return err_set(e, kind_of(f->code), __func__, "%s%s%s%s", f->msg.p ? f->msg.p : "",
		       has_details ? "; " : "", has_details ? f->details.p : "",
		       f->code == CNI_CODE_TRY_LATER ? " (try again later)" : "");
}

static enum err_kind run(const struct plugin_call *c, struct exec_output *ret, struct err *e)
{
	CLEANUP(environment_clear) struct environment env = { 0 };
	enum err_kind k = environment_make(c, &env, e);
	const struct exec_call call = { .path = c->path,
					.env = env.p,
					.input = c->input,
					.timeout_ms = c->timeout_ms,
					.keep_fd = c->keep_fd };

	return k == ERR_OK ? exec_run(&call, ret, e) : k;
}

enum err_kind plugin_run(const struct plugin_call *c, struct exec_output *ret,
			 struct plugin_failure *f, struct err *e)
{
	enum err_kind k;

	plugin_failure_clear(f);
	k = run(c, ret, e);
	if (k == ERR_OK && ret->status == 0)
		return ERR_OK;
	(void)snprintf(f->plugin, sizeof(f->plugin), "%.*s", STR_FMT(c->type));
	f->command = c->command;
	if (k == ERR_OK) {
		read_failure(ret, f);
		k = report(f, e);
	} else {
		sbuf_addf(&f->msg, "%s", e->msg);
		add_clean(&f->details, (struct str){ ret->log.p ? ret->log.p : "", ret->log.n });
	}
	return err_wrap(e, "plugin %s: %s", f->plugin, c->command);
}
