/*
 * err - the one error type: a kind for the program, a message for the human.
 *
 * E1  A function that fails returns a kind other than ERR_OK and fills *e; on success *e is left alone.
 * E2  Reporting an error never allocates and never changes errno.
 * E3  What reports an error never returns ERR_OK.  The macros below tell that to compilers and analysers.
 * Ownership  struct err lives on the caller's stack; `where` points to static text.
 * Threads    no shared state.
 */
#pragma once

#include "base/compiler.h"

enum err_kind {
	ERR_OK = 0,
	ERR_NOT_FOUND,   /* the thing named is not there */
	ERR_EXISTS,      /* it is there already */
	ERR_INVALID,     /* the input breaks a rule of its format */
	ERR_DIGEST,      /* bytes do not hash to the digest claimed */
	ERR_SIZE,        /* bytes are fewer or more than announced */
	ERR_RANGE,       /* an offset is not where the receiver stands */
	ERR_TOO_LARGE,   /* over a limit of ours */
	ERR_TOO_MANY,    /* over a limit of ours that passes with time */
	ERR_DENIED,      /* known, but not allowed */
	ERR_LOGIN,       /* who asks is not known, or not well enough */
	ERR_AWAY,        /* a service that we ask does not answer, or not as it should */
	ERR_IN_USE,      /* something else refers to it or works on it */
	ERR_REFS,        /* a manifest refers to content that is not there */
	ERR_NO_SPACE,    /* disk or quota full */
	ERR_NO_MEMORY,   /* memory or descriptors exhausted: may pass */
	ERR_UNSUPPORTED, /* known to the specification, not done here */
	ERR_CORRUPT,     /* our own data breaks a rule of FORMAT.md */
	ERR_IO,          /* the system failed */
	ERR_BUG,         /* we failed */
	ERR_KIND_N
};

#define ERR_MSG_MAX 256

struct err {
	enum err_kind kind;
	int sys;           /* errno, or 0 */
	const char *where; /* function that found it */
	char msg[ERR_MSG_MAX];
};

enum err_kind err_set(struct err *e, enum err_kind k, const char *where, const char *fmt, ...)
    PRINTF(4, 5);

/* Reads errno, chooses the kind from it (ENOSPC -> ERR_NO_SPACE, ...) and appends its text. */
enum err_kind err_sys(struct err *e, const char *where, const char *fmt, ...) PRINTF(3, 4);

/* Prefixes context, "context: message"; the kind stays.  Returns e->kind. */
enum err_kind err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

static inline enum err_kind err_reported(enum err_kind k)
{
	if (k == ERR_OK)
		__builtin_unreachable();
	return k;
}
#define err_set(...) err_reported(err_set(__VA_ARGS__))
#define err_sys(...) err_reported(err_sys(__VA_ARGS__))
#define err_wrap(...) err_reported(err_wrap(__VA_ARGS__))

/* The kind that stands for an errno. */
enum err_kind err_kind_of_errno(int sys);

const char *err_kind_text(enum err_kind k);
