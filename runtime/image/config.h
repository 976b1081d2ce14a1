/*
 * config - what an image says of itself: its configuration as a value (image-spec config.md; Docker's is the same).
 *
 * K1  Every member that is read has its type; lists, texts and the number of layers are bounded.
 * Ownership  all texts live in the config's arena.
 * Threads    no shared state.
 */
#pragma once

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/jv.h"
#include "runtime/image/platform.h"

#define CONFIG_BYTES_MAX (8u * 1024 * 1024)

struct config_list {
	size_t n;
	const char **v; /* NULL after the last */
	bool set;       /* there, if only as an empty list */
};

struct config_pairs {
	size_t n;
	const char **keys, **values;
};

struct image_config {
	struct arena arena;
	struct platform platform;
	const char *created, *author; /* "" where a text is not there */
	const char *user, *workdir, *stop_signal;
	struct config_list env, entrypoint, cmd, ports, volumes;
	struct config_pairs labels;
	struct jv *healthcheck; /* owned; NULL if there is none */
	struct digest *diff_ids;
	size_t n_diff_ids;
};

MUST_CHECK enum err_kind config_parse(struct str body, struct image_config *ret, struct err *e);
void config_clear(struct image_config *c);
#define AUTO_CONFIG CLEANUP(config_clear) struct image_config

/* Chain IDs of the layers 0..n-1 (image-spec config.md "Layer ChainID"): ret has room for as many. */
MUST_CHECK enum err_kind config_chain_ids(const struct digest *diff_ids, size_t n,
					  struct digest *ret, struct err *e);
