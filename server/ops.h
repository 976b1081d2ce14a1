/*
 * ops - what an administrator asks for, as operations by name: the same for a running daemon, behind its socket
 * (admin.h), and for a command that opens the root itself.
 *
 * An operation takes a JSON object and emits objects, one for each thing it tells of; the last one is its result.
 * Threads  any; operations may take long.
 */
#pragma once

#include "gc/gc.h"
#include "gc/scrubber.h"
#include "server/conf.h"
#include "server/live.h"
#include "server/named.h"

struct ops {
	const struct conf *conf; /* at the start */
	struct live *live;       /* NULL: no daemon, and conf does not change */
	struct store *store;
	struct gc *gc;
	struct scrubber *scrubber;
	struct events *events;       /* NULL: this process serves nobody */
	_Atomic unsigned *followers; /* calls that wait for events; with events */
	_Atomic bool stopping;       /* after ops_stop: what takes long ends early */
};

/*
 * Opens the store, which is made unless it must exist, and what works on it, as conf says; nothing runs yet.  To be closed
 * whatever the result.
 */
MUST_CHECK enum err_kind ops_open(struct ops *o, bool must_exist, struct err *e);
/* What runs ends early, and nothing begins any more. */
void ops_stop(struct ops *o);
void ops_close(struct ops *o);

/* What is made ready before a reload is certain; zeros: nothing. */
struct ops_change {
	struct retention *retention;
	struct gc_options gc;
	struct scrubber_options scrub;
	struct store_options store;
	struct events_change *events;
};
/* Can it go on with the option's value in c, or does that need a restart? */
bool ops_can_take(const struct ops *o, const char *key, const struct conf *c);
MUST_CHECK enum err_kind ops_prepare(struct ops *o, const struct conf *c, struct ops_change *ret,
				     struct err *e);
/* Counts at once, so it comes last of all that can fail. */
MUST_CHECK enum err_kind ops_take_quotas(struct ops *o, const struct conf *old,
					 const struct conf *new, struct err *e);
void ops_commit(struct ops *o, struct ops_change *change);
void ops_change_clear(struct ops_change *change);

/* What conf says about the store. */
struct store_options ops_store_options(const struct conf *c, bool must_exist); /* without quotas */

/* What concerns all is for those who may see this; no repository has such a name. */
#define OPS_REGISTRY STR("_registry")

/* Consumes the item.  False if nobody listens any more: the operation is to end. */
typedef bool op_emit_fn(void *arg, struct jv *take);
struct op_call {
	const struct ops *ops;
	const struct jv *args;
	op_emit_fn *emit;
	void *emit_arg;
	/* Is somebody there still?  NULL: that is not known before something is emitted. */
	bool (*is_heard)(void *emit_arg);
	bool listener_gone;
	const struct change_guard *guard; /* who asks, for the reflog */
	/* Which repositories lists may tell of; NULL: all. */
	bool (*may_see)(const void *arg, struct str repo);
	const void *see_arg;
};

/* A process on this machine that asks: "uid:0". */
#define OPS_WHO_MAX sizeof("uid:4294967295")
struct change_guard ops_local_guard(unsigned uid, char buf[static OPS_WHO_MAX]);

typedef enum err_kind op_fn(struct op_call *c, struct err *e);
struct op {
	const char *name;
	op_fn *run;
};
/* NULL if there is none of this name. */
const struct op *op_find(struct str name);

/* For operations. */
void op_emit(struct op_call *c, struct jv *take);
bool op_flag(const struct op_call *c, const char *name);
bool op_number(const struct op_call *c, const char *name, uint64_t *ret);
bool op_text(const struct op_call *c, const char *name, struct str *ret);
/* False if the daemon is about to end, or nobody listens. */
bool op_goes_on(const struct op_call *c);
/* The argument must name something that there can be. */
MUST_CHECK enum err_kind op_named(const struct op_call *c, const char *name, struct named *ret,
				  struct err *e);
/* The argument "directory", which the command line made absolute. */
MUST_CHECK enum err_kind op_directory(const struct op_call *c, const char **ret, struct err *e);

/* n (absent: all), last and pattern, of lists. */
struct op_page {
	uint64_t n;
	struct str last, pattern; /* p is NULL: from the start, all */
};
MUST_CHECK enum err_kind op_page_parse(const struct op_call *c, struct op_page *ret, struct err *e);
bool op_page_takes(const struct op_page *p, struct str name);
/* What a list ends with: how many there were, and after which one it goes on (NULL: that was all). */
void op_emit_end(struct op_call *c, uint64_t count, const char *next);
/* Emits what repos tells of one repository. */
MUST_CHECK enum err_kind op_repo(struct op_call *c, const struct repo_name *repo, struct err *e);
/* A time as text, or nothing for 0: for a member of format "s*". */
const char *op_time(uint64_t wall_ms, char buf[static 32]);

op_fn op_stats, op_repos, op_tags;
op_fn op_inspect;
op_fn op_rm, op_cp, op_mv;
op_fn op_history, op_rollback;
op_fn op_events;
op_fn op_backup;
op_fn op_import, op_export;
op_fn op_gc, op_gc_pause, op_gc_resume, op_gc_status;
op_fn op_reload;
op_fn op_fsck, op_scrub, op_scrub_status;
op_fn op_trash_ls, op_trash_restore, op_trash_empty;
/* These open the root themselves: ops has a configuration only. */
op_fn op_rebuild, op_restore;
