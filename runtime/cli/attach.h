/*
 * attach - this process's standard streams connected to a container's, or to one of its commands.
 *
 * A1  Signals that would end this program are passed on, so that they end the other one.
 * A2  A terminal is raw meanwhile, and as it was afterwards; ctrl-p ctrl-q leaves.
 */
#pragma once

#include "runtime/cli/ctl.h"

struct attach {
	struct ctl *t;
	struct container *c;
	int fd; /* a connection to the shim */
	bool with_stdin, terminal;
	bool pass_signals; /* to the container's own process */
};

enum attach_end { ATTACH_EXIT, ATTACH_LEFT, ATTACH_LOST };

/* *ret_code with ATTACH_EXIT. */
MUST_CHECK enum err_kind attach_run(struct attach *a, enum attach_end *ret, int *ret_code,
				    struct err *e);
