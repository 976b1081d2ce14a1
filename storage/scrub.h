/*
 * scrub - checks content against its digest, one object at a time (promise P2); gc/scrub.h says when.
 *
 * S1  Content found damaged is marked in the index before anybody else may publish it: from then on it is neither served
 *     nor mounted nor accepted as a reference.  Pushing it again, to any repository, ends that.
 * S2  A small manifest, whose bytes the index has as well, is written again at once; wrong bytes in the index go.
 * Threads  any, beside anything; blocks for as long as reading takes.
 */
#pragma once

#include "storage/blob.h"

enum scrub_outcome {
	SCRUB_SOUND,
	SCRUB_DAMAGED, /* and marked so, now or earlier */
	SCRUB_HEALED,  /* was damaged, and is not any more */
	SCRUB_GONE,    /* collected meanwhile */
};

/* pace as of blob_verify; ERR_IN_USE if it ended the check. */
MUST_CHECK enum err_kind scrub_object(struct store *st, const struct object_item *o,
				      blob_pace_fn *pace, void *arg, enum scrub_outcome *ret,
				      struct err *e);

/* By who has claimed the digest, or where the file is missing. */
MUST_CHECK enum err_kind scrub_mark(struct store *st, const struct digest *d, bool is_damaged,
				    struct err *e);

/* Where the round stands, for the next process. */
MUST_CHECK enum err_kind scrub_save(struct store *st, const struct scrub_row *row, struct err *e);
