/*
 * mediatype - the media types that berth gives a meaning to, and the grammar of all others.
 *
 * Sources  image-spec media-types.md; Docker "Image Manifest Version 2, Schema 2"; RFC 6838 4.2 (names).
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

#define MEDIA_TYPE_MAX 255 /* RFC 6838: 127 + '/' + 127 */

#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_SCHEMA1 "application/vnd.docker.distribution.manifest.v1+json"
#define MEDIA_OCTETS "application/octet-stream"
#define MEDIA_JSON "application/json"

enum media_kind {
	MEDIA_OTHER,    /* nothing that may be stored as a manifest */
	MEDIA_MANIFEST, /* OCI image manifest or Docker schema 2: config and layers */
	MEDIA_INDEX,    /* OCI index or Docker manifest list: manifests */
	MEDIA_SCHEMA1,  /* Docker schema 1: known, refused */
};

enum media_kind media_kind_of(struct str type);
bool media_is_docker(struct str type);
/* Layers of this type need not be pushed (image-spec "Non-distributable layers"). */
bool media_is_nondistributable(struct str type);
/* type "/" subtype by RFC 6838, at most MEDIA_TYPE_MAX bytes, without parameters. */
bool media_type_is_valid(struct str type);
/* A Content-Type field value without its parameters and blanks. */
struct str media_type_bare(struct str field);
