/*
 * change - instructions of a Dockerfile that change an image's configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD,
 * STOPSIGNAL, USER, VOLUME, WORKDIR, as "commit --change" and "import --change" take them.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"

/* config is the member "config" of an image's configuration; it is replaced by a changed one. */
MUST_CHECK enum err_kind change_apply(struct jv **config, struct str instruction, struct err *e);
/* A copy of an object whose members may be set; NULL gives an empty one. */
struct jv *change_copy(const struct jv *object);
