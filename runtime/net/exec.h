/*
 * exec - plugins as programs (CNI spec 1.1.0 section 2): found in a search path, run, bounded.
 *
 * X1  A plugin gets its input on stdin and none of our descriptors but the one that the caller names.
 * X2  It runs in a process group of its own.  When its time is up, or it writes more than it may, the whole group is
 *     killed, and the call fails.
 * X3  The call is over when the plugin itself has ended: what it started and left behind holds nobody up.
 * X4  A program that is just being written (ETXTBSY) is tried again for EXEC_BUSY_MS.
 * Ownership  the caller initialises the output before, and clears it after, a call that fails as well.
 * Threads    any.  Descriptors 0 to 2 of the process are open.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define EXEC_OUTPUT_MAX (4u * 1024 * 1024) /* of stdout */
#define EXEC_LOG_MAX (64u * 1024)          /* of stderr; what is more is thrown away */
#define EXEC_BUSY_MS 5000u
#define EXEC_PATH_MAX 4096
#define EXEC_ARGS_MAX 256

struct exec_call {
	const char *path;
	const char *const
	    *args; /* behind the path, up to a NULL, at most EXEC_ARGS_MAX; NULL: none */
	char *const *env;
	struct str input;
	uint64_t timeout_ms;
	int keep_fd; /* what the plugin gets as its descriptor 3; -1: nothing */
};

struct exec_output {
	int status; /* as of waitpid */
	struct sbuf out, log;
};

void exec_output_init(struct exec_output *o);
void exec_output_clear(struct exec_output *o);
#define AUTO_EXEC_OUTPUT CLEANUP(exec_output_clear) struct exec_output

/*
 * The first regular file of that name in the directories.  ERR_INVALID for a type that is no file name;
 * ERR_NOT_FOUND names the directories.
 */
MUST_CHECK enum err_kind exec_find(struct str type, const char *const *dirs, size_t n_dirs,
				   char ret[static EXEC_PATH_MAX], struct err *e);

/* ERR_OK whatever the exit status is.  ERR_TOO_LARGE over EXEC_OUTPUT_MAX; ERR_IO when its time is up. */
MUST_CHECK enum err_kind exec_run(const struct exec_call *c, struct exec_output *ret,
				  struct err *e);
