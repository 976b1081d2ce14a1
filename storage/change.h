/*
 * change - one alteration of what clients can see, as a value: the committer applies it to the index, the reflog
 * records it, a rebuild reads it back.
 *
 * Ownership  a change borrows what it points to until the call that takes it returns; missing is the caller's to free.
 */
#pragma once

#include "storage/index_key.h"

enum change_kind {
	CHANGE_BLOB_LINK,   /* a blob, whose file is durable, becomes visible in a repository */
	CHANGE_BLOB_MOUNT,  /* the same for a blob that `from` (or, without it, anyone) has */
	CHANGE_BLOB_UNLINK, /* ERR_IN_USE while a manifest of the repository refers to it */
	CHANGE_MANIFEST_PUT, /* a manifest, whose file is durable, under its digest and n_tags tags */
	CHANGE_MANIFEST_DELETE, /* with all its tags */
	CHANGE_TAG_DELETE,      /* tags[0] only */
	CHANGE_UPLOAD_OPEN,     /* upload sessions are not in the reflog */
	CHANGE_UPLOAD_CLOSE,
	CHANGE_SETTLE,     /* files of all manifests up to a mark are durable; not in the reflog */
	CHANGE_COLLECT,    /* what is due for review, if it still is garbage */
	CHANGE_PURGED,     /* the file of collected content is gone; not in the reflog */
	CHANGE_TRASH_DROP, /* cannot be restored any more; not in the reflog */
	CHANGE_PULLED,     /* when tags were pulled; not in the reflog */
	CHANGE_CLOSED, /* the process ends in order, or, without closed, begins; not in the reflog */
	CHANGE_MEND,   /* a row is checked, and what is wrong with it mended; not in the reflog */
	CHANGE_DAMAGE, /* a file was checked against its digest; not in the reflog */
	CHANGE_FOUND, /* a file that was checked, of content whose row was lost; not in the reflog */
	CHANGE_SCRUBBED, /* how far the checks of files got; not in the reflog */
	CHANGE_RULES,    /* the queue was reviewed by these rules; not in the reflog */
	CHANGE_KIND_N
};

/* What comes of a review. */
enum verdict {
	VERDICT_STALE,    /* something refers to it: it leaves the queue */
	VERDICT_WAIT,     /* not yet: it is due later */
	VERDICT_PARK,     /* the rules keep it */
	VERDICT_LINK,     /* the repository loses the blob */
	VERDICT_MANIFEST, /* the repository loses the manifest */
	VERDICT_CONTENT,  /* no repository has it: the file goes */
	VERDICT_LEASED,   /* of store_collect only: a client was told of it, or may be */
	VERDICT_BUSY,     /* of store_collect only: it is being pushed */
	VERDICT_N
};

/* A tag was pulled. */
struct pull {
	uint64_t repo, at_ms; /* number of the repository; wall clock */
	struct tag_name tag;
};

/* The rules for a review. */
struct review_policy {
	uint64_t now_ms; /* steady clock */
	uint64_t
	    untagged_keep_ms; /* after which a manifest without a tag is garbage; UINT64_MAX: never */
};

/* Which manifests may refer to content that is not there (promise P4 is kept by the first two). */
enum sparse { SPARSE_NONE, SPARSE_INDEX, SPARSE_ALL };

/*
 * Who asks for a change, and what they may do, looked at while it is applied, by the committer: these must not block.  NULL
 * forbids nothing.
 */
struct change_guard {
	const void *arg;
	bool (*may_read)(const void *arg, const struct repo_name *repo); /* to mount from it */
	bool (*tag_is_fixed)(const void *arg, const struct repo_name *repo, struct str tag);
	const char *
	    who; /* identity for the reflog, up to CHANGE_WHO_MAX bytes of UTF-8; NULL: nobody known */
	bool by_admin; /* by a command, not by a client */
};
#define CHANGE_WHO_MAX 300

struct trace;
struct change {
	enum change_kind kind;
	const struct change_guard *guard; /* NULL: everything may be done, by nobody known */
	const struct trace *trace;        /* that the request is part of; NULL: none */
	struct repo_name repo;
	uint64_t at_ms; /* wall clock */
	struct digest digest;
	uint64_t size_bytes;   /* BLOB_LINK, FOUND: of the file; BLOB_MOUNT: filled in */
	struct repo_name from; /* BLOB_MOUNT: source, len 0 for any; filled in */
	/*
	 * BLOB_MOUNT: of content that is there, though nobody may have it.  MANIFEST_PUT: ERR_IN_USE if a tag points
	 * somewhere already; content that is damaged counts as there.
	 */
	bool from_trash;
	const struct manifest
	    *manifest;    /* MANIFEST_PUT; was_absent of its references is filled in */
	struct str bytes; /* MANIFEST_PUT: what was pushed */
	uint64_t
	    pushed_ms; /* MANIFEST_PUT: when it was, elsewhere; 0: at_ms.  MANIFEST_DELETE: see if_free */
	enum sparse sparse; /* MANIFEST_PUT */
	const struct tag_name *tags;
	size_t n_tags;
	struct upload_id upload; /* UPLOAD_*; BLOB_LINK: the session it ends, if has_upload */
	bool has_upload;
	uint8_t upload_alg;    /* UPLOAD_OPEN: enum digest_alg */
	uint64_t uploads_max;  /* UPLOAD_OPEN: ERR_TOO_MANY beyond it */
	uint64_t clock_ms;     /* steady clock */
	uint64_t review_at_ms; /* steady clock: when gc may look at what this leaves unreferenced */
	bool trash;            /* what this removes can be restored for a while */
	bool by_gc;
	struct reflog_mark settled; /* SETTLE */
	struct review_row review;   /* COLLECT */
	bool stays; /* COLLECT: clients may be told of it at this moment, so it must not go */
	struct review_policy policy;
	enum verdict
	    verdict;       /* COLLECT: what came of it; repo, digest and size_bytes are filled in */
	uint64_t trash_id; /* TRASH_DROP */
	const struct pull *pulls; /* PULLED */
	size_t n_pulls;
	const struct closed_row *closed; /* CLOSED */
	/*
	 * TAG_DELETE, MANIFEST_PUT: ERR_IN_USE if one of the tags is not as it was seen, digest.alg 0: not there.  NULL:
	 * whatever it is.
	 */
	const struct tag_row *expected;
	bool keep_tags; /* MANIFEST_PUT: ERR_IN_USE if one of the tags points to something else */
	bool
	    if_free; /* MANIFEST_DELETE: ERR_IN_USE if something refers to it, or if it was not pushed at pushed_ms */

	enum kv_table row_table;       /* MEND: of the row; KV_META stands for the totals */
	struct key row_key;            /* MEND */
	uint64_t n_mended;             /* MEND: filled in */
	bool is_damaged;               /* DAMAGE */
	const struct scrub_row *scrub; /* SCRUBBED */
	uint64_t rules;                /* RULES: what stands for them */

	/* MANIFEST_PUT that ends with ERR_REFS: the digests that are not in the repository. */
	struct digest *missing;
	size_t n_missing;
};
