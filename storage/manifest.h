/*
 * manifest - parse and check what a client pushes as a manifest (image-spec manifest.md, image-index.md;
 * Docker "Image Manifest Version 2, Schema 2").
 *
 * M1  A struct manifest exists only if its bytes are one strict JSON object of the kind its media type says:
 *     a manifest with config and layers, or an index with manifests, never both.
 * M2  Every descriptor in it has a valid media type, a digest that berth can check, and a size >= 0.
 * Ownership  the struct owns what it points to; the bytes it was parsed from are not kept.
 * Threads    no shared state; parsing costs time proportional to the bytes.
 */
#pragma once

#include "base/digest.h"
#include "base/err.h"
#include "base/mediatype.h"

#define MANIFEST_DEPTH_MAX 2048 /* nesting that no option exceeds */

enum ref_kind { REF_CONFIG = 1, REF_LAYER = 2, REF_CHILD = 3 }; /* values are on disk: FORMAT.md */

struct manifest_ref {
	struct digest digest;
	uint64_t size_bytes;
	uint8_t kind;       /* enum ref_kind */
	bool may_be_absent; /* layers of a non-distributable type */
	bool was_absent;    /* the repository did not have it when the manifest was accepted */
};

struct manifest {
	struct digest digest;
	uint64_t size_bytes;
	enum media_kind kind; /* MEDIA_MANIFEST or MEDIA_INDEX */
	char media_type[MEDIA_TYPE_MAX + 1];
	char artifact_type[MEDIA_TYPE_MAX + 1]; /* of the referrers API; "" if there is none */
	bool has_subject;
	struct digest subject;
	struct manifest_ref *refs; /* sorted by digest, each once */
	size_t n_refs;
	char *descriptor; /* what the referrers API lists, JSON text; NULL without a subject */
};

/*
 * d is the digest of body.  ERR_INVALID says what is wrong with the document, ERR_UNSUPPORTED that it is a kind
 * berth does not store (Docker schema 1).
 */
MUST_CHECK enum err_kind manifest_parse(struct str body, struct str media_type,
					const struct digest *d, unsigned depth_max,
					struct manifest *ret, struct err *e);
/*
 * The media type of a manifest that came without one: what the document says, or else what it must be by the members it
 * has.  ERR_INVALID for a document that is no manifest.
 */
MUST_CHECK enum err_kind manifest_type_of(struct str body, unsigned depth_max,
					  char ret[static MEDIA_TYPE_MAX + 1], struct err *e);
void manifest_clear(struct manifest *m);
#define AUTO_MANIFEST CLEANUP(manifest_clear) struct manifest
