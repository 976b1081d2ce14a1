/*
 * conf_fixture - configurations from arguments that are literals, and what files say.
 */
#pragma once

#include "server/conf.h"

enum err_kind fixture_load(struct conf *ret, struct err *e, const char *const *args);
#define LOAD(c, e, ...)                                                                            \
	fixture_load((c), (e), (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })
/* conf_read_file, with the first fault only. */
enum err_kind fixture_read(struct conf *c, const char *path, struct err *e);
