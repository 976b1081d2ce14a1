/*
 * pack - a tree of files as members, one after the other: what archives, layers and copies are made of.
 *
 * K1  Nothing is followed: every file is opened in the directory that was just read, and is what it was then.
 * K2  Of files with several names the first has the data, the others are hard links to it.
 * K3  PACK_LAYER takes the upper directory of an overlay mount and says in a layer's form what it says in overlayfs's
 *     (image-spec layer.md): whiteouts and opaque directories.  What only a mount could read is refused.
 * K4  Sockets are left out: they are nothing without who listens.
 * Threads  no shared state; sinks are called from these functions.
 */
#pragma once

#include "base/idmap.h"
#include "runtime/image/member.h"

struct pack_sink {
	enum err_kind (*member)(void *arg, const struct member *m, struct err *e);
	/* size_bytes of a file, piece by piece; then end, which may be NULL.  Neither for a file without data. */
	enum err_kind (*data)(void *arg, const void *p, size_t n, struct err *e);
	enum err_kind (*end)(void *arg, const struct member *m, struct err *e);
	void *arg;
};

enum pack_form { PACK_FILES, PACK_LAYER };

struct pack_options {
	enum pack_form form;
	bool in_userns; /* overlayfs's marks are user attributes */
	/* Owners are told as they are inside of these; NULL, or without pieces: as they are. */
	const struct idmaps *ids;
	/* Somebody's own: no other owner, no set-id bits, no attributes that give rights. */
	bool is_reowned;
	uid_t uid;
	gid_t gid;
};

/* All that is below a directory, as below path ("": the root). */
MUST_CHECK enum err_kind pack_below(int dir, const char *path, const struct pack_options *o,
				    const struct pack_sink *to, struct err *e);
/* A file, and what is below it, as path.  fd is open for reading if it is a file or directory, else O_PATH. */
MUST_CHECK enum err_kind pack_file(int fd, const char *path, const struct pack_options *o,
				   const struct pack_sink *to, struct err *e);
