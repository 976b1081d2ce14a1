#include "runtime/image/url.h"

#include <arpa/inet.h>

static bool is_host_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-._[]:", c));
}

static bool copy_host(struct str in, char ret[static URL_HOST_MAX + 1])
{
	if (in.n == 0 || in.n > URL_HOST_MAX)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		if (!is_host_char(in.p[i]))
			return false;
		ret[i] = (char)(in.p[i] >= 'A' && in.p[i] <= 'Z' ? in.p[i] - 'A' + 'a' : in.p[i]);
	}
	ret[in.n] = '\0';
	return true;
}

/* "HOST", "HOST:PORT", "[ADDRESS]:PORT" */
static bool parse_authority(struct url *u, struct str in)
{
	const char *end = in.n && in.p[0] == '[' ? memchr(in.p, ']', in.n) : NULL;
	struct str host, port;
	uint64_t v;

	if (end) {
		host = (struct str){ in.p, (size_t)(end - in.p) + 1 };
		port = (struct str){ end + 1, in.n - host.n };
		if (port.n && !scan_char(&port, ':'))
			return false;
	} else {
		(void)str_cut(in, ':', &host, &port);
	}
	if (!copy_host(host, u->host) || (!end && strpbrk(u->host, "[]:")))
		return false;
	u->port = u->is_https ? 443 : 80;
	if (port.n == 0)
		return true;
	if (!scan_u64(&port, 65535, &v) || !scan_end(&port) || v == 0)
		return false;
	u->port = (unsigned)v;
	return true;
}

bool url_parse(struct url *ret, struct str in)
{
	struct url u = { 0 };
	struct str authority;
	size_t n = 0;

	if (in.n > URL_MAX)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		if ((unsigned char)in.p[i] <= ' ' || in.p[i] == 0x7f)
			return false;
	}
	if (in.n > 8 && str_eq_nocase((struct str){ in.p, 8 }, STR("https://"))) {
		u.is_https = true;
		n = 8;
	} else if (in.n > 7 && str_eq_nocase((struct str){ in.p, 7 }, STR("http://"))) {
		n = 7;
	} else {
		return false;
	}
	authority = (struct str){ in.p + n, in.n - n };
	for (n = 0; n < authority.n && !memchr("/?#", authority.p[n], 3);)
		n++;
	u.rest = (struct str){ authority.p + n, authority.n - n };
	authority.n = n;
	if (u.rest.n == 0)
		u.rest = STR("/");
	if (memchr(authority.p, '@', authority.n) || !parse_authority(&u, authority))
		return false;
	*ret = u;
	return true;
}

/* "ftp:...", but not "a/b:c". */
static bool has_scheme(struct str s)
{
	size_t n = 0;

	while (n < s.n && !memchr(":/?#", s.p[n], 4))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':';
}

/* Bytes of base that stay in front of a reference that is relative to it. */
static size_t kept(struct str base, struct str reference)
{
	size_t scheme = (size_t)((const char *)memchr(base.p, ':', base.n) - base.p) + 3;
	size_t authority = scheme, path, n;

	while (authority < base.n && !memchr("/?#", base.p[authority], 3))
		authority++;
	for (path = authority; path < base.n && !memchr("?#", base.p[path], 2);)
		path++;
	if (reference.n && reference.p[0] == '/')
		return authority;
	if (reference.n == 0 || reference.p[0] == '?')
		return path;
	for (n = path; n > authority && base.p[n - 1] != '/';)
		n--;
	return n;
}

bool url_resolve(struct str base, struct str reference, struct sbuf *ret)
{
	struct url u;
	size_t n;

	if (!url_parse(&u, base))
		return false;
	if (has_scheme(reference)) {
		sbuf_add_str(ret, reference);
	} else if (str_starts(reference, STR("//"))) {
		sbuf_addf(ret, "%s:%.*s", u.is_https ? "https" : "http", STR_FMT(reference));
	} else {
		n = kept(base, reference);
		sbuf_addf(ret, "%.*s%s%.*s", (int)n, base.p,
			  base.p[n - 1] != '/' && reference.n && !memchr("/?", reference.p[0], 2)
			      ? "/"
			      : "",
			  STR_FMT(reference));
	}
	return !ret->failed && url_parse(&u, (struct str){ ret->p, ret->n });
}

bool url_same_origin(const struct url *a, const struct url *b)
{
	return a->is_https == b->is_https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

bool host_is_loopback(const char *host)
{
	struct in_addr a;
	struct in6_addr b;
	char text[URL_HOST_MAX + 1];

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &a) == 1)
		return ntohl(a.s_addr) >> 24 == 127;
	return host[0] == '[' && str_copy(str_of(host + 1), text, sizeof(text)) &&
	       (text[strcspn(text, "]")] = '\0', inet_pton(AF_INET6, text, &b) == 1) &&
	       IN6_IS_ADDR_LOOPBACK(&b);
}

void url_add_query(struct sbuf *b, const char *key, struct str value)
{
	bool first = !b->p || !memchr(b->p, '?', b->n);

	sbuf_addf(b, "%s%s=", first ? "?" : "&", key);
	sbuf_add_percent(b, value, "");
}
