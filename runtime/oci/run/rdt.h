/*
 * rdt - linux.intelRdt: groups of the resctrl filesystem.
 */
#pragma once

#include "runtime/oci/state/container.h"

/* Without intelRdt nothing is done.  What was made for this container alone is noted in *st. */
MUST_CHECK enum err_kind rdt_make(const struct spec_rdt *r, struct state *st, pid_t pid,
				  struct arena *a, struct err *e);
/* Removes what is noted. */
void rdt_remove(const struct state *st);
