/*
 * source - another registry's directory, or an OCI image layout, as an import reads it (import.h).
 *
 * O1  Nothing outside the directory is opened: paths are made of digests and of names that were looked at, and no
 *     symbolic link below the directory is followed.
 * O2  Nothing in it is believed: whoever reads content hashes it.  Documents are bounded in size, depth and number.
 * O3  A repository has what the registry says it has: of a distribution root the manifests and blobs that are linked in it,
 *     of a layout what lies in its blobs/.
 * Lifecycle  source_open -> source_list, (source_repo_open -> ... -> source_repo_close)* -> source_close.
 * Ownership  a repository borrows its source.
 * Threads    open, list and close by one thread; content from any.
 */
#pragma once

#include <sys/stat.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/refname.h"

enum source_kind {
	SOURCE_DISTRIBUTION, /* CNCF distribution, driver "filesystem": docker/registry/v2 */
	SOURCE_ZOT,          /* an OCI image layout for each repository */
	SOURCE_LAYOUT,       /* one OCI image layout, which does not say a repository's name */
};

struct source {
	enum source_kind kind;
	int dir_fd; /* of a distribution root: of v2 */
};

/* ERR_INVALID if the directory is none of these. */
MUST_CHECK enum err_kind source_open(const char *dir, struct source *ret, struct err *e);
void source_close(struct source *s);
#define AUTO_SOURCE CLEANUP(source_close) struct source

/* Calls fn with the path of each repository, in no order; it need not be the name of one. */
typedef enum err_kind source_repo_fn(void *arg, const char *path, struct err *e);
MUST_CHECK enum err_kind source_list(const struct source *s, source_repo_fn *fn, void *arg,
				     struct err *e);

struct source_manifest {
	struct digest digest;
	uint64_t pushed_ms; /* 0: not known */
};
struct source_tag {
	struct tag_name name;
	struct digest digest;
	uint64_t pushed_ms; /* 0: not known */
};
struct source_repo {
	const struct source *source;
	int dir_fd;
	struct source_manifest *manifests; /* by digest, each once */
	size_t n_manifests;
	struct source_tag *tags; /* by digest, then time */
	size_t n_tags;
};

/* Tells of a tag or a manifest of the repository that is not as it should be, and is left out. */
typedef void source_fault_fn(void *arg, const char *what, const char *name, const char *reason);
/* ERR_INVALID, ERR_TOO_LARGE: nothing of it can be read.  path is source_list's, "." for a layout. */
MUST_CHECK enum err_kind source_repo_open(const struct source *s, const char *path,
					  source_fault_fn *fn, void *arg, struct source_repo *ret,
					  struct err *e);
void source_repo_close(struct source_repo *r);
#define AUTO_SOURCE_REPO CLEANUP(source_repo_close) struct source_repo

/* Those of the tags that point to d. */
const struct source_tag *source_tags_of(const struct source_repo *r, const struct digest *d,
					size_t *ret_n);

/* ERR_NOT_FOUND if the repository does not have it; ERR_INVALID if it cannot be opened. */
MUST_CHECK enum err_kind source_blob_open(const struct source_repo *r, const struct digest *d,
					  int *ret_fd, struct stat *ret, struct err *e);
/* Appends to b, which has the maximum.  ERR_DIGEST if the bytes do not hash to d. */
MUST_CHECK enum err_kind source_manifest_read(const struct source_repo *r, const struct digest *d,
					      struct sbuf *b, uint64_t *ret_pushed_ms,
					      struct err *e);
