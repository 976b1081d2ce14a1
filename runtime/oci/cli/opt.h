/*
 * opt - options of a command by a table, in the spellings that runc's callers use.
 *
 * --name value, --name=value, -name value, -n value, -abc for flags of one letter; "--" ends options.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "runtime/oci/spec/read.h"

enum opt_kind {
	OPT_FLAG,   /* bool */
	OPT_TEXT,   /* const char * */
	OPT_TEXTS,  /* struct texts: may be given more than once */
	OPT_NUMBER, /* struct opt_i64 */
};

struct opt {
	const char *name;
	char letter; /* 0: none */
	enum opt_kind kind;
	size_t offset;
	const char *doc;
};
#define OPTS_END                                                                                   \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/*
 * Fills *out and leaves what are no options, in order, in argv[0..*ret_n).  With stops_early everything from the
 * first of those on is left alone.
 */
MUST_CHECK enum err_kind opt_parse(const struct opt *table, int argc, char **argv, bool stops_early,
				   struct arena *a, void *out, size_t *ret_n, struct err *e);
/* The lines of a help text. */
void opt_help(const struct opt *table, struct sbuf *out);
