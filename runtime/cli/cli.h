/*
 * cli - berth's command line: global options, and a table of commands.
 *
 * Exit status  0 success, 1 failure, 2 usage.  Errors are one line on stderr: the thing, the cause, what to do.
 * Output       every command takes --json: report.h says what it prints then.
 */
#pragma once

#include "base/arena.h"
#include "base/jv.h"
#include "runtime/cli/opt.h"

#define EXIT_FINE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2

#define CLI_UMASK 022

struct cli {
	const char *root;    /* of images and containers: DESIGN.md section 9 */
	const char *state;   /* of what runs; gone after a reboot */
	const char *runtime; /* program; NULL: berth-runtime */
	bool json;           /* print for programs */
	uint64_t files_soft; /* limit of open files before ours was raised */
	struct arena arena;  /* for the whole of one command */
	char **args;         /* what are no options */
	size_t args_n;
	void *options; /* of the command */
};

struct command {
	const char *name;
	int (*run)(struct cli *c); /* the exit status */
	const struct opt *opts;
	size_t options_size;
	size_t args_min, args_max; /* SIZE_MAX: any number */
	bool stops_early;          /* options end at the first argument */
	bool as_user; /* touches no files of images: an ordinary user needs no namespace for it */
	const char *usage; /* behind the name */
	const char *doc;
};

extern const struct command cmd_attach;
extern const struct command cmd_commit;
extern const struct command cmd_copy;
extern const struct command cmd_cp;
extern const struct command cmd_create;
extern const struct command cmd_diff;
extern const struct command cmd_events;
extern const struct command cmd_exec;
extern const struct command cmd_generate_systemd;
extern const struct command cmd_images;
extern const struct command cmd_import;
extern const struct command cmd_inspect;
extern const struct command cmd_kill;
extern const struct command cmd_load;
extern const struct command cmd_login;
extern const struct command cmd_logout;
extern const struct command cmd_logs;
extern const struct command cmd_pause;
extern const struct command cmd_network;
extern const struct command cmd_port;
extern const struct command cmd_prune;
extern const struct command cmd_ps;
extern const struct command cmd_pull;
extern const struct command cmd_push;
extern const struct command cmd_restart;
extern const struct command cmd_rm;
extern const struct command cmd_rmi;
extern const struct command cmd_run;
extern const struct command cmd_save;
extern const struct command cmd_start;
extern const struct command cmd_stats;
extern const struct command cmd_stop;
extern const struct command cmd_tag;
extern const struct command cmd_top;
extern const struct command cmd_unpack;
extern const struct command cmd_unpause;
extern const struct command cmd_volume;
extern const struct command cmd_wait;

/* --- for commands --- */

/* Root of a user namespace, not of the host. */
bool cli_is_in_userns(void);

/* Reports the error; EXIT_FAILED, or EXIT_USAGE for cli_usage. */
int cli_fail(const struct err *e);
int cli_usage(const struct cli *c, const char *fmt, ...) PRINTF(2, 3);
/* A line on stderr that is no error. */
void cli_note(const char *fmt, ...) PRINTF(1, 2);
/* Writes text to stdout; EXIT_FINE, or EXIT_FAILED if that does not work. */
int cli_print(const struct sbuf *text);
/* The same for a value, and a newline; consumes it. */
int cli_print_json(struct jv **take);

/* Appends s with control characters, and what is no UTF-8, as escapes: it comes from images and registries. */
void text_show(struct sbuf *b, struct str s);
/* "1.2 GB", as people count bytes. */
#define TEXT_SIZE_MAX 24
const char *text_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX]);
