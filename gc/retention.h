/*
 * retention - rules that say which tags of a repository stay, and how long manifests without a tag do.
 *
 * The rules are the list option "retention".  The first one with a pattern that matches a repository is its rule:
 *   repositories   patterns (base/glob.h)
 *   keep_last      so many tags, the ones pushed last
 *   keep_tags      tags that match one of these patterns
 *   keep_pushed    tags pushed within this time
 *   keep_pulled    tags pulled within this time
 *   untagged_keep  instead of gc.untagged_keep, for these repositories: a time, or never
 * A tag stays if any keep_.. of the rule says so; without any of them all tags stay.
 * Ownership  counted references.
 * Threads    any; rules do not change.
 */
#pragma once

#include "base/faults.h"
#include "base/jv.h"
#include "storage/store.h"

struct retention;
struct retention_rule;

/* rules is the option's value; ERR_INVALID names the line.  all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind retention_new(const struct jv *rules, struct faults *all,
				       struct retention **ret, struct err *e);
struct retention *retention_get(struct retention *r);
void retention_put(struct retention **take);

/* The repository's rule, or NULL. */
const struct retention_rule *retention_find(const struct retention *r,
					    const struct repo_name *repo);
bool retention_has_tag_rules(const struct retention *r);
/* The rule's own, or preset. */
uint64_t retention_untagged_keep(const struct retention_rule *rule, uint64_t preset_ms);

/*
 * Calls fn for each tag of the repository with the decision and its reason.  now_ms is what the wall clock says, or a
 * steady clock that does not jump.  fn must not keep what it is given.
 */
typedef enum err_kind retention_fn(void *arg, const struct tag_item *tag, bool keeps,
				   const char *reason, struct err *e);
MUST_CHECK enum err_kind retention_walk(const struct retention_rule *rule, struct store *st,
					const struct repo_name *repo, uint64_t now_ms,
					retention_fn *fn, void *arg, struct err *e);
