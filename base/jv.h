/*
 * jv - strict JSON values (RFC 8259) on jansson; the only file that includes jansson.h.
 *
 * J1  Parsing refuses duplicate keys, bad UTF-8, NUL in strings, numbers that do not fit, anything after the
 *     value, and nesting deeper than asked for: two parsers never see two documents in the same bytes.
 * Ownership  const struct jv * borrows from the value it came from; jv_free and every `take` parameter consume.
 * Threads    one thread at a time per value.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct jv;

/* ERR_INVALID with the position for anything that is not exactly one object. */
MUST_CHECK enum err_kind jv_parse_object(struct str in, unsigned depth_max, struct jv **ret,
					 struct err *e);
/* The same for exactly one array. */
MUST_CHECK enum err_kind jv_parse_array(struct str in, unsigned depth_max, struct jv **ret,
					struct err *e);
/* As jv_parse_object for documents of Go's encoder, whose integers go up to 2^64-1: jv_u64 reads all of them. */
MUST_CHECK enum err_kind jv_parse_object_u64(struct str in, unsigned depth_max, struct jv **ret,
					     struct err *e);
void jv_free(struct jv **take);
#define AUTO_JV CLEANUP(jv_free) struct jv

/* Reading: NULL or false where the value is absent or of another type; NULL is taken as absent. */
const struct jv *jv_member(const struct jv *object, const char *key);
const struct jv *jv_at(const struct jv *array, size_t i);
size_t jv_count(const struct jv *array); /* 0 for anything but an array */
bool jv_is_object(const struct jv *j);
bool jv_is_array(const struct jv *j);
bool jv_text(const struct jv *j, struct str *ret);
bool jv_uint(const struct jv *j, uint64_t *ret); /* an integer >= 0; 1.0 is none */
bool jv_int(const struct jv *j, int64_t *ret);   /* an integer */
bool jv_u64(const struct jv *j, uint64_t *ret);  /* as jv_uint, up to 2^64-1 */
bool jv_bool(const struct jv *j, bool *ret);
bool jv_is_true(const struct jv *j);
bool jv_is_false(const struct jv *j);
bool jv_is_null(const struct jv *j);     /* the literal null, or absent */
const char *jv_type(const struct jv *j); /* "a string", "an object", ... for messages */

bool jv_has_members(const struct jv *object); /* false for anything but an object */
/* Members of an object one by one: start with *iter NULL, ends with false. */
bool jv_next(const struct jv *object, void **iter, const char **key, const struct jv **value);

/*
 * Builds a value by jansson's pack format ("{s:s%, s:I, s:o}"; "s%" takes pointer and size_t).  NULL if anything
 * failed; an argument of format "o" is consumed in every case, and a NULL one makes the whole fail.
 */
struct jv *jv_pack(const char *fmt, ...);
struct jv *jv_new_array(void);
/* An integer of any size; for readers that take such: jv_parse_object_u64. */
struct jv *jv_new_u64(uint64_t v);
struct jv *jv_new_texts(const char *const *texts, size_t n); /* NULL if one is no UTF-8 */
/* A second owner of the same value: neither may be changed afterwards. */
struct jv *jv_share(const struct jv *v);
/* False on failure; consumes `take` in every case. */
MUST_CHECK bool jv_append(struct jv *array, struct jv *take);
MUST_CHECK bool jv_set(struct jv *object, const char *key, struct jv *take);

/* Compact text onto b.  NULL, or no memory, shows as b->failed. */
void jv_dump(const struct jv *v, struct sbuf *b);
/* The same for people: a member a line, each level indented by so many blanks. */
void jv_dump_pretty(const struct jv *v, unsigned indent, struct sbuf *b);
