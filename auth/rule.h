/*
 * rule - who may do what with which repositories, as the configuration says it (options access and auth.groups).
 *
 *   - {who: anonymous, repositories: public.., allow: pull}
 *   - {who: [alice, "group:dev"], repositories: [team.., home/${user}..], allow: [pull, push]}
 *   - {who: authenticated, repositories: secret.., deny: [pull, push, delete]}
 *   - {repositories: release.., immutable: "v*"}
 *
 * where .. stands for a slash and two stars.  "anonymous" means nobody in particular: what it is allowed everybody is, and
 * what it is denied is denied only to those who give no name.
 *
 * U1  What no rule allows is denied.
 * U2  A deny that applies wins over any allow, wherever they stand.
 * U3  A pattern has whole components; ${user} in one is the name of the user who asks, as it is, and nobody's else.
 * U4  A key's or token's limits only ever take away; those that suffice by themselves still yield to a deny.
 * Ownership  counted references.
 * Threads    any; a set of rules does not change.
 */
#pragma once

#include "auth/identity.h"
#include "base/faults.h"
#include "base/jv.h"

struct rules;

/* Lists of the configuration, NULL for none.  ERR_INVALID names the line.  all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind rules_parse(const struct jv *access, const struct jv *groups,
				     struct faults *all, struct rules **ret, struct err *e);
struct rules *rules_get(struct rules *r);
void rules_put(struct rules **take);
#define AUTO_RULES CLEANUP(rules_put) struct rules

/* Rules that allow or deny; without any, only what brings its own rights can do something. */
size_t rules_count(const struct rules *r);

enum decision_why {
	WHY_ALLOWED, /* by the rule at line */
	WHY_GRANTED, /* by the key or token itself */
	WHY_NO_RULE,
	WHY_DENIED,       /* by the rule at line */
	WHY_BEYOND_KEY,   /* a rule allows it, the key's or foreign token's limits do not */
	WHY_BEYOND_SCOPE, /* the identity may, but the token was not issued for this */
};

struct decision {
	bool allowed;
	enum decision_why why;
	unsigned long long line; /* of the rule; 0: not known */
};

/* The decision function. */
struct decision rules_decide(const struct rules *r, const struct identity *id,
			     struct str repository, enum action action);
/* The same for the identity itself, whatever its token was issued for. */
struct decision rules_decide_unscoped(const struct rules *r, const struct identity *id,
				      struct str repository, enum action action);
#define DECISION_TEXT_MAX 96
const char *decision_text(const struct decision *d, char buf[static DECISION_TEXT_MAX]);

/* Once set, the tag stays as it is, but for those who have ACTION_ADMIN. */
bool rules_tag_is_immutable(const struct rules *r, struct str repository, struct str tag);
