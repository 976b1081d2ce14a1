/*
 * cli - the command line: global options, and a table of commands.
 */
#pragma once

#include "runtime/oci/cli/opt.h"
#include "runtime/oci/cli/report.h"
#include "runtime/oci/run/runtime.h"

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_EXEC_FAILED 255 /* exec: the command could not be run */
#define EXIT_NO_COMMAND 3    /* an unknown command */
#define EXIT_SIGNAL_BASE 128 /* and the number of the signal that ended the process */

struct cli {
	struct runtime rt;
	struct arena arena; /* for the whole of one command */
	const char *criu;   /* --criu, or NULL */
	char **args;        /* what are no options */
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
	const char *usage;         /* behind the name */
	const char *doc;
};

extern const struct command cmd_create, cmd_start, cmd_run, cmd_state, cmd_kill, cmd_delete,
    cmd_exec, cmd_list, cmd_ps, cmd_pause, cmd_resume, cmd_update, cmd_events, cmd_spec,
    cmd_features, cmd_checkpoint, cmd_restore;

int cli_main(int argc, char **argv);

/* ---- for commands ---- */

/* Reports the error with the words in front; EXIT_FAILED. */
int cli_fail(const char *prefix, const struct err *e);
/* Writes to stdout; EXIT_OK, or EXIT_FAILED if that does not work. */
int cli_print(const struct sbuf *text);
/* The directory of containers; makes it if `make`. */
MUST_CHECK enum err_kind cli_open_root(struct cli *c, bool make, struct err *e);
/* The container that the first argument names. */
MUST_CHECK enum err_kind cli_open_container(struct cli *c, struct container *ret, struct err *e);
/*
 * --preserve-fds: what is to be handed on must be open; other strays of the caller are marked close-on-exec, so that
 * no program started from here gets them.
 */
MUST_CHECK enum err_kind cli_check_fds(const struct opt_i64 *preserve, unsigned *ret,
				       struct err *e);
/* A whole file; "-" is stdin. */
MUST_CHECK enum err_kind cli_read_file(const char *path, struct sbuf *ret, struct err *e);
