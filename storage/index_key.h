/*
 * index_key - keys and values of the index as bytes; the layouts are specified in FORMAT.md section 4.
 *
 * X1  Encoders write into buffers that always suffice; decoders accept exactly what encoders write and answer
 *     false for anything else, whatever the bytes.
 * X2  All integers are big-endian, so that keys sort by value.
 * Threads  no shared state.
 */
#pragma once

#include "base/digest.h"
#include "base/refname.h"
#include "storage/kv.h"
#include "storage/manifest.h"

#define UPLOAD_ID_BYTES 16
#define DIGEST_PACKED_MAX (1 + DIGEST_BYTES_MAX)

struct upload_id {
	uint8_t bytes[UPLOAD_ID_BYTES];
};

struct key {
	size_t n;
	uint8_t b[KV_KEY_MAX];
};

/*
 * What a repository has of a digest: the byte after repository and digest in keys of the entry table.  Whatever may
 * change together lies together, so that a push touches few pages; holders are neighbours, so that one look tells
 * whether there is any.
 */
enum entry_kind {
	ENTRY_REVIEW = 0,   /* it waits in the review queue: its row's due time */
	ENTRY_LINK = 1,     /* it is a blob of the repository */
	ENTRY_MANIFEST = 2, /* it is a manifest of the repository */
	ENTRY_TAGGED = 3,   /* + tag: the tag points to it */
	ENTRY_HELD = 4,     /* + manifest's id: that manifest refers to it */
	ENTRY_REFERRER =
	    5, /* + hash of artifact type, digest: that manifest has it as its subject */
};

/* What is known of a digest, whoever has it: the byte after the digest in keys of the content table. */
enum content_kind {
	CONTENT_OBJECT = 1, /* there is a file */
	CONTENT_BYTES = 2,  /* the bytes themselves, of small manifests */
	CONTENT_PLACE = 3,  /* + repository: that repository has it */
	CONTENT_TRASH = 4,  /* + number of a row in the trash: that row may want it back */
	CONTENT_REVIEW = 5, /* it waits in the review queue: its row's due time */
};

/* A key is built left to right; each part is appended. */
struct str key_str(const struct key *k);
struct key entry_key(uint64_t repo, const struct digest *d, enum entry_kind kind);
struct key content_key(const struct digest *d, enum content_kind kind);
void key_u8(struct key *k, uint8_t v);
void key_u64(struct key *k, uint64_t v);
void key_digest(struct key *k, const struct digest *d); /* algorithm byte and the bytes it has */
void key_text(struct key *k, struct str s);
void key_upload(struct key *k, const struct upload_id *id);

/* Cursors over encoded bytes; false and unmoved unless the whole part is there and valid. */
bool unpack_u8(struct str *in, uint8_t *ret);
bool unpack_u64(struct str *in, uint64_t *ret);
bool unpack_digest(struct str *in, struct digest *ret);
bool unpack_text(struct str *in, size_t max, struct str *ret); /* u16 length, then bytes */

struct repo_row {
	uint64_t id, created_ms;
};

/* Content: there is a file. */
struct object_row {
	uint64_t size_bytes;
	uint64_t
	    damaged_ms; /* wall clock: when its file was found not to hash to its digest; 0: it does */
};

struct tag_row {
	struct digest digest;
	uint64_t pushed_ms;
	uint64_t pulled_ms; /* 0: never, as far as known */
};

struct manifest_row {
	uint64_t id; /* never used twice; later manifests have greater ones */
	uint64_t pushed_ms, size_bytes;
	bool has_subject;
	struct digest subject;
	char media_type[MEDIA_TYPE_MAX + 1], artifact_type[MEDIA_TYPE_MAX + 1];
};

struct upload_row {
	uint64_t started_ms;
	uint8_t alg; /* enum digest_alg asked for at the start */
	struct repo_name repo;
};

/* Why something waits for review; values are on disk. */
enum review_why {
	REVIEW_FREE = 1,       /* no tag and no manifest of the repository refers to it */
	REVIEW_NO_SUBJECT = 2, /* what it referred to as its subject was deleted */
	REVIEW_CONTENT = 3,    /* no repository has it any more; repository number 0 */
};

/* An entry of the review queue: key (due, repository, digest) and value. */
struct review_row {
	uint64_t due_ms, repo; /* REVIEW_PARKED: not due unless the rules change */
	struct digest digest;
	uint64_t since_ms; /* steady clock: when it came to be so */
	uint8_t why;
};
#define REVIEW_PARKED UINT64_MAX

