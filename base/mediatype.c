#include "base/mediatype.h"

static const struct {
	const char *type;
	enum media_kind kind;
} manifest_types[] = {
	{ MEDIA_OCI_MANIFEST, MEDIA_MANIFEST },
	{ MEDIA_OCI_INDEX, MEDIA_INDEX },
	{ MEDIA_DOCKER_MANIFEST, MEDIA_MANIFEST },
	{ MEDIA_DOCKER_LIST, MEDIA_INDEX },
	{ MEDIA_DOCKER_SCHEMA1, MEDIA_SCHEMA1 },
	{ "application/vnd.docker.distribution.manifest.v1+prettyjws", MEDIA_SCHEMA1 },
};

enum media_kind media_kind_of(struct str type)
{
	for (size_t i = 0; i < ARRAY_LEN(manifest_types); i++) {
		if (str_eq(type, str_of(manifest_types[i].type)))
			return manifest_types[i].kind;
	}
	return MEDIA_OTHER;
}

bool media_is_docker(struct str type)
{
	return str_starts(type, STR("application/vnd.docker.distribution.manifest."));
}

bool media_is_nondistributable(struct str type)
{
	return str_starts(type, STR("application/vnd.oci.image.layer.nondistributable.v1.tar")) ||
	       str_eq(type, STR("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")) ||
	       str_eq(type, STR("application/vnd.docker.image.rootfs.foreign.diff.tar"));
}

static bool is_name(struct str s)
{
	if (s.n == 0 || s.n > 127)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!alnum && (i == 0 || !memchr("!#$&-^_.+", c, 9)))
			return false;
	}
	return true;
}

bool media_type_is_valid(struct str type)
{
	struct str major, minor;

	return str_cut(type, '/', &major, &minor) && is_name(major) && is_name(minor);
}

struct str media_type_bare(struct str field)
{
	struct str head, rest;

	(void)str_cut(field, ';', &head, &rest); /* without ';' the head is the whole field */
	return str_trim(head);
}
