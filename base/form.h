/*
 * form - takes a structure of a configuration list apart: each member once, none that is not known, messages with the line.
 *
 * Sequence  form_open; form_* for each member that may be there; form_close.  What is wrong first is kept, and told by
 *           form_close; what was read before that is not to be used.
 * All       who wants to hear of everything that is wrong gives form_open faults: they are told of one fault a member, with
 *           its line, and of what is missing unless a member was misspelt.
 * Ownership  texts and values are borrowed from the structure; names of members stay where they are.
 * Threads    one at a time per object.
 */
#pragma once

#include "base/faults.h"
#include "base/jv.h"

/* Members with lines: that of the object, and with an @ before its name that of a member.  No other name has an @. */
#define FORM_LINE "@line"
#define FORM_MEMBERS_MAX 64
#define FORM_NAME_MAX 64
#define FORM_GAPS_MAX 8
/* Is it none of those? */
static inline bool form_is_member(const char *name)
{
	return name[0] != '@';
}

struct form {
	const char *what; /* "access" */
	const struct jv *object;
	unsigned long long line;
	uint64_t taken; /* the i'th member was asked for */
	size_t n_known;
	const char *known[FORM_MEMBERS_MAX]; /* what was asked for, for whoever misspelt one */
	enum err_kind failed;
	struct err failure;
	struct faults *all;       /* NULL: nobody else listens */
	const char *asked, *told; /* the last member asked for, and the last one with a fault */
	const char *gaps[FORM_GAPS_MAX]; /* what is to be said of members that are not there */
	const char *gap_names[FORM_GAPS_MAX];
	size_t n_gaps;
};

/* all: NULL, or who hears of each fault. */
void form_open(struct form *f, const char *what, const struct jv *object, struct faults *all);
bool form_has(const struct form *f, const char *name);
/* Empty if it is not there, which is a failure unless it is optional. */
struct str form_text(struct form *f, const char *name, bool required);
/* The same, NUL-terminated. */
const char *form_z(struct form *f, const char *name, bool required);
/* NULL if it is not there. */
const char *form_optional(struct form *f, const char *name);
bool form_flag(struct form *f, const char *name);
/* A list of texts, or one text, which stands for a list of one: their number, 0 if it is not there. */
size_t form_count(struct form *f, const char *name, bool required);
/* The i'th of them; form_count was called. */
struct str form_item(struct form *f, const char *name, size_t i);
/* An object, or NULL. */
const struct jv *form_object(struct form *f, const char *name);
/* A list of objects, or NULL. */
const struct jv *form_objects(struct form *f, const char *name);

/* About the member asked for last; only the first about a member counts. */
void form_fail(struct form *f, enum err_kind k, const char *fmt, ...) PRINTF(3, 4);
/* Something is not there; text stays where it is. */
void form_miss(struct form *f, const char *text);
MUST_CHECK enum err_kind form_close(struct form *f, struct err *e);
