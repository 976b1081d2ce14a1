/*
 * zstd - Zstandard frames (RFC 8878) one after another, both ways; the only file that includes zstd.h.
 *
 * Z1  Every frame counts; skippable ones are skipped; dictionaries and windows of more than 128 MiB are refused.
 * Threads  one at a time per object.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define ZSTD_WINDOW_LOG_MAX 27 /* what "zstd --ultra -22" needs */

struct unzstd;
struct zstd;

MUST_CHECK enum err_kind unzstd_new(struct unzstd **ret, struct err *e);
void unzstd_free(struct unzstd **z);
/* Advances both; *ret_between: all that was taken is whole frames. */
MUST_CHECK enum err_kind unzstd_run(struct unzstd *z, const uint8_t **in, size_t *in_n,
				    uint8_t *out, size_t cap, size_t *ret_n, bool *ret_between,
				    struct err *e);

MUST_CHECK enum err_kind zstd_new(struct zstd **ret, struct err *e);
void zstd_free(struct zstd **z);
/* With `last`, to be called until *ret_done. */
MUST_CHECK enum err_kind zstd_run(struct zstd *z, const uint8_t **in, size_t *in_n, uint8_t *out,
				  size_t cap, size_t *ret_n, bool last, bool *ret_done,
				  struct err *e);
