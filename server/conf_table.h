/*
 * conf_table - the one list of all options, for what reads, prints and compares them; everything else reads struct conf.
 *
 * A row says whether SIGHUP is enough for another value (RELOAD) or a restart is needed (RESTART).  Who reads an option of
 * the first kind takes it from a snapshot (live.h), or is told of the other value by live.c.
 */
#pragma once

#include "base/quantity.h"
#include "server/conf.h"

enum conf_type {
	CONF_TEXT,
	CONF_COUNT,
	CONF_PERCENT, /* with or without its sign */
	CONF_SIZE,
	CONF_DURATION,
	CONF_KEEP, /* a duration, or never */
	CONF_FLAG,
	CONF_CHOICE,
	CONF_LIST,
};

struct option {
	const char *key;
	enum conf_type type;
	bool reloads;
	size_t offset;
	uint64_t min, max;
	const char *preset, *doc;
	const char *choices; /* CONF_CHOICE: the words, in the order of the enum */
};

#define OPTION_KEY_MAX 64
#define OPTION_TEXT_MAX 4096

extern const struct option conf_options[];
extern const size_t conf_options_n;

/* NULL if there is none. */
const struct option *option_find(struct str key);
void *option_field(const struct option *o, struct conf *c);
const void *option_value(const struct option *o, const struct conf *c);
/* Sets it; where is where it was given. */
MUST_CHECK enum err_kind option_set(const struct option *o, struct conf *c, struct str value,
				    const char *where, struct err *e);
/* Has it the same value in both?  Where that comes from does not matter. */
bool option_same(const struct option *o, const struct conf *a, const struct conf *b);
/* The same of the option of this name. */
bool conf_same(const char *key, const struct conf *a, const struct conf *b);
/* Of two values in lists, wherever they stand. */
bool conf_same_value(const struct jv *a, const struct jv *b);
/* The value of from, and its place, in the place of to's. */
MUST_CHECK enum err_kind option_copy(const struct option *o, const struct conf *from,
				     struct conf *to, struct err *e);
/* The i'th word of the choices; false beyond the last. */
bool option_choice(const struct option *o, unsigned i, struct str *ret);
/* A number as it would have to be written. */
const char *option_number(enum conf_type type, uint64_t v, char buf[static QUANTITY_TEXT_MAX]);
/* What a number must be, for a message: "a size (K M G T)". */
const char *option_takes(enum conf_type type);
/* BERTHD_HTTP_MIN_RATE for http.min_rate. */
void option_variable(const char *key, char buf[static OPTION_KEY_MAX]);
/* conf_print.c: the value as YAML, secrets masked. */
void option_show(const struct option *o, const struct conf *c, struct sbuf *b);