/* What was deleted and can be restored. */
enum trash_kind { TRASH_MANIFEST = 1, TRASH_BLOB = 2, TRASH_TAG = 3 };
struct trash_row {
	uint64_t id;    /* the key */
	uint64_t at_ms; /* steady clock */
	uint8_t kind;
	bool by_gc; /* not by a client */
	struct digest digest;
	uint64_t size_bytes;
	struct repo_name repo;
	char media_type[MEDIA_TYPE_MAX + 1]; /* TRASH_MANIFEST */
};

/* What a repository holds: each digest once, blobs and manifests. */
struct usage_row {
	uint64_t bytes, objects, tags;
};

struct totals {
	uint64_t objects, bytes;
};

/* When the last process ended in order: the boot of the machine, and how long that had been up. */
#define BOOT_ID_BYTES 16
struct closed_row {
	uint8_t boot[BOOT_ID_BYTES];
	uint64_t up_ms;
};

/* How far the round over all content got that checks it against its digests. */
struct scrub_row {
	uint64_t started_ms, ended_ms; /* wall clock; ended_ms 0: under way */
	uint64_t objects, bytes, damaged;
	bool has_position;
	struct digest position; /* the last one checked */
};

/* Position up to which the reflog is part of the index. */
struct reflog_mark {
	uint64_t segment; /* first sequence number in the file, which names it */
	uint64_t offset;  /* bytes of that file */
	uint64_t seq;     /* last record, 0 before the first */
};

#define ROW_MAX (2 * (MEDIA_TYPE_MAX + 2) + 2 * DIGEST_PACKED_MAX + REPO_NAME_MAX + 64)
struct row {
	size_t n;
	uint8_t b[ROW_MAX];
};
struct str row_str(const struct row *r);

void repo_row_pack(struct row *r, const struct repo_row *v);
bool repo_row_unpack(struct str in, struct repo_row *ret);
void tag_row_pack(struct row *r, const struct tag_row *v);
bool tag_row_unpack(struct str in, struct tag_row *ret);
/* A manifest's value is this, then its references (refs_pack); *ret_refs points into in. */
void manifest_row_pack(struct row *r, const struct manifest_row *v);
bool manifest_row_unpack(struct str in, struct manifest_row *ret, struct str *ret_refs);
void upload_row_pack(struct row *r, const struct upload_row *v);
bool upload_row_unpack(struct str in, struct upload_row *ret);
void reflog_mark_pack(struct row *r, const struct reflog_mark *v);
bool reflog_mark_unpack(struct str in, struct reflog_mark *ret);
void object_row_pack(struct row *r, const struct object_row *v);
bool object_row_unpack(struct str in, struct object_row *ret);
void u64_pack(struct row *r, uint64_t v);
bool u64_unpack(struct str in, uint64_t *ret);
void scrub_row_pack(struct row *r, const struct scrub_row *v);
bool scrub_row_unpack(struct str in, struct scrub_row *ret);
void closed_row_pack(struct row *r, const struct closed_row *v);
bool closed_row_unpack(struct str in, struct closed_row *ret);
void usage_row_pack(struct row *r, const struct usage_row *v);
bool usage_row_unpack(struct str in, struct usage_row *ret);
void totals_pack(struct row *r, const struct totals *v);
bool totals_unpack(struct str in, struct totals *ret);

struct key review_key(const struct review_row *v);
void review_row_pack(struct row *r, const struct review_row *v);
bool review_row_unpack(struct str key, struct str value, struct review_row *ret);

/*
 * A row's value is this, then the length of its tags (u64), the tags that went with it (tag_pack), and the references of
 * a manifest (refs_pack); *ret_tags and *ret_refs point into value.
 */
void trash_row_pack(struct row *r, const struct trash_row *v);
bool trash_row_unpack(struct str key, struct str value, struct trash_row *ret, struct str *ret_tags,
		      struct str *ret_refs);
void tag_pack(struct sbuf *b, struct str tag);
bool tag_next(struct str *in, struct tag_name *ret); /* false at the end and on bad bytes */

/* References of one manifest: kind and digest, one after another. */
void refs_pack(struct sbuf *b, const struct manifest_ref *refs, size_t n);
bool refs_next(struct str *in, struct manifest_ref *ret); /* false at the end and on bad bytes */

/* A referrer: artifact type, then the descriptor's JSON. */
void referrer_pack(struct sbuf *b, struct str artifact_type, struct str descriptor);
bool referrer_unpack(struct str in, struct str *ret_type, struct str *ret_descriptor);
/* Spreads artifact types over the key space, so that a filter reads only what it returns. */
uint64_t artifact_type_hash(struct str type);
