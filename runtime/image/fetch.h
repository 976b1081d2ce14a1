/*
 * fetch - blobs on their way from a registry into files, several at once, to be read by others while they grow.
 *
 * V1  A blob counts as fetched only when all of its bytes are there and hash to its digest: readers see its end then, and
 *     not before.
 * V2  What an interrupted fetch left is gone on with, by whoever wants the same blob next.
 * V3  A file that is no longer needed is removed; one that failed for reasons of the network stays for V2.
 * Lifecycle  set_new -> add* -> run -> set_free.
 * Ownership  a struct fetch lives as long as its set.
 * Threads    one for the set; fetch_read, fetch_cancel and fetch_have from any, at any time.
 */
#pragma once

#include "runtime/image/client.h"
#include "runtime/image/images.h"

#define FETCH_AT_ONCE 4

struct fetch;
struct fetch_set;

MUST_CHECK enum err_kind fetch_set_new(const struct images *im, const struct client_repo *from,
				       struct fetch_set **ret, struct err *e);
/* Ends what is under way: readers get an error. */
void fetch_set_free(struct fetch_set **set);
#define AUTO_FETCH_SET CLEANUP(fetch_set_free) struct fetch_set

MUST_CHECK enum err_kind fetch_add(struct fetch_set *set, const struct descriptor *d,
				   struct fetch **ret, struct err *e);
/* Until all are fetched or one has failed, whose failure it returns.  tick is called now and then, and may end it. */
typedef enum err_kind fetch_tick_fn(void *arg, struct err *e);
MUST_CHECK enum err_kind fetch_run(struct fetch_set *set, fetch_tick_fn *tick, void *arg,
				   struct err *e);
uint64_t fetch_have(struct fetch *f);
/* Has one failed because of what was there before it began?  Then it is gone, and all may be begun anew. */
bool fetch_set_was_misled(const struct fetch_set *set);

/* One who reads a blob from its beginning. */
struct fetch_reader {
	struct fetch *of;
	uint64_t at;
	bool cancelled; /* by fetch_cancel */
};
/* Its next bytes, waiting for them; *ret_n 0 at the end.  arg of both is a struct fetch_reader. */
MUST_CHECK enum err_kind fetch_read(void *arg, void *buf, size_t cap, size_t *ret_n, struct err *e);
void fetch_cancel(void *arg);

/* The whole file becomes a blob of the store's repository; between images_begin and images_end. */
MUST_CHECK enum err_kind fetch_adopt(struct fetch *f, struct images *im,
				     const struct repo_name *repo, struct err *e);
/* Removes what fetches left that nobody works on; *ret_bytes says how much. */
MUST_CHECK enum err_kind fetch_sweep(const struct images *im, uint64_t *ret_bytes, struct err *e);
