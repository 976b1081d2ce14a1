/*
 * cli - commands that ask for an operation (ops.h): of the daemon that runs on the root, or else of this process, which
 * opens the root itself; some need no store.  All take --json, --root and the other options of berthd.
 */
#pragma once

#include <stdio.h>

#include "server/ops.h"

enum exit_status { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Prints "berthd: message" and returns status. */
int cli_complain(enum exit_status status, const struct err *e);

/*
 * What berthd would serve with: reads it, checks it (conf_check.h), and says all that is wrong.  If anything is, *e is
 * the first of it, and there is nothing to clear.
 */
MUST_CHECK enum err_kind cli_load_config(int n_args, char *const *args, struct conf *ret,
					 struct err *e);

/* One way to call a command. */
struct cli_usage {
	const char *word; /* the first one after the command, NULL if there is none */
	const char *op;   /* the operation's name */
	op_fn *
	    alone; /* instead of op: by this process, without ops' store; ERR_INVALID is a mistake of the caller */
	const char *arguments; /* the operation's names for those that must follow, or NULL */
	bool makes_store;      /* a root that is no store yet becomes one */
	bool only_daemon;      /* nothing is done without one */
	bool is_path;          /* the last argument: made absolute, as the daemon runs elsewhere */
	void (*print)(const struct jv *item);             /* for people */
	enum exit_status (*judge)(const struct jv *item); /* NULL: all is well with each */
};

/*
 * options are the command's own, as names separated by spaces; "name=" takes a value.  The result is the exit status.
 */
int cli_run(const char *command, const struct cli_usage *usages, size_t n, const char *options,
	    int n_args, char *const *args);

/* For printing. */
/* Text that others wrote: what a terminal would act on becomes a question mark. */
void cli_put(FILE *f, const char *text);
const char *cli_text(const struct jv *item, const char *name); /* "" if there is none */
unsigned long long cli_number(const struct jv *item, const char *name);
bool cli_flag(const struct jv *item, const char *name);
/* "1.5 GiB" */
#define CLI_BYTES_MAX 32
const char *cli_bytes(unsigned long long v, char buf[static CLI_BYTES_MAX]);

/* The commands. */
int cli_backup(int n_args, char *const *args);
int cli_check_config(int n_args, char *const *args);
int cli_check_access(int n_args, char *const *args);
int cli_cp(int n_args, char *const *args);
int cli_events(int n_args, char *const *args);
int cli_export(int n_args, char *const *args);
int cli_fsck(int n_args, char *const *args);
int cli_gc(int n_args, char *const *args);
int cli_history(int n_args, char *const *args);
int cli_import(int n_args, char *const *args);
int cli_inspect(int n_args, char *const *args);
int cli_key(int n_args, char *const *args);
int cli_mv(int n_args, char *const *args);
int cli_rebuild(int n_args, char *const *args);
int cli_repos(int n_args, char *const *args);
int cli_reload(int n_args, char *const *args);
int cli_restore(int n_args, char *const *args);
int cli_rm(int n_args, char *const *args);
int cli_rollback(int n_args, char *const *args);
int cli_scrub(int n_args, char *const *args);
int cli_show_config(int n_args, char *const *args);
int cli_stats(int n_args, char *const *args);
int cli_tags(int n_args, char *const *args);
int cli_trash(int n_args, char *const *args);
int cli_user(int n_args, char *const *args);
