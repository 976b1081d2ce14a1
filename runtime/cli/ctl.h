/*
 * ctl - what several commands do with containers: make, start, talk to, stop and remove them.
 *
 * R1  A container's shim is asked for what it can do; what it left behind when it was killed is done without it.
 */
#pragma once

#include "runtime/bundle/bundle.h"
#include "runtime/cli/image.h"
#include "runtime/container/containers.h"
#include "runtime/container/usermap.h"
#include "runtime/image/prune.h"
#include "runtime/shim/protocol.h"

struct ctl {
	struct cli *c;
	struct containers cs;
	struct jv *said; /* with --json: what a ctl_fn has to say; NULL: nothing yet */
};
void ctl_close(struct ctl *t);
#define AUTO_CTL CLEANUP(ctl_close) struct ctl
#define CTL_INIT                                                                                   \
	(struct ctl)                                                                               \
	{                                                                                          \
		.cs = {.dir = -1, .names = -1, .state_dir = -1 }                                   \
	}
MUST_CHECK enum err_kind ctl_open(struct cli *c, struct ctl *ret, struct err *e);

/* Removes content that neither names nor containers need; ERR_IN_USE while somebody pulls or starts. */
MUST_CHECK enum err_kind ctl_prune(struct ctl *t, struct images *im, struct pruned *ret,
				   struct err *e);

/* --- Making --- */

enum pull_policy { PULL_MISSING, PULL_ALWAYS, PULL_NEVER, PULL_NEWER };

#define STOP_NEVER_MS (UINT64_C(36500) * 24 * 3600 * 1000) /* as good as no limit */

/* As they were typed; network_run.h makes something of them. */
struct network_options {
	struct text_list networks, publish, ips, dns, dns_searches, dns_options, hosts, aliases;
	const char *mac;
};

struct make_options {
	struct bundle_options bundle;
	struct network_options network;
	struct registry_args registry;
	const char *image, *name, *platform;
	const char *userns; /* as it was typed; NULL */
	struct usermap_wish ids;
	struct text_list
	    accounts;       /* files of /etc that were made for this container; ctl_make's own */
	const char *rootfs; /* a directory in place of an image; NULL */
	enum pull_policy pull;
	enum overlay_driver overlay;
	bool quiet, stdin_open, auto_remove;
	enum restart_policy restart;
	uint64_t restart_max;
	const char *stop_signal;
	uint64_t stop_timeout_ms;
	enum log_format log_format;
	uint64_t log_bytes_max, log_files_max;
	bool no_health;
	const char *health_cmd;
	uint64_t health_interval_ms, health_timeout_ms, health_start_ms, health_retries;
	enum health_action health_action;
};
/* Locked. */
MUST_CHECK enum err_kind ctl_make(struct ctl *t, const struct make_options *o,
				  struct container *ret, struct err *e);

/* --- Running --- */

/* attached: our end of a connection is returned in *ret_attached, as by SHIM_ATTACH before any output; NULL: none. */
MUST_CHECK enum err_kind ctl_start(struct ctl *t, struct container *c, int *ret_attached,
				   struct err *e);
MUST_CHECK enum err_kind ctl_connect(struct ctl *t, struct container *c, int *ret, struct err *e);
MUST_CHECK enum err_kind ctl_send(int fd, char type, const char *p, size_t n, struct err *e);
/* A request that is answered by SHIM_DONE or SHIM_EXIT, whose number *ret_exit gets (may be NULL). */
MUST_CHECK enum err_kind ctl_ask(struct ctl *t, struct container *c, char type, const char *text,
				 int *ret_exit, struct err *e);
/* Ends it, if it runs. */
MUST_CHECK enum err_kind ctl_stop(struct ctl *t, struct container *c, uint64_t timeout_ms,
				  struct err *e);
/* The caller holds its lock.  ERR_IN_USE if it runs, unless forced. */
MUST_CHECK enum err_kind ctl_remove(struct ctl *t, struct container *c, bool force, struct err *e);
/* Removes one that has ended and told so; its shim may still be about to.  With --rm its anonymous volumes go, too. */
MUST_CHECK enum err_kind ctl_remove_ended(struct ctl *t, struct container *c, struct err *e);

/*
 * Files for /etc in which the caller has a name by these ids, made in etc of the image's: ret_files gets the names of those
 * that are needed.
 */
MUST_CHECK enum err_kind ctl_put_accounts(int root, int etc, uint64_t uid, uint64_t gid,
					  struct arena *arena, struct text_list *ret_files,
					  struct err *e);
/* Makes what the bundle wants, filled from the image's root; *ret_guard is to be held until the record is written. */
MUST_CHECK enum err_kind ctl_make_volumes(struct ctl *t, const struct bundle *b, int root,
					  const struct idmaps *ids, int *ret_guard, struct err *e);
/* Removes volumes by their names, but those that another container has. */
MUST_CHECK enum err_kind ctl_drop_volumes(struct ctl *t, const struct text_list *names,
					  struct err *e);

/* Signals the process of a container whose shim is gone, if it is still that process; wait: until it has ended. */
MUST_CHECK enum err_kind ctl_signal_orphan(const struct status *s, int sig, bool wait,
					   struct err *e);
/* runtime COMMAND... ID; what it prints goes to out (may be NULL). */
MUST_CHECK enum err_kind ctl_runtime(struct ctl *t, const struct container *c,
				     const char *const *args, struct sbuf *out, struct err *e);
/* The layers that a container has below its own changes. */
MUST_CHECK enum err_kind ctl_layers(struct images *im, const struct record *r,
				    struct layer_list *ret, struct err *e);
/*
 * The root that a container sees, with its mounts: all of them while it runs, else volumes and directories of the host, and
 * this process is in a mount namespace of its own from then on.  The caller holds its lock unless it runs.  Changes made
 * there are the container's.
 */
MUST_CHECK enum err_kind ctl_files(struct ctl *t, struct container *c, const struct status *now,
				   int *ret, struct err *e);
/* A file of JSON in a container's directory. */
MUST_CHECK enum err_kind ctl_read_json(const struct container *c, const char *name, struct jv **ret,
				       struct err *e);
/* A program of ours, by its name: beside this one, or in libexec. */
const char *ctl_program(struct ctl *t, const char *name);

/*
 * Calls fn for each container named on the command line, reports on each (report.h; fn may add members to t->said, which
 * is not NULL with --json), and goes on after failures: the exit status.
 */
typedef enum err_kind ctl_fn(struct ctl *t, struct container *c, void *arg, struct err *e);
#define CTL_PRINT_NAMES 1u
#define CTL_IGNORE_MISSING 2u
int ctl_for_each(struct cli *c, unsigned flags, ctl_fn *fn, void *arg);
/* The same for one, of which fn prints, or with --json leaves in t->said, all there is. */
int ctl_for_one(struct cli *c, ctl_fn *fn, void *arg);
/* {"name", "id"} */
struct jv *ctl_names(const struct container *c);
