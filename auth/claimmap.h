/*
 * claimmap - who the bearer of an OpenID token is here: rules of the configuration from claims to a name and groups.
 *
 *   map:
 *     - {when: {namespace: team, ref_protected: "true"}, name: "${project_path}", groups: [ci, "${groups}"]}
 *
 * The first rule counts of whose claims each matches one of its patterns (glob.h).  A claim within another is named with a
 * slash: kubernetes.io/namespace.  A group that is nothing but a claim with a list stands for all of the list.
 * M1  A token that no rule is for, or that lacks a claim the rule uses, is nobody's.
 * M2  Claims are encoded (name_encode): no two values of one look the same.
 * M3  Groups are those of this token alone.
 * Ownership  a map borrows from the configuration.
 * Threads    a map does not change.
 */
#pragma once

#include "auth/identity.h"
#include "base/form.h"

struct claimmap;

/* Of the member map of an entry; without it, the name is ${sub}.  What is wrong shows in the form. */
MUST_CHECK enum err_kind claimmap_read(struct form *f, struct claimmap **ret, struct err *e);
void claimmap_free(struct claimmap **m);

/* oidc:PROVIDER:NAME, until then.  ERR_LOGIN (M1). */
MUST_CHECK enum err_kind claimmap_identify(const struct claimmap *m, const struct jv *claims,
					   const char *provider, uint64_t until_wall_ms,
					   struct identity **ret, struct err *e);
