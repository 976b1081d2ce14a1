/*
 * opt - options of a command by a table: --name value, --name=value, -n value, and flags in either form.
 *
 * O1  Options and arguments may be mixed; "--" ends options.
 * O2  Texts are borrowed from argv.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

enum opt_kind {
	OPT_FLAG,   /* bool */
	OPT_EITHER, /* enum opt_either: a flag that is told apart from none */
	OPT_TEXT,   /* const char * */
	OPT_TEXTS,  /* struct text_list: may be given more than once */
	OPT_SIZE,   /* uint64_t: bytes, with K M G T */
	OPT_COUNT,  /* uint64_t */
};

enum opt_either { OPT_UNSET, OPT_TRUE, OPT_FALSE };

struct opt {
	const char *name;
	char letter; /* 0: none */
	enum opt_kind kind;
	size_t offset;
	const char *value; /* what to call it in help; NULL for flags */
	const char *doc;
};
#define OPTS_END                                                                                   \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/* A table and what its values go to; a list of them ends with a NULL table. */
struct opt_set {
	const struct opt *table;
	void *out;
};

/*
 * Fills what the sets have and leaves what are no options, in order, in argv[0..*ret_n).  With stops_early options end at the first
 * argument.
 */
MUST_CHECK enum err_kind opt_parse(const struct opt_set *sets, int argc, char **argv,
				   bool stops_early, struct arena *a, size_t *ret_n, struct err *e);
/* The lines of a help text. */
void opt_help(const struct opt *table, struct sbuf *out);
