/*
 * index_fixture - an index for tests, changed one transaction at a time and looked at whole.
 */
#pragma once

#include "storage/index_impl.h"
#include "tests/lib/fixture.h"

#define INDEX_MAP_BYTES (4u * 1024 * 1024)

struct index *index_of(const char *dir);

/* Applies one change and commits it; a change that fails is aborted. */
enum err_kind apply(struct index *ix, struct change *c, struct err *e);
/* The same, and must succeed; frees what the change owns. */
void apply_ok(struct index *ix, struct change c);

/* Changes as the server makes them; all at at_ms 1000, due for review at 2000. */
struct change link_change(const char *repo, const char *text);
struct change put_change(const char *repo, const struct manifest *m, struct str bytes,
			 const struct tag_name *tags, size_t n_tags);
struct change change_of_kind(enum change_kind kind, const char *repo, const struct digest *d);

/* Parsed from bytes, which the test keeps. */
struct manifest manifest_of(struct str bytes, const char *media_type);

#define CONFIG_TEXT "config"
#define LAYER_TEXT "layer"
struct str text_of(const struct sbuf *b);
/* An image of CONFIG_TEXT and LAYER_TEXT, apart from others by its note. */
struct sbuf small_image(const char *note);
struct sbuf index_of_child(const struct digest *child, size_t size, const char *extra);
/* Makes what small images refer to blobs of the repository. */
void link_all(struct index *ix, const char *repo);
/* Puts a small image under tags separated by commas; returns its digest. */
struct digest put_image(struct index *ix, const char *repo, const char *note, const char *tags);

/* All entries of all tables, "table key value\n" in hexadecimal: equal if and only if the indexes are. */
struct sbuf index_dump(struct index *ix);
uint64_t index_rows(struct index *ix, enum kv_table table);
/* index_object_find for those who only want to know. */
enum err_kind object_exists(struct index *ix, const struct digest *d, struct err *e);
/* Rows of one kind in the entry and content tables. */
uint64_t index_entries(struct index *ix, enum entry_kind kind);
uint64_t index_contents(struct index *ix, enum content_kind kind);
/* index_check.c: aborts unless every row has the rows that go with it, and what is free waits for review (I4). */
void index_check(struct index *ix);
bool has_repo(struct index *ix, const char *repo);
/* Is the digest in the review queue for the repository (by its row), due at this time? */
bool index_has_review(struct index *ix, const char *repo, const struct digest *d, uint64_t due_ms);
/* The same for any repository, at any time. */
bool index_has_any_review(struct index *ix, const struct digest *d);
/* Writes one entry as it is, past all rules. */
void index_put_raw(struct index *ix, enum kv_table table, struct str key, struct str value);
void index_delete_raw(struct index *ix, enum kv_table table, struct str key);
uint64_t repo_id(struct index *ix, const char *repo);
