/*
 * str - borrowed text, bounded buffers, and scanners that advance only on success.
 *
 * T1  A struct str is a view: not NUL-terminated, never owned, dies with what it points into.
 * T2  An sbuf never grows past the maximum given when it was made; overflow is sticky and checked once.
 * T3  A scanner leaves its cursor where it was when it returns false.
 * Threads  no shared state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

struct str {
	const char *p;
	size_t n;
};

#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })
#define STR_FMT(s) (int)(s).n, (s).p /* for "%.*s"; callers bound n */

struct str str_of(const char *z); /* NULL gives the empty view */
bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
struct str str_trim(struct str s); /* spaces and tabs at both ends */

/* Splits at the first c: *head is before it, *rest after it.  False, and all of s in *head, without c. */
bool str_cut(struct str s, char c, struct str *head, struct str *rest);

/* NUL-terminated copy into buf; false if it does not fit or holds a NUL. */
bool str_copy(struct str s, char *buf, size_t cap);

/* Scanners: true and *in advanced, or false and *in untouched. */
bool scan_u64(struct str *in, uint64_t max, uint64_t *ret); /* decimal digits, no sign */
bool scan_char(struct str *in, char c);
bool scan_end(const struct str *in);

int hex_value(char c);                                     /* -1 unless 0-9a-fA-F */
void hex_lower(const uint8_t *bytes, size_t n, char *out); /* writes 2n characters, no NUL */

/* Percent-decodes into buf (cap bytes).  False on a bad escape or if it does not fit. */
bool percent_decode(struct str in, bool plus_is_space, char *buf, size_t cap, size_t *ret_n);

/* Bytes of the well-formed UTF-8 sequence (RFC 3629) at the start of s, 0 if there is none. */
size_t utf8_len(struct str s);

#define SBUF_MAX (SIZE_MAX / 2) /* "no limit": no size below overflows when it is doubled */

struct sbuf {
	char *p; /* owned; NUL after n bytes when not NULL */
	size_t n, cap, max;
	bool failed; /* over max or out of memory: contents are not to be used */
};

void sbuf_init(struct sbuf *b, size_t max); /* more than SBUF_MAX is SBUF_MAX */
void sbuf_clear(struct sbuf *b);
#define AUTO_SBUF CLEANUP(sbuf_clear) struct sbuf
/* Makes room for n more bytes at once; a known final size spares the copies of growing. */
bool sbuf_reserve(struct sbuf *b, size_t n);
void sbuf_add(struct sbuf *b, const void *p, size_t n);
void sbuf_add_str(struct sbuf *b, struct str s);
/* Percent-encoded (RFC 3986): letters, digits, -._~ and the characters of also stand for themselves. */
void sbuf_add_percent(struct sbuf *b, struct str s, const char *also);
/* What of also may stand for itself in a value of a query. */
#define PERCENT_QUERY "/:@"
void sbuf_addf(struct sbuf *b, const char *fmt, ...) PRINTF(2, 3);
/* Gives the bytes away; the buffer is empty afterwards. */
char *sbuf_take(struct sbuf *b);

void free_ptr(void *pp);
#define AUTO_FREE CLEANUP(free_ptr)
