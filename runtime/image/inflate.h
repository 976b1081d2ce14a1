/*
 * inflate - gzip members (RFC 1952) one after another; the only file that includes ISA-L's header.
 *
 * Z1  Every member counts, its checksum and its length are checked, and nothing but members is accepted.
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
