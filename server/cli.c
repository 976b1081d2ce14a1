#include "server/cli.h"

#include <errno.h>
#include <termios.h>
#include <unistd.h>

int cli_complain(enum exit_status status, const struct err *e)
{
	(void)fprintf(stderr, "berthd: %s\n", e->msg);
	return status;
}

int cli_usage(const char *text)
{
	(void)fprintf(stderr, "usage: berthd %s\n", text);
	return EXIT_USAGE;
}

/* Is the argument an option of the command?  *ret_value is what follows an =, or NULL. */
static struct cli_option *match(struct cli_option *options, const char *arg, const char **ret_value)
{
	struct str name, value, text = str_of(arg);

	if (!str_starts(text, STR("--")))
		return NULL;
	*ret_value =
	    str_cut((struct str){ text.p + 2, text.n - 2 }, '=', &name, &value) ? value.p : NULL;
	for (; options->name; options++) {
		if (str_eq(name, str_of(options->name)))
			return options;
	}
	return NULL;
}

static enum err_kind add_word(struct cli_args *a, const char *word, struct err *e)
{
	if (a->n_words == CLI_WORDS_MAX)
		return err_set(e, ERR_INVALID, __func__, "too many arguments: \"%.80s\"", word);
	a->words[a->n_words++] = word;
	return ERR_OK;
}

/* Options of berthd go to conf_load, with the value that follows them. */
static enum err_kind sort_out(int n, char *const *args, struct cli_option *options,
			      struct cli_args *a, char **rest, int *n_rest, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (int i = 0; i < n && k == ERR_OK; i++) {
		const char *value;
		struct cli_option *o = match(options, args[i], &value);

		if (o) {
			if (o->is_flag)
				o->value = "true";
			else
				o->value = value ? value : (i + 1 < n ? args[++i] : NULL);
			if (!o->value)
				k = err_set(e, ERR_INVALID, __func__, "option --%s needs a value",
					    o->name);
		} else if (str_starts(str_of(args[i]), STR("--"))) {
			rest[(*n_rest)++] = args[i];
			if (!strchr(args[i], '=') && i + 1 < n && !conf_is_flag(args[i] + 2))
				rest[(*n_rest)++] = args[++i];
		} else {
			k = add_word(a, args[i], e);
		}
	}
	return k;
}

enum err_kind cli_parse(int n_args, char *const *args, struct cli_option *options,
			struct cli_args *ret, struct err *e)
{
	AUTO_FREE char **rest = calloc((size_t)n_args + 1, sizeof(*rest));
	int n_rest = 0;
	enum err_kind k;

	*ret = (struct cli_args){ .n_words = 0 };
	if (!rest)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	k = sort_out(n_args, args, options, ret, rest, &n_rest, e);
	return k == ERR_OK ? conf_load(n_rest, rest, &ret->conf, e) : k;
}

void cli_args_clear(struct cli_args *a)
{
	conf_clear(&a->conf);
}

/* Up to the end of the line. */
static enum err_kind read_line(int fd, struct secret_buf *ret, struct err *e)
{
	char c;
	ssize_t n;

	ret->n = 0;
	while ((n = read(fd, &c, 1)) != 0 && c != '\n') {
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

static enum err_kind ask(const char *prompt, struct secret_buf *ret, struct err *e)
{
	enum err_kind k;

	(void)fprintf(stderr, "%s: ", prompt);
	k = read_line(STDIN_FILENO, ret, e);
	(void)fputc('\n', stderr);
	return k;
}

static enum err_kind ask_twice(const char *what, struct secret_buf *ret, struct err *e)
{
	AUTO_SECRET again = { .n = 0 };
	char prompt[80];
	enum err_kind k = ask(what, ret, e);

	(void)snprintf(prompt, sizeof(prompt), "%s again", what);
	if (k == ERR_OK)
		k = ask(prompt, &again, e);
	if (k == ERR_OK && (again.n != ret->n || !secret_eq(again.p, ret->p, ret->n)))
		k = err_set(e, ERR_INVALID, __func__, "they are not the same");
	return k;
}

enum err_kind cli_read_secret(const char *what, struct secret_buf *ret, struct err *e)
{
	struct termios shown, hidden;
	enum err_kind k;

	if (tcgetattr(STDIN_FILENO, &shown) < 0)
		return read_line(STDIN_FILENO, ret, e); /* no terminal */
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) < 0)
		return err_sys(e, __func__, "hide what is typed");
	k = ask_twice(what, ret, e);
	(void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
	return k;
}
