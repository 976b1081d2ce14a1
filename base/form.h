/*
 * form - takes a structure of a configuration list apart: each member once, none that is not known, messages with the line.
 *
 * Sequence  form_open; form_* for each member that may be there; form_close.  What is wrong first is kept, and told by
 *           form_close; what was read before that is not to be used.
 * Ownership  texts and values are borrowed from the structure; names of members stay where they are.
 * Threads    one at a time per object.
 */
#pragma once

#include "base/jv.h"

#define FORM_LINE "@line" /* the member that has an object's line; no other name has an @ */
#define FORM_MEMBERS_MAX 64

struct form {
	const char *what; /* "access" */
	const struct jv *object;
	unsigned long long line;
	uint64_t taken; /* the i'th member was asked for */
	size_t n_known;
	const char *known[FORM_MEMBERS_MAX]; /* what was asked for, for whoever misspelt one */
	enum err_kind failed;
	struct err failure;
};

void form_open(struct form *f, const char *what, const struct jv *object);
bool form_has(const struct form *f, const char *name);
/* Empty if it is not there, which is a failure unless it is optional. */
struct str form_text(struct form *f, const char *name, bool required);
/* The same, NUL-terminated. */
const char *form_z(struct form *f, const char *name, bool required);
bool form_flag(struct form *f, const char *name);
/* A list of texts, or one text, which stands for a list of one: their number, 0 if it is not there. */
size_t form_count(struct form *f, const char *name, bool required);
/* The i'th of them; form_count was called. */
struct str form_item(struct form *f, const char *name, size_t i);
/* An object, or NULL. */
const struct jv *form_object(struct form *f, const char *name);
/* A list of objects, or NULL. */
const struct jv *form_objects(struct form *f, const char *name);

void form_fail(struct form *f, enum err_kind k, const char *fmt, ...) PRINTF(3, 4);
MUST_CHECK enum err_kind form_close(struct form *f, struct err *e);
