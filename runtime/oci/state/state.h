/*
 * state - struct state as JSON.
 */
#pragma once

#include "runtime/oci/state/container.h"

MUST_CHECK enum err_kind state_read(struct str text, struct arena *a, struct jv **doc,
				    struct state *ret, struct err *e);
void state_write(const struct state *s, struct sbuf *out);
