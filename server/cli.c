#include "server/cli.h"

#include <limits.h>
#include <unistd.h>

#include "base/fd.h"
#include "server/admin.h"

#define WORDS_MAX 4
#define OPTION_MAX 32
#define CONF_ARGS_MAX 256

int cli_complain(enum exit_status status, const struct err *e)
{
	(void)fputs("berthd: ", stderr);
	cli_put(stderr, e->msg);
	(void)fputc('\n', stderr);
	return (int)status;
}

void cli_put(FILE *f, const char *text)
{
	for (struct str in = str_of(text); in.n;) {
		size_t n = utf8_len(in);
		unsigned char c = (unsigned char)in.p[0], next = n > 1 ? (unsigned char)in.p[1] : 0;
		bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && next < 0xa0);

		if (n == 0 || control)
			(void)fputc('?', f);
		else
			(void)fwrite(in.p, 1, n, f);
		n = n ? n : 1;
		in = (struct str){ in.p + n, in.n - n };
	}
}

/* --- taking the command line apart --- */

struct parsed {
	const char *words[WORDS_MAX]; /* none is NULL */
	size_t n_words;
	struct jv *args; /* the operation's */
	bool json;
	char *conf_args[CONF_ARGS_MAX];
	int n_conf_args;
};

static bool has_word(const char *list, struct str word)
{
	struct str rest = str_of(list), at;

	while (rest.n) {
		(void)str_cut(rest, ' ', &at, &rest);
		if (str_eq(at, word))
			return true;
	}
	return false;
}

static enum err_kind set_arg(struct parsed *p, const char *name, const char *value, struct err *e)
{
	return jv_set(p->args, name, jv_pack("s", value))
		   ? ERR_OK
		   : err_set(e, ERR_INVALID, __func__, "%s is no text", name);
}

/* The name of an option that takes a value, if it is one of them: "name=" in the list. */
static bool is_valued(const char *options, struct str name, char ret[static OPTION_MAX])
{
	char word[OPTION_MAX + 1];

	(void)snprintf(word, sizeof(word), "%.*s=", STR_FMT(name));
	return str_copy(name, ret, OPTION_MAX) && has_word(options, str_of(word));
}

static enum err_kind take_valued(struct parsed *p, const char *name, const char *value,
				 struct err *e)
{
	return value ? set_arg(p, name, value, e)
		     : err_set(e, ERR_INVALID, __func__, "option --%s needs a value", name);
}

/* Some are the command's own; the rest are options of berthd. */
static enum err_kind take_option(struct parsed *p, const char *options, int n, char *const *args,
				 int *i, struct err *e)
{
	struct str name = str_of(args[*i] + 2), head, value;
	char own[OPTION_MAX];

	if (str_eq(name, STR("json"))) {
		p->json = true;
		return ERR_OK;
	}
	if (!str_cut(name, '=', &head, &value))
		value.p = NULL;
	if (is_valued(options, head, own))
		return take_valued(p, own, value.p ? value.p : *i + 1 < n ? args[++*i] : NULL, e);
	if (has_word(options, name))
		return set_arg(p, name.p, "true", e);
	if (p->n_conf_args + 2 > CONF_ARGS_MAX)
		return err_set(e, ERR_INVALID, __func__, "too many options");
	p->conf_args[p->n_conf_args++] = args[*i];
	if (conf_takes_value(name) && *i + 1 < n)
		p->conf_args[p->n_conf_args++] = args[++*i];
	return ERR_OK;
}

static enum err_kind parse(struct parsed *p, const char *options, int n, char *const *args,
			   struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < WORDS_MAX; i++)
		p->words[i] = "";
	p->args = jv_pack("{}");
	if (!p->args)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	for (int i = 0; i < n && k == ERR_OK; i++) {
		if (strncmp(args[i], "--", 2) == 0)
			k = take_option(p, options, n, args, &i, e);
		else if (p->n_words == WORDS_MAX)
			k = err_set(e, ERR_INVALID, __func__, "too many arguments");
		else
			p->words[p->n_words++] = args[i];
	}
	return k;
}

static enum err_kind set_path(struct parsed *p, const char *name, const char *path, struct err *e)
{
	char cwd[PATH_MAX], whole[PATH_MAX];
	int n;

	if (path[0] == '/')
		return set_arg(p, name, path, e);
	if (!getcwd(cwd, sizeof(cwd)))
		return err_sys(e, __func__, "find the working directory");
	n = snprintf(whole, sizeof(whole), "%s/%s", cwd, path);
	return n > 0 && (size_t)n < sizeof(whole)
		   ? set_arg(p, name, whole, e)
		   : err_set(e, ERR_INVALID, __func__, "%.80s is too long a path", path);
}

static size_t count_words(const char *list)
{
	struct str rest = str_of(list), word;
	size_t n = 0;

	for (; rest.n; n++)
		(void)str_cut(rest, ' ', &word, &rest);
	return n;
}

/* The arguments join the operation's, under the names that it has for them. */
static enum err_kind set_arguments(struct parsed *p, const struct cli_usage *u, size_t first,
				   struct err *e)
{
	struct str rest = str_of(u->arguments), word;
	enum err_kind k = ERR_OK;

