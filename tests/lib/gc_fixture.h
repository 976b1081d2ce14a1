/*
 * gc_fixture - what tests of collection, trash and checks share: time that passes at once, collections, and what is to be
 * seen after them.
 *
 * Threads  as the store's.
 */
#pragma once

#include "storage/collect.h"
#include "storage/repo.h"
#include "tests/lib/fixture.h"

#define GC_LEASE_MS (3600u * 1000) /* no test lasts as long */
#define GC_TRASH_MS (24u * 3600 * 1000)

/* A store with a committer of its own. */
struct store *gc_store_open(const char *root, uint64_t trash_keep_ms);
/* The same; what the start leases is forgotten (gc_forget_leases). */
struct store *gc_store_of(const char *root, uint64_t trash_keep_ms);
/* As if the lease time had passed since the start and since anybody was told of anything. */
void gc_forget_leases(struct store *st);
/* Ends the process's use of a root as SIGKILL would, but for the memory. */
void gc_store_drop(struct store **st);

/* What is in the queue, as if all of it were due and manifests without a tag were garbage; up to COLLECT_MAX. */
size_t gc_due(struct store *st, struct collect_item ret[static COLLECT_MAX]);
/* One collection of that; *ret_verdict is that of the row for d, VERDICT_N if it has none. */
enum verdict gc_collect(struct store *st, const struct digest *d);
/* Collects until nothing changes any more. */
void gc_collect_all(struct store *st);

/* An image of config and one layer: its blobs are pushed; then its manifest. */
struct sbuf gc_image(const char *config, const char *layer, const char *extra);
struct digest gc_push_image(struct store *st, const char *repo, const char *config,
			    const char *layer, const char *tag);
enum err_kind gc_put(struct store *st, const char *repo, struct str body, const char *media_type,
		     const char *tag, struct manifest_pushed *ret, struct err *e);

/* As a client sees it, without being told of it. */
bool gc_has_blob(struct store *st, const char *repo, const char *text);
bool gc_has_manifest(struct store *st, const char *repo, const struct digest *d);
/* What the tag points to; alg 0: there is none. */
struct digest gc_tag(struct store *st, const char *repo, const char *tag);
/* There is a file with the content's bytes. */
bool gc_has_file(struct store *st, const struct digest *d);
/* NULL if the manifest and all it refers to can be pulled byte by byte, or else what is wrong. */
const char *gc_why_not_whole(struct store *st, const char *repo, const struct digest *d);

/* Names of the faults that fsck finds, in its order and each once, separated by blanks. */
struct sbuf gc_faults(struct store *st, bool repair);
/* The newest row of the trash for a digest; 0: none. */
uint64_t gc_trash_id(struct store *st, const struct digest *d);
unsigned gc_trash_rows(struct store *st);
