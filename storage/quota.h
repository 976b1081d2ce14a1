/*
 * quota - how much namespaces may hold: rules about repositories by pattern, and what counts towards each.
 *
 * The rules are the list option "quotas":
 *   repositories   patterns (base/glob.h)
 *   bytes          of content, each digest once in each repository
 *   tags, count    tags in these repositories; repositories
 *   warn           percent of a limit beyond which a log line says so (80)
 * All rules that match a repository hold.
 *
 * J1  Limits hold exactly, whatever happens at once: the committer asks and counts, change by change.
 * J2  Counting costs a push no disk of its own: figures are rows of the index (usage), summed up at the start.
 * J3  What lessens the use is never refused, nor what an administrator brings back.
 * Ownership  by reference: a reload may bring others while somebody looks at these.
 * Threads  quota_note and what follows it: the committer's only.  quotas_get, quotas_put, quota_has_room and quota_status: any.
 */
#pragma once

#include "base/faults.h"
#include "base/jv.h"
#include "base/refname.h"

struct quotas;

#define QUOTA_RULES_MAX 64

/* rules is the option's value; ERR_INVALID names the line.  all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind quotas_new(const struct jv *rules, struct faults *all, struct quotas **ret,
				    struct err *e);
struct quotas *quotas_get(struct quotas *q); /* NULL is let be */
void quotas_put(struct quotas **take);
#define AUTO_QUOTAS CLEANUP(quotas_put) struct quotas

/* The rules for a repository, as bits; 0: none. */
uint64_t quota_rules_of(const struct quotas *q, const struct repo_name *repo);

/* What is used; the differences that a change makes. */
struct quota_use {
	int64_t bytes, tags, repos;
};

/* All counters to zero, before the uses of all repositories are added. */
void quota_reset(struct quotas *q);
void quota_add(struct quotas *q, uint64_t rules, const struct quota_use *u);
/*
 * Would these rules let u be added to what is used and pending?  ERR_DENIED says which limit is in the way, and how much
 * of it is used.
 */
MUST_CHECK enum err_kind quota_check(const struct quotas *q, uint64_t rules,
				     const struct quota_use *u, struct err *e);
/* Counts with the transaction under way; it ends with one of the other two. */
void quota_note(struct quotas *q, uint64_t rules, const struct quota_use *u);
void quota_accept(struct quotas *q);
void quota_drop(struct quotas *q);

/* An early look, for bodies that would be sent for nothing: is there room for n more bytes now? */
MUST_CHECK enum err_kind quota_has_room(const struct quotas *q, const struct repo_name *repo,
					uint64_t n, struct err *e);

struct quota_status {
	const char *pattern;          /* the first one */
	struct quota_use used, limit; /* limit -1: none */
};
/* The i'th rule; false beyond the last. */
bool quota_status(const struct quotas *q, size_t i, struct quota_status *ret);
