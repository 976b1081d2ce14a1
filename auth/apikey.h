/*
 * apikey - keys that stand for a robot, or for a user with fewer rights: made and revoked by berthd key, a password to any
 * client.
 *
 * Y1  A key is shown once, when it is made; the file has a digest of it.  It is random enough that a plain one will do.
 * Y2  A key that was revoked or has ended is none, from the next look at the file on.
 *
 * A robot's key has grants (identity.h) of its own or, without, what rules allow to key:NAME.  A user's key is user:NAME,
 * limited to its grants, and ends with the account.
 * Ownership  counted references; what was read from the file does not change.
 * Threads    any; edits block.
 */
#pragma once

#include "auth/identity.h"
#include "base/jv.h"

#define APIKEY_ID_BYTES 8
#define APIKEY_SECRET_BYTES 32
#define APIKEY_ID_MAX (2 * APIKEY_ID_BYTES + 1)
#define APIKEY_TEXT_MAX (sizeof("berth_0123456789abcdef_") + 2 * APIKEY_SECRET_BYTES)
#define APIKEY_GRANTS_MAX 64

struct apikey {
	char id[APIKEY_ID_MAX];
	struct str name; /* of the robot, or of the user */
	bool is_user;
	bool has_grants;
	struct grants grants;
	uint64_t made_ms, until_ms; /* wall clock; until 0: for ever */
	struct str by;              /* who made it */
	uint8_t digest[32];
};

struct apikeys;

MUST_CHECK enum err_kind apikeys_parse(struct str text, const char *path, struct apikeys **ret,
				       struct err *e);
/* A file that is not there has no keys. */
MUST_CHECK enum err_kind apikeys_load(const char *path, struct apikeys **ret, struct err *e);
struct apikeys *apikeys_get(struct apikeys *k);
void apikeys_put(struct apikeys **take);
#define AUTO_APIKEYS CLEANUP(apikeys_put) struct apikeys
size_t apikeys_count(const struct apikeys *k);
const struct apikey *apikeys_at(const struct apikeys *k, size_t i);

/* Has the text the form of a key? */
bool apikey_looks_like_one(struct str text);
/* The key that the text is, if it counts now; NULL otherwise. */
const struct apikey *apikeys_find(const struct apikeys *k, struct str text, uint64_t now_wall_ms);
/* By its id, if it counts now. */
const struct apikey *apikeys_by_id(const struct apikeys *k, struct str id, uint64_t now_wall_ms);

/* *like says what it is for; id, made_ms and digest are made here. */
MUST_CHECK enum err_kind apikey_add(const char *path, const struct apikey *like,
				    char ret_text[static APIKEY_TEXT_MAX], struct err *e);
/* One by its id, or all of a name; *ret_n says how many.  ERR_NOT_FOUND. */
MUST_CHECK enum err_kind apikey_remove(const char *path, struct str id_or_name, size_t *ret_n,
				       struct err *e);
