/*
 * network_run - the networks of a container that is made: options of create and run become the commands that its shim runs
 * (record.h: net_up, net_down).
 *
 * Everything is checked when the container is made, so that what is wrong is told then.
 * Threads  one.
 */
#pragma once

#include "runtime/cli/ctl.h"

/*
 * Reads the options, and adds the preset network where none is named: that of BERTH_NETWORK, or "berth", or of an ordinary
 * user "pasta", or where there is neither, which is told, "none" (ADR 35).  *ret_namespace is what the bundle is to have:
 * "none", "host", "private" or "ns:PATH".  ERR_INVALID, ERR_UNSUPPORTED for what the networks chosen cannot be asked for;
 * ERR_IN_USE: the other container does not run.
 */
MUST_CHECK enum err_kind network_choose(struct ctl *t, struct network_options *o,
					const char **ret_namespace, struct err *e);
/* Fills net_up and net_down; etc is the directory of hosts and resolv.conf. */
MUST_CHECK enum err_kind network_commands(struct ctl *t, const struct network_options *o,
					  const char *hostname, const char *etc, struct record *r,
					  struct err *e);
