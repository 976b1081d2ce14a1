/*
 * unpack - one layer, from compressed bytes to files: read -> decompress -> hash -> tar -> tree.
 *
 * U1  Two threads work on a layer: one reads, decompresses and hashes, the other writes files; between them are a few
 *     blocks, so memory is bounded whatever the layer.
 * U2  ERR_OK means that all of the layer was read, hashed to the diff ID asked for, and is in the tree.  After any
 *     failure what is below the root is a part of the layer, for the caller to discard.
 * Threads  any; blocks for as long as it takes.
 */
#pragma once

#include "base/digest.h"
#include "runtime/image/decode.h"
#include "runtime/image/tree.h"

#define UNPACK_MEMBERS_MAX 5000000
#define UNPACK_FILE_MAX (UINT64_C(1) << 43) /* of a sparse file, too */

struct unpack_options {
	struct tree_options tree;
	uint64_t limit_bytes;         /* DECODE_LIMIT_BYTES; 0: none */
	const struct digest *diff_id; /* NULL: not known */
	const char *below; /* a directory of the tree that members are put into; NULL: the root */
};

struct unpack_source {
	decode_source_fn *read;
	void (*cancel)(void *arg); /* ends a read that waits; may be NULL */
	void *arg;
};

struct unpack_result {
	struct digest diff_id;
	uint64_t bytes; /* of the tar archive */
	struct tree_stats stats;
};

MUST_CHECK enum err_kind unpack_layer(int root_fd, const struct unpack_source *from,
				      const struct unpack_options *o, struct unpack_result *ret,
				      struct err *e);

/* A source for unpack_source.read: arg is an int, an open file. */
MUST_CHECK enum err_kind unpack_read_fd(void *arg, void *buf, size_t cap, size_t *ret_n,
					struct err *e);
