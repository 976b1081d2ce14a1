/*
 * named - what administrators name: REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/digest.h"
#include "base/refname.h"

struct named {
	struct repo_name repo;
	bool has_tag, has_digest; /* at most one */
	struct tag_name tag;
	struct digest digest;
};

/* False, with *ret untouched, for anything else. */
MUST_CHECK bool named_parse(struct str in, struct named *ret);
