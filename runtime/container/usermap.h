/*
 * usermap - the ids that a container's user namespace has: --userns, --uidmap and --gidmap, as podman has them.
 *
 * P1  "Outside" is berth's own user namespace: the host for root, for an ordinary user the one of userns.h, where 0 is the
 *     user and 1.. are the subordinate ids.
 * P2  Ids that are chosen (auto) are those of no other container of the same root that was made with auto or with maps of
 *     its own.  Who chooses holds usermap_lock until the container's record is written.
 * P3  Nothing outside of berth's own namespace is ever mapped, and auto chooses among subordinate ids alone: as root those of
 *     the user "containers".
 * Threads  no shared state.
 */
#pragma once

#include "base/idmap.h"
#include "runtime/container/containers.h"

enum usermap_kind {
	USERMAP_HOST, /* no namespace of its own */
	USERMAP_KEEP_ID,
	USERMAP_NOMAP,
	USERMAP_AUTO,
	USERMAP_GIVEN,
};

struct usermap_wish {
	enum usermap_kind kind;
	bool has_uid, has_gid; /* of KEEP_ID: what the caller's ids become in place of themselves */
	uint64_t uid, gid;
	uint64_t size;      /* of AUTO; 0: what the image needs */
	struct idmaps maps; /* all of GIVEN, a part of AUTO */
};

/* mode may be NULL; the lists are of --uidmap and --gidmap. */
MUST_CHECK enum err_kind usermap_parse(const char *mode, const struct text_list *uid_maps,
				       const struct text_list *gid_maps, struct usermap_wish *ret,
				       struct err *e);

/* Ids by which others are kept apart; then the lock is needed. */
bool usermap_claims(const struct usermap_wish *w);
MUST_CHECK enum err_kind usermap_lock(const struct containers *cs, int *ret, struct err *e);

/* Who has called, by berth's own map; of an ordinary user only. */
MUST_CHECK enum err_kind usermap_caller(uint64_t *ret_uid, uint64_t *ret_gid, struct err *e);

struct usermap_who {
	bool is_ordinary; /* berth is in a namespace that it made for a user */
	uint64_t ids;     /* that the image and its process need, for AUTO */
};
/* Without pieces for USERMAP_HOST. */
MUST_CHECK enum err_kind usermap_choose(const struct usermap_wish *w, const struct usermap_who *who,
					const struct containers *cs, struct idmaps *ret,
					struct err *e);
