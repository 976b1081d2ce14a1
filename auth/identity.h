/*
 * identity - who asks, once that is known: a value that does not change, shared by requests and caches.
 *
 * It is written KIND:NAME, such as user:alice or key:ci, in rules, tokens and the log.  The kind says who vouches for the
 * name, so the same name from two sources is two identities.
 * Ownership  counted references; the last identity_put frees.
 * Threads    any.
 */
#pragma once

#include <stdatomic.h>

#include "base/err.h"
#include "base/str.h"

enum identity_kind {
	IDENTITY_ANONYMOUS, /* nobody in particular; has no name */
	IDENTITY_USER,      /* has a password here or in a directory */
	IDENTITY_KEY,       /* a robot, known by a key of ours */
	IDENTITY_CERT,      /* a name in a client certificate */
	IDENTITY_OIDC,      /* PROVIDER:NAME, of a workload's token */
	IDENTITY_ISSUER,    /* ISSUER:NAME, of a token that another token server gave */
	IDENTITY_KIND_N
};

/* What may be done with a repository, as bits. */
enum action {
	ACTION_PULL = 1u << 0,
	ACTION_PUSH = 1u << 1,
	ACTION_DELETE = 1u << 2,
	ACTION_ADMIN = 1u << 3, /* all of it, and moving tags that are immutable */
};
#define ACTIONS_ALL ((unsigned)(ACTION_PULL | ACTION_PUSH | ACTION_DELETE | ACTION_ADMIN))

#define NAME_BYTES_MAX 255                      /* of an identity or a group */
#define IDENTITY_TEXT_MAX (NAME_BYTES_MAX + 16) /* with its kind */

/* Actions on the repositories of a pattern (glob.h). */
struct grant {
	struct str repositories;
	unsigned actions;
};

struct grants {
	size_t n;
	const struct grant *items;
};

struct identity {
	_Atomic unsigned refs;
	enum identity_kind kind;
	struct str name; /* both end with a NUL */
	size_t n_groups;
	const struct str *groups;
	/* Of a key, or of a token of another server: no more than this; alone_suffice: nor less, whatever the rules allow. */
	bool has_grants, grants_suffice;
	struct grants grants;
	/* Of a token: what was asked for and granted. */
	bool has_scope, scope_has_catalog;
	struct grants scope;
	uint64_t until_wall_ms; /* counts up to then; 0: no end of its own */
	/* What tokens for it are tied to: the password (htpasswd_version, 0 if it is kept elsewhere), the key's id. */
	uint64_t version;
	struct str key;
};

/* Copies *like, whose refs does not matter. */
MUST_CHECK enum err_kind identity_new(const struct identity *like, struct identity **ret,
				      struct err *e);
struct identity *identity_get(struct identity *id); /* one more reference */
void identity_put(struct identity **take);          /* NULL is let be */
#define AUTO_IDENTITY CLEANUP(identity_put) struct identity

bool grants_cover(const struct grants *g, struct str repository, enum action action);
bool identity_in_group(const struct identity *id, struct str group);
const char *identity_text(const struct identity *id, char buf[static IDENTITY_TEXT_MAX]);
/* Without kind: user.  False for an unknown kind, or a name that cannot be one. */
MUST_CHECK bool identity_parse(struct str text, enum identity_kind *ret_kind, struct str *ret_name);

/* UTF-8 that can be printed, without blanks, quotes, and what patterns and lists are made of; 1 to NAME_BYTES_MAX bytes. */
bool name_is_valid(struct str name);
/* Any text as part of a name: what cannot be in one, and %, is percent-encoded. */
void name_encode(struct sbuf *b, struct str text);

/* "pull,push"; "none" for none. */
#define ACTIONS_TEXT_MAX sizeof("pull,push,delete,admin")
const char *actions_text(unsigned actions, char buf[static ACTIONS_TEXT_MAX]);
MUST_CHECK bool action_parse(struct str in, enum action *ret);
