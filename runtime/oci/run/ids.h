/*
 * ids - the id maps of user namespaces.
 *
 * A caller who may do so writes them himself; anybody else by newuidmap(1) and newgidmap(1), within the ranges that
 * subuid(5) and subgid(5) give him.
 */
#pragma once

#include "runtime/oci/plan/host.h"
#include "runtime/oci/spec/spec.h"

/* Writes the maps (texts of uid_map(5)) for the process. */
MUST_CHECK enum err_kind ids_write_maps(pid_t pid, const char *uid_map, const char *gid_map,
					const struct host *h, struct err *e);

/* A user namespace with these maps, as an idmapped mount needs it. */
MUST_CHECK enum err_kind ids_make_userns(const spec_id_maps *uids, const spec_id_maps *gids,
					 int *ret, struct err *e);

/* The name of a user by passwd(5); false without one. */
bool ids_user_name(uid_t uid, char *buf, size_t cap);

/* For an ordinary user whose config.json has no user namespace: root is the user, then the subordinate ids. */
MUST_CHECK enum err_kind ids_default_maps(const struct host *h, struct arena *a, spec_id_maps *uids,
					  spec_id_maps *gids, struct err *e);
