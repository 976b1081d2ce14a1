#include "runtime/image/reference.h"

#include <arpa/inet.h>

#define DEFAULT_HOST "docker.io"
#define DEFAULT_SPACE "library/"
#define DEFAULT_TAG "latest"
#define PORT_MAX 65535
#define GROUPS 8 /* of an IPv6 address */

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_label(struct str s)
{
	if (s.n == 0 || s.n > 63 || s.p[0] == '-' || s.p[s.n - 1] == '-')
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	}
	return true;
}

static bool is_name(struct str s)
{
	struct str label;
	bool more;

	do {
		more = str_cut(s, '.', &label, &s);
		if (!is_label(label))
			return false;
	} while (more);
	return true;
}

static bool is_port(struct str s)
{
	uint64_t v;
	struct str rest = s;

	return s.n <= 5 && scan_u64(&rest, PORT_MAX, &v) && scan_end(&rest) && v > 0 &&
	       s.p[0] != '0';
}

/* "[ADDRESS]", in one spelling. */
static bool parse_ipv6(struct str in, char *ret, size_t cap)
{
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];

	return in.n > 2 && str_copy((struct str){ in.p + 1, in.n - 2 }, text, sizeof(text)) &&
	       inet_pton(AF_INET6, text, &a) == 1 && inet_ntop(AF_INET6, &a, text, sizeof(text)) &&
	       snprintf(ret, cap, "[%s]", text) < (int)cap;
}

bool reference_host_parse(char ret[static REFERENCE_HOST_MAX + 1], struct str in)
{
	const char *end = in.n && in.p[0] == '[' ? memchr(in.p, ']', in.n) : NULL;
	struct str name, rest = { "", 0 };
	char out[REFERENCE_HOST_MAX + 1];
	size_t n;

	if (in.n > REFERENCE_HOST_MAX)
		return false;
	if (end) {
		name = (struct str){ in.p, (size_t)(end - in.p) + 1 };
		rest = (struct str){ end + 1, in.n - name.n };
		if (rest.n && !scan_char(&rest, ':'))
			return false;
		if (!parse_ipv6(name, out, sizeof(out)) || (end[1] && in.n > name.n && rest.n == 0))
			return false;
	} else {
		bool has_port = str_cut(in, ':', &name, &rest);

		if (!is_name(name) || (has_port && rest.n == 0) ||
		    !str_copy(name, out, sizeof(out)))
			return false;
	}
	if (rest.n && !is_port(rest))
		return false;
	for (n = 0; out[n]; n++) {
		if (out[n] >= 'A' && out[n] <= 'Z')
			out[n] = (char)(out[n] - 'A' + 'a');
	}
	if (strcmp(out, "index.docker.io") == 0 && rest.n == 0)
		(void)str_copy(STR(DEFAULT_HOST), out, sizeof(out));
	return snprintf(ret, REFERENCE_HOST_MAX + 1, "%s%s%.*s", out, rest.n ? ":" : "",
			STR_FMT(rest)) <= REFERENCE_HOST_MAX;
}

static enum err_kind invalid(struct str in, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is no image reference: %s",
		       (int)MIN(in.n, (size_t)100), in.p, why);
}

/* What comes before the first slash is a host only if it cannot be a part of a repository on Docker Hub. */
static bool looks_like_host(struct str head)
{
	if (str_eq(head, STR("localhost")) || memchr(head.p, '.', head.n) ||
	    memchr(head.p, ':', head.n))
		return true;
	for (size_t i = 0; i < head.n; i++) {
		if (head.p[i] >= 'A' && head.p[i] <= 'Z')
			return true;
	}
	return false;
}

static bool parse_repo(struct reference *r, struct str path)
{
	char full[REPO_NAME_MAX + 1];

	if (strcmp(r->host, DEFAULT_HOST) != 0 || memchr(path.p, '/', path.n))
		return repo_name_parse(&r->repo, path);
	if (path.n > REPO_NAME_MAX - (sizeof(DEFAULT_SPACE) - 1))
		return false;
	(void)snprintf(full, sizeof(full), DEFAULT_SPACE "%.*s", STR_FMT(path));
	return path.n > 0 && repo_name_parse(&r->repo, str_of(full));
}

static bool has_upper(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] >= 'A' && s.p[i] <= 'Z')
			return true;
	}
	return false;
}

static bool is_image_id(struct str s)
{
	if (s.n != 64)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (hex_value(s.p[i]) < 0)
			return false;
	}
	return true;
}

/* Cuts the tag off: what follows a colon behind the last slash. */
static bool cut_tag(struct str *name, struct str *ret_tag)
{
	size_t n = name->n;

	while (n > 0 && name->p[n - 1] != '/' && name->p[n - 1] != ':')
		n--;
	if (n == 0 || name->p[n - 1] == '/')
		return false;
	*ret_tag = (struct str){ name->p + n, name->n - n };
	name->n = n - 1;
	return true;
}

static enum err_kind parse_name(struct reference *r, struct str whole, struct str name,
				struct err *e)
{
	struct str head, path;

	if (!str_cut(name, '/', &head, &path) || !looks_like_host(head)) {
		path = name;
		head = STR(DEFAULT_HOST);
	}
	if (!reference_host_parse(r->host, head))
		return invalid(whole, "the registry's name is not valid", e);
	if (has_upper(path))
		return invalid(whole, "repository names are lower case", e);
	if (!parse_repo(r, path))
		return invalid(whole, "the repository's name is not valid", e);
	return ERR_OK;
}

