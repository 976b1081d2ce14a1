/*
 * refname - repository and tag names as types (distribution-spec "Pulling manifests").
 *
 * N1  A struct repo_name or tag_name exists only if its text matched the specification's grammar:
 *     name  [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*   at most 255 bytes
 *     tag   [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

#define REPO_NAME_MAX 255
#define TAG_NAME_MAX 128

struct repo_name {
	uint8_t len;
	char s[REPO_NAME_MAX + 1]; /* NUL-terminated */
};

struct tag_name {
	uint8_t len;
	char s[TAG_NAME_MAX + 1]; /* NUL-terminated */
};

MUST_CHECK bool repo_name_parse(struct repo_name *ret, struct str in);
MUST_CHECK bool tag_name_parse(struct tag_name *ret, struct str in);
struct str repo_name_str(const struct repo_name *r);
struct str tag_name_str(const struct tag_name *t);
