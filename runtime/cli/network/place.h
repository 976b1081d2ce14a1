/*
 * place - where networks are on this machine: the same for berth and berth-net, so that they know of each other.
 *
 *   configuration  NETCONFPATH, or /etc/cni/net.d
 *   plugins        CNI_PATH, or /opt/cni/bin:/usr/lib/cni:/usr/libexec/cni
 *   results        /var/lib/cni; of an ordinary user $XDG_DATA_HOME/berth-cni
 *   state          /run/berth-net; of an ordinary user $XDG_RUNTIME_DIR/berth-net
 *
 * Ownership  the context in it points into the place.
 * Threads    reads the environment: one thread.
 */
#pragma once

#include "runtime/cli/network/network.h"

#define PLACE_DIRS_MAX 32
#define PLACE_TEXT_MAX 4096
#define PLACE_PLUGIN_DIRS "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"

struct network_place {
	struct network_cli cli;
	char cache[PLACE_TEXT_MAX], state[PLACE_TEXT_MAX], plugins[PLACE_TEXT_MAX];
	const char *dirs[PLACE_DIRS_MAX];
};

/* program is what messages begin with. */
void network_place_init(struct network_place *p, const char *program);
/* Directories in place of those of the environment, "A:B". */
MUST_CHECK bool network_place_plugins(struct network_place *p, const char *path);
