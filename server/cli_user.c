#include <errno.h>
#include <termios.h>
#include <unistd.h>

#include "auth/htpasswd.h"
#include "base/secret.h"
#include "server/cli.h"

/* --- a password --- */

/* Up to the end of the line. */
static enum err_kind read_line(struct secret_buf *ret, struct err *e)
{
	char c;
	ssize_t n;

	ret->n = 0;
	while ((n = read(STDIN_FILENO, &c, 1)) != 0 && c != '\n') {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, __func__, "read");
		if (ret->n == SECRET_MAX)
			return err_set(e, ERR_TOO_LARGE, __func__, "the input is too long");
		ret->p[ret->n++] = c;
	}
	ret->p[ret->n] = '\0';
	return ERR_OK;
}

static enum err_kind prompt(const char *text, struct secret_buf *ret, struct err *e)
{
	enum err_kind k;

	(void)fprintf(stderr, "%s: ", text);
	k = read_line(ret, e);
	(void)fputc('\n', stderr);
	return k;
}

static enum err_kind prompt_twice(struct secret_buf *ret, struct err *e)
{
	AUTO_SECRET again = { .n = 0 };
	enum err_kind k = prompt("Password", ret, e);

	if (k == ERR_OK)
		k = prompt("Password again", &again, e);
	if (k == ERR_OK && (again.n != ret->n || !secret_eq(again.p, ret->p, ret->n)))
		k = err_set(e, ERR_INVALID, __func__, "they are not the same");
	return k;
}

/* From the terminal, asked for twice and not shown, or the first line of what stdin is instead. */
static enum err_kind read_password(struct secret_buf *ret, struct err *e)
{
	struct termios shown, hidden;
	enum err_kind k;

	if (tcgetattr(STDIN_FILENO, &shown) < 0)
		return read_line(ret, e); /* no terminal */
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0)
		return err_sys(e, __func__, "hide what is typed");
	k = prompt_twice(ret, e);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	return k;
}

/* --- the command --- */

static enum err_kind find_file(const struct op_call *c, const char **ret, struct err *e)
{
	const struct conf *conf = c->ops->conf;

	if (conf->auth_htpasswd.n == 0)
		return err_set(
		    e, ERR_INVALID, __func__,
		    "auth.htpasswd is not set: give --auth.htpasswd=FILE, or --config FILE");
	*ret = conf->auth_htpasswd.p;
	return ERR_OK;
}

static enum err_kind find_cost(const struct op_call *c, unsigned *ret, struct err *e)
{
	struct str text;
	uint64_t v;

	*ret = HTPASSWD_COST_PRESET;
	if (!op_text(c, "cost", &text))
		return ERR_OK;
	if (!scan_u64(&text, HTPASSWD_COST_MAX, &v) || !scan_end(&text) || v < HTPASSWD_COST_MIN)
		return err_set(e, ERR_INVALID, __func__, "--cost must be a number from %d to %d",
			       HTPASSWD_COST_MIN, HTPASSWD_COST_MAX);
	*ret = (unsigned)v;
	return ERR_OK;
}

static struct str name_of(const struct op_call *c)
{
	struct str name = { "", 0 };

	(void)op_text(c, "name", &name);
	return name;
}

static void emit_done(struct op_call *c, const char *done)
{
	struct str name = name_of(c);

	op_emit(c, jv_pack("{s:s%, s:s}", "name", name.p, name.n, "done", done));
}

static enum err_kind set(struct op_call *c, bool is_new, struct err *e)
{
	AUTO_SECRET password = { .n = 0 };
	const char *path = NULL;
	unsigned cost = 0;
	enum err_kind k = find_file(c, &path, e);

	if (k == ERR_OK)
		k = find_cost(c, &cost, e);
	if (k == ERR_OK)
		k = read_password(&password, e);
	if (k == ERR_OK)
		k = htpasswd_set(path, name_of(c), (struct str){ password.p, password.n }, cost,
				 is_new, e);
	if (k == ERR_OK)
		emit_done(c, is_new ? "added" : "changed");
	return k;
}

static enum err_kind user_add(struct op_call *c, struct err *e)
{
	return set(c, true, e);
}

static enum err_kind user_passwd(struct op_call *c, struct err *e)
{
	return set(c, false, e);
}

static enum err_kind user_rm(struct op_call *c, struct err *e)
{
	const char *path = NULL;
	enum err_kind k = find_file(c, &path, e);

	if (k == ERR_OK)
		k = htpasswd_remove(path, name_of(c), e);
	if (k == ERR_OK)
		emit_done(c, "removed");
	return k;
}

static enum err_kind user_ls(struct op_call *c, struct err *e)
{
	AUTO_HTPASSWD *h = NULL;
	const char *path = NULL;
	enum err_kind k = find_file(c, &path, e);

	if (k == ERR_OK)
		k = htpasswd_load(path, &h, e);
	for (size_t i = 0; k == ERR_OK && i < htpasswd_count(h); i++) {
		struct str name = htpasswd_name(h, i);

		op_emit(c, jv_pack("{s:s%}", "name", name.p, name.n));
	}
	return k;
}

static void print_done(const struct jv *item)
{
	(void)printf("%s %s\n", cli_text(item, "done"), cli_text(item, "name"));
}

static void print_name(const struct jv *item)
{
	(void)printf("%s\n", cli_text(item, "name"));
}

int cli_user(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .word = "add", .alone = user_add, .arguments = "name", .print = print_done },
		{ .word = "passwd",
		  .alone = user_passwd,
		  .arguments = "name",
		  .print = print_done },
		{ .word = "rm", .alone = user_rm, .arguments = "name", .print = print_done },
		{ .word = "ls", .alone = user_ls, .print = print_name },
	};

	return cli_run("user", usages, ARRAY_LEN(usages), "cost=", n_args, args);
}
