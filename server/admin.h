/*
 * admin - the daemon's socket for administrators: ROOT/admin.sock, mode 0600.
 *
 * One connection is one operation: a line with {"op": NAME, "args": {..}}, answered by lines with {"item": {..}}, and at
 * last {"ok": true} or {"ok": false, "kind": .., "error": ..}.  Peers must be root or the daemon's own user.
 * Threads  admin_start and admin_stop by one thread; operations run on threads of their own, a few at a time.
 */
#pragma once

#include "server/ops.h"

struct admin;

MUST_CHECK enum err_kind admin_start(const struct ops *ops, struct admin **ret, struct err *e);
/* Operations under way come to their end first. */
void admin_stop(struct admin **take);

/* A connection to the daemon on this root; ERR_NOT_FOUND if none runs. */
MUST_CHECK enum err_kind admin_connect(const char *root, int *ret_fd, struct err *e);
/* The result is the operation's own.  emit is called for each item. */
MUST_CHECK enum err_kind admin_ask(int fd, const char *op, const struct jv *args, op_emit_fn *emit,
				   void *arg, struct err *e);
