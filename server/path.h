/*
 * path - which endpoint of the distribution-spec a raw path names, with its parts as types ("API" table of spec.md), or
 * one of ours.
 *
 * H1  Each component is percent-decoded by itself and must then match its grammar: an escaped slash, dot or NUL
 *     is a bad name, never another path.
 * H2  The endpoint is read from the right, so a repository may be called "a/blobs/b".
 * Threads  no shared state.
 */
#pragma once

#include "storage/blob.h"

#define PATHS(X)                                                                                   \
	X(PING, "/v2/")                                                                            \
	X(CATALOG, "/v2/_catalog")                                                                 \
	X(TAGS, "/v2/{name}/tags/list")                                                            \
	X(MANIFEST, "/v2/{name}/manifests/{reference}")                                            \
	X(BLOB, "/v2/{name}/blobs/{digest}")                                                       \
	X(UPLOADS, "/v2/{name}/blobs/uploads/")                                                    \
	X(UPLOAD, "/v2/{name}/blobs/uploads/{id}")                                                 \
	X(REFERRERS, "/v2/{name}/referrers/{digest}")                                              \
	X(TOKEN, "/token")                                                                         \
	X(JWKS, "/.well-known/jwks.json")                                                          \
	X(API_STATS, "/api/v1/stats")                                                              \
	X(API_REPOS, "/api/v1/repositories")                                                       \
	X(API_TAGS, "/api/v1/tags")                                                                \
	X(API_CONTENT, "/api/v1/content")                                                          \
	X(API_HISTORY, "/api/v1/history")                                                          \
	X(API_COPY, "/api/v1/copy")                                                                \
	X(API_MOVE, "/api/v1/move")                                                                \
	X(API_ROLLBACK, "/api/v1/rollback")                                                        \
	X(HEALTH, "/healthz")                                                                      \
	X(LIVE, "/livez")                                                                          \
	X(READY, "/readyz")                                                                        \
	X(STARTUP, "/startupz")                                                                    \
	X(METRICS, "/metrics")
#define X(id, pattern) PATH_##id,
enum path_kind { PATHS(X) PATH_KIND_N };
#undef X

/* What is wrong with a path that names an endpoint. */
enum path_fault { PATH_FINE, PATH_BAD_NAME, PATH_BAD_TAG, PATH_BAD_DIGEST, PATH_BAD_UPLOAD };

struct path {
	enum path_kind kind;
	enum path_fault fault;
	struct repo_name repo;
	bool has_digest; /* of a manifest: by digest, not by tag */
	struct digest digest;
	struct tag_name tag;
	struct upload_id upload;
};

/* False if the path names no endpoint.  With a fault only kind and fault are set. */
MUST_CHECK bool path_parse(struct str raw, struct path *ret);
const char *path_pattern(enum path_kind kind);
