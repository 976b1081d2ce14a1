#include "server/origin.h"

#include "server/request.h"
#include "server/tls.h"

static bool is_host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.';
}

/* "[::1]" or "name"; *ret_rest is what follows. */
static bool split_host(struct str in, struct str *ret_host, struct str *ret_rest)
{
	size_t n = 0;

	if (in.n && in.p[0] == '[') {
		while (n < in.n &&
		       (n == 0 || hex_value(in.p[n]) >= 0 || in.p[n] == ':' || in.p[n] == '.'))
			n++;
		if (n < 3 || n == in.n || in.p[n++] != ']')
			return false;
	} else {
		while (n < in.n && is_host_byte(in.p[n]))
			n++;
	}
	*ret_host = (struct str){ in.p, n };
	*ret_rest = (struct str){ in.p + n, in.n - n };
	return n > 0 && n <= 255;
}

/* ":PORT", or nothing. */
static bool take_port(struct str *rest)
{
	uint64_t port;

	return !scan_char(rest, ':') || scan_u64(rest, 65535, &port);
}

bool host_is_wellformed(struct str field)
{
	struct str host, rest;

	return split_host(field, &host, &rest) && take_port(&rest) && rest.n == 0;
}

static bool is_path(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_host_byte(s.p[i]) && s.p[i] != '/' && s.p[i] != '_' && s.p[i] != '~')
			return false;
	}
	return s.n == 0 || s.p[0] == '/';
}

enum err_kind origin_parse(struct str url, struct origin *ret, struct err *e)
{
	struct str rest = url, host;
	size_t n_scheme =
	    str_starts(url, STR("https://")) ? 8 : (str_starts(url, STR("http://")) ? 7 : 0);

	*ret = (struct origin){ .url = "" };
	while (url.n && url.p[url.n - 1] == '/')
		url.n--;
	if (url.n == 0)
		return ERR_OK;
	rest = (struct str){ url.p + n_scheme, url.n > n_scheme ? url.n - n_scheme : 0 };
	if (!n_scheme || url.n >= ORIGIN_MAX || !split_host(rest, &host, &rest) ||
	    !take_port(&rest) || !is_path(rest))
		return err_set(
		    e, ERR_INVALID, __func__,
		    "http.external_url must be http:// or https:// with a host and perhaps "
		    "a port and a path");
	(void)str_copy(url, ret->url, sizeof(ret->url));
	(void)str_copy(rest, ret->prefix, sizeof(ret->prefix));
	return ERR_OK;
}

static bool is_loopback_name(struct str host)
{
	return str_eq_nocase(host, STR("localhost")) || str_eq(host, STR("[::1]")) ||
	       str_starts(host, STR("127."));
}

/* N1 */
static bool may_be_ours(const struct request *rq, struct str field)
{
	char name[256];
	struct str host, rest;

	if (!host_is_wellformed(field) || !split_host(field, &host, &rest))
		return false;
	if (!rq->server->tls)
		return is_loopback_name(host);
	if (host.p[0] == '[')
		host = (struct str){ host.p + 1, host.n - 2 };
	return str_copy(host, name, sizeof(name)) && tls_has_name(rq->server->tls, name);
}

const char *origin_of(const struct request *rq, char buf[static ORIGIN_MAX])
{
	const char *scheme = rq->server->tls ? "https" : "http";
	const char *field = request_header(rq, "Host");
	char local[96] = "";

	if (rq->origin->url[0])
		return rq->origin->url;
	if (field && may_be_ours(rq, str_of(field))) {
		(void)snprintf(buf, ORIGIN_MAX, "%s://%s", scheme, field);
		return buf;
	}
	if (rq->host.local)
		rq->host.local(rq->host.arg, local, sizeof(local));
	(void)snprintf(buf, ORIGIN_MAX, "%s://%s", scheme, local);
	return buf;
}
