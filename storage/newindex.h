/*
 * newindex - an index that is made beside a root's own and then takes its place (FORMAT.md section 1).
 *
 * N1  Before newindex_install the root's index is untouched; after it the new one is durable under its name.
 * Threads  by who has attached the store; no index of the root may be open.
 */
#pragma once

#include "storage/store.h"

/* ROOT/index.new, empty.  *ret_path is the caller's to free. */
MUST_CHECK enum err_kind newindex_begin(struct store *st, char **ret_path, struct err *e);

/* The directory's index is closed and synced.  The old one, if there is one, stays as ROOT/index.old if keep is set. */
MUST_CHECK enum err_kind newindex_install(struct store *st, bool keep, struct err *e);
