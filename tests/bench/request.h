/*
 * request - what the load generator sends: the requests of an item, one after another.
 *
 * maker_init() pushes what all manifests share, or hashes what all blobs begin with.  For each item
 * request_first(), and after each answer request_next(), until that says that the item is complete.
 * Between them request_piece() gives the bytes to send and request_sent() takes note of how many went;
 * there is none left when request_piece() returns false.
 */
#pragma once

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/bench/answer.h"

#define REQUEST_MAX 4096
#define LOCATION_MAX 2048
#define DIGEST_N sizeof("sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")
#define FILL_N (256 * 1024) /* the bytes that blobs repeat */
#define TAIL_N 64 /* the bytes at the end of a blob, or the layer, that only one item has */
#define NS_PER_S UINT64_C(1000000000)

enum load_mode { LOAD_PUT, LOAD_BLOB, LOAD_GET };
enum push_way { PUSH_WHOLE, PUSH_ONCE, PUSH_CHUNKED, PUSH_STREAMED, PUSH_WAY_N };

struct options {
	enum load_mode mode;
	bool by_digest, own_layers, in_order, cut;
	unsigned conns, get_percent;
	uint64_t items_max, time_ns_max; /* 0: no such limit */
	uint64_t first, keys, size, chunk;
	enum push_way way;
	const char *method, *header, *prefix, *repo;
	char host[256], port[8], path[1024];
};

struct maker {
	const struct options *o;
	char run[17]; /* this run's share of what is unique */
	uint64_t random;
	char manifest[1024]; /* up to the layer's digest */
	char layer[DIGEST_N];
	EVP_MD_CTX *prefix; /* the hash of a blob up to its tail */
	char fill[FILL_N];
};

enum request_step {
	STEP_LAYER,
	STEP_LAYER_END,
	STEP_BLOB,
	STEP_BLOB_PART,
	STEP_BLOB_END,
	STEP_LAST
};

struct request {
	enum request_step step;
	bool is_get; /* one of -g */
	bool framed, is_closed;
	uint64_t item, at, frame_end,
	    end; /* at..end: bytes of the blob that this request has to send */
	size_t text_n, text_sent;
	char text[REQUEST_MAX], tail[TAIL_N + 1];
};

_Noreturn void fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
uint64_t mono_ns(void);
int dial(const struct options *o);

void maker_init(struct maker *m, const struct options *o);
void request_first(struct maker *m, uint64_t item, struct request *r);
bool request_next(struct maker *m, const struct answer *a, struct request *r);

/* The bytes to go on with; *ret_more: others follow. */
bool request_piece(const struct maker *m, struct request *r, const char **ret, size_t *ret_n,
		   bool *ret_more);
void request_sent(struct request *r, size_t n);