enum err_kind reference_parse(struct reference *ret, struct str in, struct err *e)
{
	struct reference r = { 0 };
	struct str name, digest, tag;
	bool has_digest = str_cut(in, '@', &name, &digest);
	enum err_kind k;

	if (in.n == 0)
		return invalid(in, "it is empty", e);
	if (has_digest && !digest_parse(&r.digest, digest))
		return invalid(in, "after @ comes sha256: or sha512: and lower-case hex digits", e);
	r.has_digest = has_digest;
	if (cut_tag(&name, &tag)) {
		if (!tag_name_parse(&r.tag, tag))
			return invalid(in, "the tag is not valid", e);
	} else if (!has_digest) {
		(void)!tag_name_parse(&r.tag, STR(DEFAULT_TAG));
	}
	if (!has_digest && is_image_id(name))
		return invalid(in, "64 hex digits are an image's id: write NAME@sha256:...", e);
	k = parse_name(&r, in, name, e);
	if (k == ERR_OK)
		*ret = r;
	return k;
}

static void append_rest(const struct reference *r, char *buf, size_t n)
{
	char digest[DIGEST_TEXT_MAX];

	if (r->tag.len)
		n += (size_t)snprintf(buf + n, REFERENCE_TEXT_MAX - n, ":%s", r->tag.s);
	if (r->has_digest)
		(void)snprintf(buf + n, REFERENCE_TEXT_MAX - n, "@%s",
			       digest_text(&r->digest, digest));
}

const char *reference_name(const struct reference *r, char buf[static REFERENCE_TEXT_MAX])
{
	(void)snprintf(buf, REFERENCE_TEXT_MAX, "%s/%s", r->host, r->repo.s);
	return buf;
}

const char *reference_text(const struct reference *r, char buf[static REFERENCE_TEXT_MAX])
{
	(void)reference_name(r, buf);
	append_rest(r, buf, strlen(buf));
	return buf;
}

const char *reference_short(const struct reference *r, char buf[static REFERENCE_TEXT_MAX])
{
	struct str repo = repo_name_str(&r->repo);

	if (strcmp(r->host, DEFAULT_HOST) != 0)
		return reference_text(r, buf);
	if (str_starts(repo, STR(DEFAULT_SPACE)) &&
	    !memchr(repo.p + sizeof(DEFAULT_SPACE) - 1, '/', repo.n - (sizeof(DEFAULT_SPACE) - 1)))
		repo = (struct str){ repo.p + sizeof(DEFAULT_SPACE) - 1,
				     repo.n - (sizeof(DEFAULT_SPACE) - 1) };
	(void)snprintf(buf, REFERENCE_TEXT_MAX, "%.*s", STR_FMT(repo));
	append_rest(r, buf, strlen(buf));
	return buf;
}

static void ipv6_to_store(struct str address, char *out, size_t cap)
{
	struct in6_addr a = { 0 };
	char text[INET6_ADDRSTRLEN];
	size_t n = 0;

	(void)str_copy(address, text, sizeof(text)); /* it parsed before */
	(void)inet_pton(AF_INET6, text, &a);
	for (unsigned i = 0; i < GROUPS && n < cap; i++)
		n += (size_t)snprintf(out + n, cap - n, "%s%x", i ? "_" : "",
				      a.s6_addr[2 * i] << 8 | a.s6_addr[2 * i + 1]);
}

bool reference_to_store(const struct reference *r, struct repo_name *ret)
{
	char host[REFERENCE_HOST_MAX + 64], text[sizeof(host) + 8 + REPO_NAME_MAX];
	const char *end = r->host[0] == '[' ? strchr(r->host, ']') : NULL;
	struct str name, port;
	int n;

	if (end) {
		ipv6_to_store((struct str){ r->host + 1, (size_t)(end - r->host) - 1 }, host,
			      sizeof(host));
		port = str_of(end[1] ? end + 2 : "");
	} else {
		(void)str_cut(str_of(r->host), ':', &name, &port);
		(void)str_copy(name, host, sizeof(host));
	}
	n = snprintf(text, sizeof(text), "%s%s%.*s/%s", host, port.n ? "__" : "", STR_FMT(port),
		     r->repo.s);
	return n > 0 && (size_t)n < sizeof(text) && repo_name_parse(ret, str_of(text));
}

/* "0_0_0_0_0_0_0_1" as "[::1]". */
static bool ipv6_from_store(struct str in, char *out, size_t cap)
{
	char text[64];

	if (!str_copy(in, text, sizeof(text)))
		return false;
	for (char *at = text; *at; at++) {
		if (*at == '_')
			*at = ':';
	}
	(void)snprintf(out, cap, "[%s]", text);
	return true;
}

bool reference_from_store(struct reference *ret, struct str name)
{
	struct reference r = { 0 };
	struct str head, path, port = { "", 0 };
	char host[REFERENCE_HOST_MAX + 1], full[REFERENCE_HOST_MAX + 8];
	const char *at;

	if (!str_cut(name, '/', &head, &path))
		return false;
	at = memmem(head.p, head.n, "__", 2);
	if (at) {
		port = (struct str){ at + 2, head.n - (size_t)(at - head.p) - 2 };
		head.n = (size_t)(at - head.p);
	}
	if (memchr(head.p, '_', head.n)) {
		if (!ipv6_from_store(head, host, sizeof(host)))
			return false;
	} else if (!str_copy(head, host, sizeof(host))) {
		return false;
	}
	(void)snprintf(full, sizeof(full), "%s%s%.*s", host, port.n ? ":" : "", STR_FMT(port));
	if (!reference_host_parse(r.host, str_of(full)) || !repo_name_parse(&r.repo, path))
		return false;
	*ret = r;
	return true;
}
