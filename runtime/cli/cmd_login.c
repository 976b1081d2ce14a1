/* login, logout: passwords for registries. */
#include <termios.h>
#include <unistd.h>

#include "runtime/cli/registry.h"
#include "runtime/cli/report.h"

struct login_args {
	struct registry_args registry;
	const char *user, *password;
	bool password_stdin;
};

/* A line from stdin, without echo if that is a terminal. */
static enum err_kind read_line(const char *prompt, bool echo, char *buf, size_t cap, struct err *e)
{
	struct termios old, quiet;
	bool is_terminal = tcgetattr(STDIN_FILENO, &old) == 0;
	bool got;

	if (is_terminal) {
		(void)fputs(prompt, stderr);
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		if (!echo)
			(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	got = fgets(buf, (int)cap, stdin) != NULL;
	if (is_terminal && !echo) {
		(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		(void)fputs("\n", stderr);
	}
	if (!got)
		return err_set(e, ERR_INVALID, __func__, "nothing on standard input");
	buf[strcspn(buf, "\r\n")] = '\0';
	return ERR_OK;
}

static enum err_kind ask(struct login_args *a, struct err *e)
{
	struct credential *given = &a->registry.given;
	enum err_kind k = ERR_OK;

	if (a->user && !str_copy(str_of(a->user), given->user, sizeof(given->user)))
		return err_set(e, ERR_INVALID, __func__, "the user's name is too long");
	if (a->password && !str_copy(str_of(a->password), given->secret, sizeof(given->secret)))
		return err_set(e, ERR_INVALID, __func__, "the password is too long");
	if (!a->user)
		k = read_line("User: ", true, given->user, sizeof(given->user), e);
	if (k == ERR_OK && !a->password)
		k = read_line("Password: ", false, given->secret, sizeof(given->secret), e);
	if (k == ERR_OK && !*given->user)
		k = err_set(e, ERR_INVALID, __func__, "a user is needed: --username");
	a->registry.has_given = true;
	return k;
}

static enum err_kind login(struct login_args *a, const char *host, char **ret_where, struct err *e)
{
	AUTO_CLIENT *client = NULL;
	enum err_kind k = registry_client(&a->registry, &client, e);

	if (k == ERR_OK)
		k = client_ping(client, host, e);
	if (k == ERR_OK)
		k = credfile_store(a->registry.authfile, host, &a->registry.given, ret_where, e);
	return k;
}

static int run_login(struct cli *c)
{
	struct login_args *a = c->options;
	AUTO_FREE char *where = NULL;
	char host[REFERENCE_HOST_MAX + 1];
	struct err e;
	struct jv *v;
	enum err_kind k;

	if (!reference_host_parse(host, str_of(c->args[0])))
		return cli_usage(c, "login: \"%.100s\" is not HOST[:PORT]", c->args[0]);
	if (a->password_stdin && !a->user)
		return cli_usage(c, "login: --password-stdin wants --username");
	k = a->registry.creds ? registry_credential(&a->registry, a->registry.creds, &e)
			      : ask(a, &e);
	a->registry.creds = NULL;
	if (k == ERR_OK)
		k = login(a, host, &where, &e);
	credential_clear(&a->registry.given);
	if (k != ERR_OK)
		return cli_fail(&e);
	if (!c->json)
		cli_note("the password for %s is in %s", host, where);
	v = jv_pack("{s:s, s:s}", "name", host, "kept_in", where);
	return report_one(c, &v, NULL);
}

static const struct opt login_opts[] = {
	{ "username", 'u', OPT_TEXT, offsetof(struct login_args, user), "USER", "user" },
	{ "password", 'p', OPT_TEXT, offsetof(struct login_args, password), "PASSWORD",
	  "password; others on this machine may see it" },
	{ "password-stdin", 0, OPT_FLAG, offsetof(struct login_args, password_stdin), NULL,
	  "read the password from standard input" },
	REGISTRY_OPTS(offsetof(struct login_args, registry)),
	OPTS_END
};

const struct command cmd_login = {
	.name = "login",
	.run = run_login,
	.opts = login_opts,
	.options_size = sizeof(struct login_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... HOST[:PORT]",
	.as_user = true,
	.doc = "check and keep a password for a registry",
};

struct logout_args {
	const char *authfile;
};

static int run_logout(struct cli *c)
{
	const struct logout_args *a = c->options;
	char host[REFERENCE_HOST_MAX + 1];
	struct err e;
	struct jv *v;

	if (!reference_host_parse(host, str_of(c->args[0])))
		return cli_usage(c, "logout: \"%.100s\" is not HOST[:PORT]", c->args[0]);
	if (credfile_erase(a->authfile, host, &e) != ERR_OK)
		return cli_fail(&e);
	v = jv_pack("{s:s}", "name", host);
	return report_one(c, &v, NULL);
}

static const struct opt logout_opts[] = { { "authfile", 0, OPT_TEXT,
					    offsetof(struct logout_args, authfile), "FILE",
					    "where passwords are" },
					  OPTS_END };

const struct command cmd_logout = {
	.name = "logout",
	.run = run_logout,
	.opts = logout_opts,
	.options_size = sizeof(struct logout_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... HOST[:PORT]",
	.as_user = true,
	.doc = "forget the password for a registry",
};
