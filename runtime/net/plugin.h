/*
 * plugin - one call of one plugin: environment, input, answer, error (CNI spec 1.1.0 section 2).
 *
 * G1  The environment is this program's own with the six CNI_ variables replaced; all six are always set.
 * G2  An error is what the plugin says on stdout; if it says nothing there, what it says on stderr; if it says nothing
 *     at all, how it ended.
 * Ownership  the caller initialises and clears the failure and the output.
 * Threads    one thread at a time per failure.
 */
#pragma once

#include "runtime/net/exec.h"
#include "runtime/net/name.h"

/* Error codes of the specification that callers may care for. */
enum cni_code {
	CNI_CODE_VERSION = 1,
	CNI_CODE_UNKNOWN_CONTAINER = 3,
	CNI_CODE_TRY_LATER = 11,
	CNI_CODE_NOT_AVAILABLE = 50,
	CNI_CODE_LIMITED = 51,
};

#define PLUGIN_TYPE_MAX 128

/* What a plugin that failed said, whole; struct err has room for the beginning only. */
struct plugin_failure {
	char plugin[PLUGIN_TYPE_MAX]; /* "" if no plugin failed */
	const char *command;          /* "ADD", ... */
	unsigned code;                /* 0 if it gave none */
	struct sbuf msg, details;
};

void plugin_failure_init(struct plugin_failure *f);
void plugin_failure_clear(struct plugin_failure *f);

struct plugin_call {
	const char *command;
	struct str type;
	const char *path;
	const char *container, *netns, *ifname, *args, *search_path; /* "" where there is none */
	struct str input;
	uint64_t timeout_ms;
	int keep_fd;
};

/* ERR_OK if the plugin succeeded; its output is then the answer.  *f is of this call. */
MUST_CHECK enum err_kind plugin_run(const struct plugin_call *c, struct exec_output *ret,
				    struct plugin_failure *f, struct err *e);
