/*
 * tree_impl - what the files of a tree share; included by tree.c, tree_walk.c, tree_lower.c, tree_attr.c and tree_hide.c.
 */
#pragma once

#include "runtime/image/idset.h"
#include "runtime/image/tree.h"

#define PROC_FD_MAX sizeof("/proc/self/fd/-2147483648")

/* The directory that the last member went into. */
struct tree_parent {
	int fd; /* O_PATH; -1: none */
	uint64_t id;
	mode_t mode;
	bool has_default_acl; /* what is made in it would inherit from it */
	size_t path_n;
	char path[MEMBER_PATH_MAX];
};

struct tree {
	int root_fd;
	struct tree_options options;
	uint64_t seed;
	uid_t fsuid; /* whose a new file is */
	gid_t fsgid;
	bool root_was_put;
	struct tree_parent parent;
	struct idset dirs; /* directories whose times are known or were made here */
	struct idset own;  /* TREE_FLAT: names that this layer put */
	struct sbuf times; /* of directories, in the order in which they are to be set */
	struct tree_stats stats;
};

/* --- tree_walk.c --- */

enum walk_how {
	WALK_FIND, /* ERR_NOT_FOUND, with e untouched, for what no layer has */
	WALK_MAKE, /* missing directories are made */
};
/* Opens a directory (O_PATH) by its path in the container's sight. */
MUST_CHECK enum err_kind walk_open(struct tree *t, const char *path, enum walk_how how, int *ret,
				   struct err *e);
/* The path that it has without links. */
MUST_CHECK enum err_kind walk_canon(struct tree *t, const char *path, enum walk_how how,
				    char ret[static MEMBER_PATH_MAX], struct err *e);
/* The same, into t->parent, where it stays until tree_forget_parent. */
MUST_CHECK enum err_kind walk_parent(struct tree *t, struct str path, enum walk_how how,
				     struct err *e);
void tree_forget_parent(struct tree *t);
/* A directory or file beneath root without links on the way. */
int walk_beneath(int root, const char *path, int flags);

/* dir "/" name; false if it is too long. */
MUST_CHECK bool tree_join(char ret[static MEMBER_PATH_MAX], const char *dir, const char *name);
uint64_t tree_id_of(const struct stat *s);
uint64_t tree_name_key(const struct tree *t, uint64_t dir_id, const char *name);
bool tree_is_whiteout(const struct tree *t, const struct stat *s);

/* --- tree_lower.c --- */

struct lower_found {
	int root; /* of the layer that has it; -1: none */
	struct stat st;
};
/* What the layers below have at dir/name, dir being free of links. */
MUST_CHECK enum err_kind lower_find(struct tree *t, const char *dir, const char *name,
				    struct lower_found *ret, struct err *e);
/* Gives a new directory the attributes of the lower one at path. */
MUST_CHECK enum err_kind lower_copy_dir(struct tree *t, int lower_root, const char *path, int to,
					struct err *e);
/* Makes name in the directory a copy of the lower file dir/name. */
MUST_CHECK enum err_kind lower_copy_file(struct tree *t, const struct lower_found *from,
					 const char *dir, int to_dir, const char *name,
					 struct err *e);
MUST_CHECK enum err_kind lower_copy_root(struct tree *t, struct err *e);

/* --- tree_attr.c --- */

const char *proc_fd(int fd, char buf[static PROC_FD_MAX]);
MUST_CHECK enum err_kind attr_apply(struct tree *t, const struct member *m, int fd, bool is_new,
				    struct err *e);
/* Opens what was just made, without following it, and sets all but times of directories. */
MUST_CHECK enum err_kind attr_apply_at(struct tree *t, const struct member *m, const char *name,
				       struct err *e);
MUST_CHECK enum err_kind attr_copy(struct tree *t, int from, int to, struct err *e);
MUST_CHECK enum err_kind attr_set_times(int fd, const struct timespec *atime,
					const struct timespec *mtime, const char *what,
					struct err *e);
MUST_CHECK enum err_kind attr_set_opaque(struct tree *t, int dir, struct err *e);
bool attr_is_opaque(const struct tree *t, int dir);
/* Remembers times to be set by tree_finish. */
MUST_CHECK enum err_kind attr_note_times(struct tree *t, const char *path,
					 const struct timespec *atime, const struct timespec *mtime,
					 struct err *e);
MUST_CHECK enum err_kind attr_set_noted_times(struct tree *t, struct err *e);

/* --- tree_hide.c --- */

/* A whiteout of name, or of all, in t->parent. */
MUST_CHECK enum err_kind hide_name(struct tree *t, const char *name, struct err *e);
MUST_CHECK enum err_kind hide_all(struct tree *t, struct err *e);
