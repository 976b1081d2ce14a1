/*
 * htpasswd - accounts in a file of NAME:HASH lines, as Apache's htpasswd -B writes them.
 *
 * W1  Only bcrypt ($2b$ and $2y$) of cost HTPASSWD_COST_MIN to HTPASSWD_COST_MAX is taken; anything else in the file refuses
 *     all of it, naming the line.
 * W2  A password is checked as a whole: more than 72 bytes, of which bcrypt would see 72 only, never match.
 * W3  Whether there is such an account shows neither in the answer nor in the time it takes.
 * W4  Edits replace the file as a whole, one editor at a time.
 * Ownership  counted references; a loaded file does not change.
 * Threads    any; checks burn CPU for as long as the cost says, edits block.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define HTPASSWD_COST_MIN 5
#define HTPASSWD_COST_MAX 16
#define HTPASSWD_COST_PRESET 10
#define HTPASSWD_FILE_MAX (64u * 1024 * 1024)
#define HTPASSWD_LINE_MAX 512
#define PASSWORD_BYTES_MAX 72

struct htpasswd;

/* path is for messages. */
MUST_CHECK enum err_kind htpasswd_parse(struct str text, const char *path, struct htpasswd **ret,
					struct err *e);
MUST_CHECK enum err_kind htpasswd_load(const char *path, struct htpasswd **ret, struct err *e);
struct htpasswd *htpasswd_get(struct htpasswd *h);
void htpasswd_put(struct htpasswd **take);
#define AUTO_HTPASSWD CLEANUP(htpasswd_put) struct htpasswd

size_t htpasswd_count(const struct htpasswd *h);
struct str htpasswd_name(const struct htpasswd *h, size_t i); /* in order */

/* Is this the account's password?  ERR_LOGIN if not, or if there is no such account. */
MUST_CHECK enum err_kind htpasswd_check(const struct htpasswd *h, struct str name,
					struct str password, struct err *e);
/* A number that another password changes: 0 if there is no such account. */
uint64_t htpasswd_version(const struct htpasswd *h, struct str name);

/* ERR_INVALID: the name cannot be an account's, or the password is empty, too long or has a NUL. */
MUST_CHECK enum err_kind htpasswd_valid(struct str name, struct str password, struct err *e);
/*
 * Sets an account's password; the file is made if need be.  ERR_EXISTS or ERR_NOT_FOUND if must_be_new says so.
 * htpasswd_remove: ERR_NOT_FOUND.  Other lines, comments too, stay as they are.
 */
MUST_CHECK enum err_kind htpasswd_set(const char *path, struct str name, struct str password,
				      unsigned cost, bool must_be_new, struct err *e);
MUST_CHECK enum err_kind htpasswd_remove(const char *path, struct str name, struct err *e);
