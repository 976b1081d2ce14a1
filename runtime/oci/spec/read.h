/*
 * read - JSON objects into C structures by tables, with errors that name the property.
 *
 * A shape is the table of an object's properties; spec_read() fills a structure from an object by it.
 *
 * D1  Every error starts with the property's path in the document: "process.rlimits[2].type: ...".
 * D2  Properties that no table knows are ignored (config.md "Extensibility"); null counts as absent.
 * D3  What is absent stays zero: an option that is unset, an enum of value 0, a NULL pointer, an empty list.
 * Ownership  texts point into the document; everything else lives in the arena.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/jv.h"

#define LIST(T)                                                                                    \
	struct {                                                                                   \
		T *v;                                                                              \
		size_t n;                                                                          \
	}

struct texts {
	const char **v; /* NULL after the last */
	size_t n;
};

struct numbers {
	uint32_t *v;
	size_t n;
};

struct pair {
	const char *key, *value;
};

struct opt_bool {
	bool set, v;
};
struct opt_u32 {
	bool set;
	uint32_t v;
};
struct opt_u64 {
	bool set;
	uint64_t v;
};
struct opt_i64 {
	bool set;
	int64_t v;
};

enum field_kind {
	FIELD_TEXT,   /* const char * */
	FIELD_BOOL,   /* bool */
	FIELD_U32,    /* uint32_t */
	FIELD_U64,    /* uint64_t */
	FIELD_I64,    /* int64_t */
	FIELD_OBOOL,  /* struct opt_bool */
	FIELD_OU32,   /* struct opt_u32 */
	FIELD_OU64,   /* struct opt_u64 */
	FIELD_OI64,   /* struct opt_i64 */
	FIELD_TEXTS,  /* struct texts */
	FIELD_U32S,   /* struct numbers */
	FIELD_PAIRS,  /* LIST(struct pair), from an object of strings */
	FIELD_ENUM,   /* int: 1 + index in names */
	FIELD_FLAGS,  /* unsigned: bit of the index in names, from an array of strings */
	FIELD_ENUMS,  /* struct numbers: 1 + index in names each */
	FIELD_OBJECT, /* pointer to a structure of the shape */
	FIELD_INLINE, /* the structure itself */
	FIELD_LIST,   /* LIST of structures */
	FIELD_NAMED, /* LIST of structures that begin with const char *name, from an object of objects */
};

#define FIELD_NEEDED 1u   /* must be there */
#define FIELD_NONEMPTY 2u /* a text or list that is there must not be empty */
#define FIELD_ABSOLUTE 4u /* a text that is there must start with a slash */

/* Where a value stands: a chain through the readers' stack frames. */
struct at {
	const struct at *up;
	const char *key; /* NULL: index counts */
	size_t index;
	const struct jv *v;
};

struct reader {
	struct arena *arena;
	struct err *e;
};

struct shape;

struct field {
	const char *key;
	enum field_kind kind;
	unsigned flags;
	size_t offset;
	const struct shape *shape;
	const char *const *names; /* NULL after the last */
};

struct shape {
	size_t size;
	const struct field *fields; /* key NULL after the last */
	/* Rules between the properties of one object; may be NULL. */
	enum err_kind (*check)(struct reader *r, const struct at *at, void *object);
};

#define FIELD(T, m, name, KIND, ...)                                                               \
	{                                                                                          \
		.key = (name), .kind = (KIND), .offset = offsetof(T, m), __VA_ARGS__               \
	}
#define FIELDS_END                                                                                 \
	{                                                                                          \
		.key = NULL                                                                        \
	}

/* Fills *object, which is zeroed, from at->v. */
MUST_CHECK enum err_kind spec_read(struct reader *r, const struct at *at, const struct shape *s,
				   void *object);

/* An error about the value at `at`, or about its member if that is not NULL. */
enum err_kind spec_bad(struct reader *r, const struct at *at, const char *member, const char *fmt,
		       ...) PRINTF(4, 5);
/* Places of a member and of an element of a list, for checks that name them. */
#define AT_MEMBER(parent, name) ((struct at){ .up = (parent), .key = (name) })
#define AT_INDEX(parent, i) ((struct at){ .up = (parent), .index = (i) })
