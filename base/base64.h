/*
 * base64 - bytes as text by RFC 4648 section 4, for documents of any size.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

void sbuf_add_base64(struct sbuf *b, struct str bytes);
/* The other way.  False, and b as it was, for anything that sbuf_add_base64 does not write. */
MUST_CHECK bool sbuf_add_base64_decoded(struct sbuf *b, struct str text);
