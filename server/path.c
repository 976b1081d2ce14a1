#include "server/path.h"

#define SEGMENTS_MAX (REPO_NAME_MAX / 2 + 8) /* more cannot be a valid name */
#define REFERENCE_MAX 256 /* longer than any digest or tag, before decoding is done */

static const char *const patterns[PATH_KIND_N] = {
#define X(id, pattern) [PATH_##id] = (pattern),
	PATHS(X)
#undef X
};

const char *path_pattern(enum path_kind kind)
{
	return patterns[kind];
}

static size_t split(struct str s, struct str *segs)
{
	size_t n = 0;
	bool more = true;

	while (more && n < SEGMENTS_MAX)
		more = str_cut(s, '/', &segs[n++], &s);
	return more ? 0 : n;
}

/* Decoded components joined again; one that holds a slash by escape is none. */
static bool parse_name(const struct str *segs, size_t n, struct repo_name *ret)
{
	char name[REPO_NAME_MAX + 1];
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		size_t got;

		if (i && len < sizeof(name))
			name[len++] = '/';
		if (!percent_decode(segs[i], false, name + len, sizeof(name) - len, &got) ||
		    memchr(name + len, '/', got))
			return false;
		len += got;
	}
	return repo_name_parse(ret, (struct str){ name, len });
}

static void parse_digest(struct str decoded, struct path *p)
{
	p->has_digest = digest_parse(&p->digest, decoded);
	if (!p->has_digest)
		p->fault = PATH_BAD_DIGEST;
}

/* A colon is part of every digest and of no tag. */
static void parse_reference(struct str decoded, struct path *p)
{
	if (memchr(decoded.p, ':', decoded.n))
		parse_digest(decoded, p);
	else if (!tag_name_parse(&p->tag, decoded))
		p->fault = PATH_BAD_TAG;
}

static void parse_last(struct str raw, struct path *p)
{
	char text[REFERENCE_MAX];
	struct str decoded = { text, 0 };

	if (!percent_decode(raw, false, text, sizeof(text), &decoded.n))
		decoded.n = 0; /* the empty text is valid nowhere */
	if (p->kind == PATH_MANIFEST)
		parse_reference(decoded, p);
	else if (p->kind == PATH_UPLOAD && !upload_id_parse(&p->upload, decoded))
		p->fault = PATH_BAD_UPLOAD;
	else if (p->kind == PATH_BLOB || p->kind == PATH_REFERRERS)
		parse_digest(decoded, p);
}

/* The kind, and how many segments from the left are the name. */
static bool classify(const struct str *segs, size_t n, enum path_kind *ret, size_t *ret_name)
{
	static const struct {
		const char *noun;
		enum path_kind kind;
	} nouns[] = {
		{ "manifests", PATH_MANIFEST },
		{ "blobs", PATH_BLOB },
		{ "referrers", PATH_REFERRERS },
	};

	if (n >= 4 && str_eq(segs[n - 3], STR("blobs")) && str_eq(segs[n - 2], STR("uploads"))) {
		*ret = segs[n - 1].n ? PATH_UPLOAD : PATH_UPLOADS;
		*ret_name = n - 3;
		return true;
	}
	if (n < 3 || segs[n - 1].n == 0)
		return false;
	*ret_name = n - 2;
	if (str_eq(segs[n - 2], STR("tags")) && str_eq(segs[n - 1], STR("list"))) {
		*ret = PATH_TAGS;
		return true;
	}
	if (str_eq(segs[n - 2], STR("blobs")) && str_eq(segs[n - 1], STR("uploads"))) {
		*ret = PATH_UPLOADS;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(nouns); i++) {
		if (str_eq(segs[n - 2], str_of(nouns[i].noun))) {
			*ret = nouns[i].kind;
			return true;
		}
	}
	return false;
}

bool path_parse(struct str raw, struct path *ret)
{
	struct str segs[SEGMENTS_MAX];
	size_t n, n_name;

	*ret = (struct path){ .fault = PATH_FINE };
	if (str_eq(raw, STR("/v2"))) {
		ret->kind = PATH_PING;
		return true;
	}
	for (unsigned i = 0; i < PATH_KIND_N; i++) {
		if (!strchr(patterns[i], '{') && str_eq(raw, str_of(patterns[i]))) {
			ret->kind = (enum path_kind)i;
			return true;
		}
	}
	if (!str_starts(raw, STR("/v2/")))
		return false;
	n = split((struct str){ raw.p + 4, raw.n - 4 }, segs);
	if (!classify(segs, n, &ret->kind, &n_name))
		return false;
	if (!parse_name(segs, n_name, &ret->repo))
		ret->fault = PATH_BAD_NAME;
	else
		parse_last(segs[n - 1], ret);
	return true;
}
