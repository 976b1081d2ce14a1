/*
 * pulls - when tags were pulled last, gathered in memory: a pull writes nothing (DESIGN: "Reading").
 *
 * What is noted reaches the index with the next pulls_flush; a crash loses what was noted since.  The table is bounded:
 * beyond 12,288 tags the times of further ones are lost until the next flush.
 * Threads  any; note never blocks for long, flush waits for a commit.
 */
#pragma once

#include "base/refname.h"
#include "storage/store.h"

struct pulls;

MUST_CHECK enum err_kind pulls_new(struct pulls **ret, struct err *e);
void pulls_free(struct pulls **p);

void pulls_note(struct pulls *p, uint64_t repo, const struct tag_name *tag);
MUST_CHECK enum err_kind pulls_flush(struct store *st, struct pulls *p, struct err *e);
