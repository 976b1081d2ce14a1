/*
 * range - conditional and range header fields (RFC 9110 13 and 14), for one representation of known size and ETag.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

enum range_result {
	RANGE_WHOLE, /* no range, one that is not understood, or several: the whole is a valid answer */
	RANGE_PART,
	RANGE_UNSATISFIABLE,
};

/* The Range field of a GET; on RANGE_PART first..last (inclusive) lie within size. */
enum range_result range_parse(struct str field, uint64_t size, uint64_t *ret_first,
			      uint64_t *ret_last);

/* Content-Range of an upload's chunk: "<first>-<last>", "bytes" and a total are let pass (distribution-spec). */
MUST_CHECK bool content_range_parse(struct str field, uint64_t *ret_first, uint64_t *ret_last);

/* Does an If-None-Match or If-Match list name the entity tag?  Weak comparison; etag has its quotes. */
bool etag_list_has(struct str field, struct str etag);
