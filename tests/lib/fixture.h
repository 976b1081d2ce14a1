/*
 * fixture - names, digests, documents and directories for tests.  What fails here aborts: it is no result of a test.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/digest.h"
#include "base/refname.h"
#include "storage/store.h"

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			(void)fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, #x);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

struct repo_name repo_of(const char *text);
struct tag_name tag_of(const char *text);
struct digest digest_of(const char *text); /* sha256 of the bytes before the NUL */
struct digest digest_of_bytes(enum digest_alg alg, struct str bytes);

/* An empty directory in $TMPDIR, or else in memory where there is some; and its removal with all that is in it. */
void temp_dir_make(char *buf, size_t cap);
void temp_dir_remove(const char *dir);

/* Whole files; parts of the path are joined. */
void file_write(const char *dir, const char *name, struct str bytes);
struct sbuf file_read(const char *dir, const char *name);
bool file_exists(const char *dir, const char *name);
/* Entries of a directory whose names do not start with a dot. */
unsigned dir_count(const char *dir, const char *name);

/* An OCI image of a config and layers, whose contents are the texts; extra is more members, "" or ",\"a\":1". */
struct sbuf image_of(const char *config, const char *const *layers, size_t n_layers,
		     const char *extra);

/* Options as of a small registry; callers change what matters to them. */
struct store_options store_options_of(const char *root);
struct store *store_of(const char *root);

/* index_blob_find for those who want to know the size only. */
enum err_kind blob_size(struct index *ix, const struct repo_name *repo, const struct digest *d,
			uint64_t *ret, struct err *e);

/* Pushes that must succeed. */
void push_blob(struct store *st, const char *repo, const char *text);
void push_manifest(struct store *st, const char *repo, struct str body, const char *media_type,
		   const char *tag);