	for (size_t i = first; rest.n && k == ERR_OK; i++) {
		char name[OPTION_MAX];

		(void)str_cut(rest, ' ', &word, &rest);
		(void)str_copy(word, name, sizeof(name));
		k = u->is_path && rest.n == 0 ? set_path(p, name, p->words[i], e)
					      : set_arg(p, name, p->words[i], e);
	}
	return k;
}

/* The way that the words name. */
static enum err_kind choose(struct parsed *p, const char *command, const struct cli_usage *usages,
			    size_t n, const struct cli_usage **ret, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		const struct cli_usage *u = &usages[i];
		size_t first = u->word != NULL;
		size_t want = first + (u->arguments ? count_words(u->arguments) : 0);

		if (p->n_words != want || (u->word && strcmp(u->word, p->words[0]) != 0))
			continue;
		*ret = u;
		return u->arguments ? set_arguments(p, u, first, e) : ERR_OK;
	}
	return err_set(e, ERR_INVALID, __func__, "\"berthd help\" says how \"berthd %s\" is called",
		       command);
}

/* --- asking and telling --- */

struct telling {
	const struct cli_usage *usage;
	bool json;
	enum exit_status status;
};

static bool tell(void *arg, struct jv *take)
{
	AUTO_JV *item = take;
	AUTO_SBUF b = { .max = SBUF_MAX };
	struct telling *t = arg;

	if (t->json) {
		jv_dump(item, &b);
		(void)puts(b.failed ? "{}" : b.p);
	} else {
		t->usage->print(item);
	}
	if (t->usage->judge && t->usage->judge(item) != EXIT_FINE)
		t->status = t->usage->judge(item);
	return fflush(stdout) == 0;
}

static enum err_kind run_here(const struct conf *c, struct telling *t, const struct jv *args,
			      struct err *e)
{
	struct ops ops = { .conf = c };
	char who[OPS_WHO_MAX];
	const struct change_guard guard = ops_local_guard(getuid(), who);
	struct op_call call = {
		.ops = &ops, .args = args, .emit = tell, .emit_arg = t, .guard = &guard
	};
	enum err_kind k;

	if (t->usage->alone)
		return t->usage->alone(&call, e);
	k = ops_open(&ops, !t->usage->makes_store, e);
	if (k == ERR_OK)
		k = op_find(str_of(t->usage->op))->run(&call, e);
	ops_close(&ops);
	return k;
}

static enum err_kind ask(const struct conf *c, struct telling *t, const struct jv *args,
			 struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = t->usage->alone ? ERR_NOT_FOUND : admin_connect(c->root.p, &fd, e);

	if (k == ERR_NOT_FOUND && t->usage->only_daemon)
		return err_set(e, ERR_NOT_FOUND, __func__, "no daemon runs on %.150s", c->root.p);
	if (k == ERR_NOT_FOUND)
		return run_here(c, t, args, e);
	return k == ERR_OK ? admin_ask(fd, t->usage->op, args, tell, t, e) : k;
}

/* The daemon's options are its own affair: only the root is looked for in them. */
static enum err_kind load(const struct parsed *p, const struct cli_usage *u, struct conf *ret,
			  struct err *e)
{
	struct faults ignored = { 0 };

	if (!u->only_daemon)
		return conf_load(p->n_conf_args, p->conf_args, ret, e);
	conf_load_all(p->n_conf_args, p->conf_args, ret, &ignored);
	return ERR_OK;
}

int cli_run(const char *command, const struct cli_usage *usages, size_t n, const char *options,
	    int n_args, char *const *args)
{
	struct parsed p = { .n_words = 0 };
	struct telling t = { .status = EXIT_FINE };
	struct conf c;
	struct err e = { 0 };
	enum exit_status failed = EXIT_USAGE;
	enum err_kind k = parse(&p, options, n_args, args, &e);

	if (k == ERR_OK)
		k = choose(&p, command, usages, n, &t.usage, &e);
	if (k == ERR_OK)
		k = load(&p, t.usage, &c, &e);
	if (k == ERR_OK) {
		failed = EXIT_FAILED;
		t.json = p.json;
		log_set_level(LOG_ERROR);
		k = ask(&c, &t, p.args, &e);
		if (k == ERR_INVALID && t.usage->alone)
			failed = EXIT_USAGE;
		conf_clear(&c);
	}
	jv_free(&p.args);
	return k == ERR_OK ? (int)t.status : cli_complain(failed, &e);
}

/* --- for printing --- */

const char *cli_text(const struct jv *item, const char *name)
{
	struct str s;

	return jv_text(jv_member(item, name), &s) ? s.p : "";
}

unsigned long long cli_number(const struct jv *item, const char *name)
{
	uint64_t v = 0;

	(void)jv_uint(jv_member(item, name), &v);
	return v;
}

bool cli_flag(const struct jv *item, const char *name)
{
	return jv_is_true(jv_member(item, name));
}

const char *cli_bytes(unsigned long long v, char buf[static CLI_BYTES_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double x = (double)v;
	size_t i = 0;

	for (; x >= 1024 && i + 1 < ARRAY_LEN(units); i++)
		x /= 1024;
	(void)snprintf(buf, CLI_BYTES_MAX, i ? "%.1f %s" : "%.0f %s", x, units[i]);
	return buf;
}
