/*
 * member - one member of a layer as a value, and the rules that its names keep (image-spec layer.md).
 *
 * N1  A path in a struct member is relative to the root, "" for the root itself, and has neither "..", "." nor empty
 *     components; no component and no path is longer than the kernel takes.
 * N2  Names of whiteouts are names of the format, not of files: nothing that begins with ".wh." is ever created.
 * Threads  no shared state.
 */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "base/str.h"

#define MEMBER_PATH_MAX 4096 /* with the NUL: PATH_MAX */
#define MEMBER_NAME_MAX 255
#define MEMBER_XATTRS_MAX 256

enum member_kind {
	MEMBER_FILE,
	MEMBER_DIR,
	MEMBER_SYMLINK,
	MEMBER_HARDLINK,
	MEMBER_CHAR,
	MEMBER_BLOCK,
	MEMBER_FIFO,
	MEMBER_KIND_N
};

struct member_xattr {
	const char *name; /* borrowed */
	struct str value; /* borrowed */
};

struct member {
	enum member_kind kind;
	size_t path_n;
	char path[MEMBER_PATH_MAX];
	char target[MEMBER_PATH_MAX]; /* symlink: as it is; hard link: a path as above */
	mode_t mode;                  /* permission bits, set-id bits and sticky bit */
	uid_t uid;
	gid_t gid;
	dev_t rdev;          /* of devices */
	uint64_t size_bytes; /* of files */
	struct timespec atime, mtime;
	size_t n_xattrs;
	struct member_xattr xattrs[MEMBER_XATTRS_MAX];
};

const char *member_kind_text(enum member_kind k);

/* Brings a name from an archive into the form above (N1); ERR_INVALID says which rule it breaks. */
MUST_CHECK enum err_kind member_path(struct str raw, char ret[static MEMBER_PATH_MAX],
				     size_t *ret_n, struct err *e);

/* Puts a member, and what a hard link leads to, below a directory; false if that is too long a path. */
MUST_CHECK bool member_move(struct member *m, const char *below);
/* The directory part ("" for the root) and the last component of a path as above. */
void member_split(struct str path, struct str *ret_dir, struct str *ret_name);

/* What a member's name makes of it. */
enum member_mark {
	MARK_NONE,     /* a member to be placed */
	MARK_WHITEOUT, /* hides *ret_name in its directory */
	MARK_OPAQUE,   /* hides all that lower layers have in its directory */
	MARK_IGNORED,  /* AUFS's own records, which other tools skip as well */
};
/* ERR_INVALID for reserved names that hide nothing that can be named. */
MUST_CHECK enum err_kind member_mark(const struct member *m, enum member_mark *ret,
				     struct str *ret_name, struct err *e);

/*
 * Attributes that are set: user.*, trusted.*, capabilities and POSIX ACLs.  Not those that steer overlayfs, nor those of
 * security modules, which belong to the host's policy and not to an image.
 */
bool member_xattr_is_kept(const char *name);
