/*
 * directory - people in an LDAP directory: who may bind with a password, and which groups have them; the only file that
 * includes ldap.h.
 *
 * D1  Passwords go over TLS (ldaps, or StartTLS that must succeed), or not over a network at all.
 * D2  A name from a client is data in a filter (RFC 4515) and never part of its structure; the same for a name of an entry.
 * D3  Exactly one entry must be found; an empty password binds nobody.
 * D4  Referrals are not followed.  What takes longer than the time-out has failed, and says nothing about anybody.
 * D5  Connections are used again, and replaced when they have died meanwhile.
 * Threads  any; all but open and close block.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct directory;

struct directory_options {
	const char *url; /* ldaps://HOST, ldap://HOST, ldapi://PATH */
	bool start_tls;
	const char *ca; /* file of authorities; NULL: the system's */
	const char *bind_dn,
	    *bind_password;              /* to search with: a name, and a file; NULL: anonymously */
	const char *users, *user_filter; /* where people are; a filter with ${user} */
	const char *user_name;           /* the attribute with their name, as access says it */
	const char *groups, *group_filter; /* NULL: no groups; a filter with ${dn} or ${user} */
	const char *group_name;
	uint64_t timeout_ms;
};

/* ERR_INVALID.  Asks nobody yet. */
MUST_CHECK enum err_kind directory_open(const struct directory_options *o, struct directory **ret,
					struct err *e);
void directory_close(struct directory **take);

#define PERSON_GROUPS_MAX 256
struct person {
	struct sbuf text; /* what the others point into */
	struct str name;
	size_t n_groups;
	struct str groups[PERSON_GROUPS_MAX];
};
void person_clear(struct person *p);
#define AUTO_PERSON CLEANUP(person_clear) struct person

/* ERR_LOGIN: no such person, or not that password.  ERR_AWAY. */
MUST_CHECK enum err_kind directory_check(struct directory *d, struct str name, struct str password,
					 struct person *ret, struct err *e);
/* The person without a password. */
MUST_CHECK enum err_kind directory_find(struct directory *d, struct str name, struct person *ret,
					struct err *e);

/* A filter with values in place of ${user} and ${dn}.  False: too long, or without memory. */
MUST_CHECK bool filter_fill(const char *filter, struct str user, struct str dn, struct sbuf *ret);
