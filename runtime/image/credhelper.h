/*
 * credhelper - programs that keep passwords: docker-credential-NAME get|store|erase, JSON on standard input and output.
 *
 * Threads  one at a time; blocks for at most CREDHELPER_WAIT_MS.
 */
#pragma once

#include "runtime/image/credfile.h"

#define CREDHELPER_WAIT_MS 60000 /* somebody may have to unlock it */

/* ERR_NOT_FOUND, with e untouched, if it does not know the server. */
MUST_CHECK enum err_kind credhelper_get(const char *name, const char *server,
					struct credential *ret, struct err *e);
MUST_CHECK enum err_kind credhelper_store(const char *name, const char *server,
					  const struct credential *c, struct err *e);
MUST_CHECK enum err_kind credhelper_erase(const char *name, const char *server, struct err *e);
