/*
 * import_impl - what the files of import.h share.
 */
#pragma once

#include "storage/import.h"
#include "storage/manifest.h"
#include "storage/source.h"

#define GROUP_MAX 64                        /* manifests that are worked on together */
#define GROUP_BYTES_MAX (16u * 1024 * 1024) /* of their bodies */

/* What became of a manifest of the repository that is imported. */
struct node {
	struct digest digest;
	enum node_state { NODE_NEW, NODE_WAITS, NODE_THERE, NODE_ABSENT, NODE_REFUSED } state;
};

struct tag_job {
	const struct source_tag *tag;
	enum { TAG_WAITS, TAG_SET, TAG_HAD, TAG_REFUSED } outcome;
	struct err e; /* TAG_REFUSED */
};

struct manifest_job {
	struct node *node;
	struct sbuf body;
	struct manifest m;
	uint64_t pushed_ms;
	bool had; /* the store has it */
	struct tag_job *tags;
	size_t n_tags;
	enum err_kind k;
	struct err e;
};

struct blob_job {
	struct digest digest;
	uint64_t size_bytes;
	bool may_be_absent;
	enum { BLOB_HAD, BLOB_MOUNTED, BLOB_CAME, BLOB_WANTED, BLOB_ABSENT } outcome;
	unsigned took; /* BLOB_CAME: enum upload_took */
	bool verified; /* this file hashes to the digest */
	dev_t dev;
	ino_t ino;
	enum err_kind k;
	struct err e;
};

struct import {
	struct store *st;
	const struct import_options *o;
	const struct import_listener *l;
	struct source source;
	struct import_result result;
	void *verified; /* tree of files that were hashed (tsearch) */
	size_t n_verified;
	uint64_t told_mono_ms;
	_Atomic bool stop;
	_Atomic uint64_t read_bytes;

	/* of the repository at hand */
	struct repo_name name;
	struct source_repo repo;
	void *nodes; /* tree of struct node */
	struct manifest_job jobs[GROUP_MAX];
	size_t n_jobs, job_bytes;
	struct blob_job *blobs; /* of the group, by digest */
	size_t n_blobs;
};

/* True for what is wrong with one thing of the source, false for what ends the import. */
bool import_is_refusal(enum err_kind k);
void import_refuse(struct import *im, const char *what, const char *name, const char *reason);
/* Refuses repository@digest. */
void import_refuse_digest(struct import *im, const char *what, const struct digest *d,
			  const char *reason);

/* ERR_IN_USE */
enum err_kind import_stopped(struct err *e);
#define import_stopped(...) err_reported(import_stopped(__VA_ARGS__))

/* Calls fn for 0 to n - 1 by threads of its own, and returns when all are done. */
typedef void import_task_fn(struct import *im, size_t i);
void import_in_parallel(struct import *im, size_t n, import_task_fn *fn);

/*
 * Brings in what the manifests of the group refer to and the store does not have; im->blobs says what became of each, by
 * digest, until import_blobs_clear.
 */
MUST_CHECK enum err_kind import_blobs(struct import *im, struct err *e);
void import_blobs_clear(struct import *im);
const struct blob_job *import_blob_of(const struct import *im, const struct digest *d);
