/*
 * decode - the bytes of a layer as a plain tar stream, whatever it is compressed with.
 *
 * C1  The compression is told from the bytes: gzip, zstd, or none.  Nothing is decompressed twice.
 * C2  All members or frames are read; one that is cut, damaged or followed by anything else is ERR_INVALID.
 * C3  A layer that grows without measure is ERR_TOO_LARGE: more than DECODE_RATIO_MAX times its size, beyond
 *     the first limit_bytes.
 * Threads  one at a time per decoder; memory is bounded whatever the layer (ZSTD_WINDOW_LOG_MAX).
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define DECODE_RATIO_MAX 250
#define DECODE_LIMIT_BYTES (UINT64_C(1) << 30)

struct decoder;

/* Reads up to cap bytes; *ret_n 0 at the end. */
typedef enum err_kind decode_source_fn(void *arg, void *buf, size_t cap, size_t *ret_n,
				       struct err *e);

MUST_CHECK enum err_kind decoder_open(decode_source_fn *source, void *arg, uint64_t limit_bytes,
				      struct decoder **ret, struct err *e);
/* *ret_n 0 at the end. */
MUST_CHECK enum err_kind decoder_read(struct decoder *d, void *buf, size_t cap, size_t *ret_n,
				      struct err *e);
void decoder_close(struct decoder **d);
#define AUTO_DECODER CLEANUP(decoder_close) struct decoder
