/*
 * conflist_impl - what conflist.c and conflist_dir.c share.
 */
#pragma once

#include "runtime/net/conflist.h"

/* Like conflist_parse, but a list may have no plugin yet; *ret_only says that none may come from elsewhere. */
MUST_CHECK enum err_kind conflist_read(struct str text, struct conflist *ret, bool *ret_only,
				       struct err *e);
MUST_CHECK enum err_kind conflist_append(struct conflist *l, const struct jv *plugin,
					 struct err *e);
/* Writes the list as it now is into its text, so that whoever finds it in the cache needs no other file. */
MUST_CHECK enum err_kind conflist_rewrite(struct conflist *l, struct err *e);
MUST_CHECK enum err_kind conflist_need_plugins(const struct conflist *l, struct err *e);
