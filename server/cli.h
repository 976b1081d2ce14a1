/*
 * cli - the commands of berthd that are not about serving, one file a noun: cli_user.c, ...
 *
 * A command gets the arguments after its name and returns the exit status.  Results go to stdout, failures to stderr in one
 * line.  Options of berthd may stand anywhere; options of the command come before them in the lists below.
 */
#pragma once

#include "base/secret.h"
#include "server/conf.h"

enum exit_status { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

typedef int cli_command(int n_args, char *const *args);
cli_command cli_user;
cli_command cli_key;
cli_command cli_check_access;

int cli_complain(enum exit_status status, const struct err *e);
/* Says how a command is called. */
int cli_usage(const char *text);

/* An option of the command itself, --name VALUE or --name=VALUE; a flag has no value and gets one when it is given. */
struct cli_option {
	const char *name;
	bool is_flag;
	const char *value; /* NULL: not given */
};

#define CLI_WORDS_MAX 8

/* What a command line holds. */
struct cli_args {
	size_t n_words;
	const char *words[CLI_WORDS_MAX]; /* what is no option */
	struct conf conf;
};

/* ERR_INVALID for what is wrong with it.  options end with a NULL name and are filled in. */
MUST_CHECK enum err_kind cli_parse(int n_args, char *const *args, struct cli_option *options,
				   struct cli_args *ret, struct err *e);
void cli_args_clear(struct cli_args *a);

/* A secret from the terminal, asked for twice and not shown, or the first line of what stdin is instead. */
MUST_CHECK enum err_kind cli_read_secret(const char *what, struct secret_buf *ret, struct err *e);
