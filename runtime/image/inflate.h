/*
 * inflate - gzip (RFC 1952), read and written; the only file that includes ISA-L's header.
 *
 * Z1  What is read may be several members.  Every member counts, its checksum and its length are checked, and nothing but members is accepted.
 * Z2  What is written is one member without name and time: the same bytes in give the same bytes out.
 * Threads  one at a time per object.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct inflater;

MUST_CHECK enum err_kind inflater_new(struct inflater **ret, struct err *e);
void inflater_free(struct inflater **z);

/* Advances both; *ret_between: all that was taken is whole members. */
MUST_CHECK enum err_kind inflater_run(struct inflater *z, const uint8_t **in, size_t *in_n,
				      uint8_t *out, size_t cap, size_t *ret_n, bool *ret_between,
				      struct err *e);

struct deflater;

MUST_CHECK enum err_kind deflater_new(struct deflater **ret, struct err *e);
void deflater_free(struct deflater **z);

/* Compresses bytes; is_end: they are the last ones.  Calls sink with what comes out. */
typedef enum err_kind deflater_sink_fn(void *arg, const void *p, size_t n, struct err *e);
MUST_CHECK enum err_kind deflater_run(struct deflater *z, const void *p, size_t n, bool is_end,
				      deflater_sink_fn *sink, void *arg, struct err *e);
