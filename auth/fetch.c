#include "auth/fetch.h"

#include <curl/curl.h>
#include <pthread.h>

#define URL_MAX 2048

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* http://localhost, http://127.x, http://[::1], with a port or a path or nothing behind it. */
static bool is_loopback(struct str rest)
{
	static const char *const hosts[] = { "localhost", "127.0.0.1", "[::1]" };

	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct str host = str_of(hosts[i]);

		if (str_starts(rest, host) &&
		    (rest.n == host.n || strchr(":/", rest.p[host.n]) != NULL))
			return true;
	}
	return false;
}

bool fetch_may(const char *url)
{
	struct str s = str_of(url), http = STR("http://"), https = STR("https://");

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '@')
			return false;
	}
	if (s.n > URL_MAX)
		return false;
	if (str_starts(s, https))
		return s.n > https.n && s.p[https.n] != '/';
	return str_starts(s, http) && is_loopback((struct str){ s.p + http.n, s.n - http.n });
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct sbuf *b = arg;

	sbuf_add(b, data, size * n);
	return b->failed ? 0 : size * n;
}

static bool set_up(CURL *c, const struct fetch *f, const char *url, struct sbuf *ret)
{
	return curl_easy_setopt(c, CURLOPT_URL, url) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)f->timeout_ms) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)f->bytes_max) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
	       (!f->ca || curl_easy_setopt(c, CURLOPT_CAINFO, f->ca) == CURLE_OK) &&
	       curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_WRITEDATA, ret) == CURLE_OK;
}

static bool set_form(CURL *c, struct str form, const char *authorization)
{
	return curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)form.n) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_POSTFIELDS, form.p) == CURLE_OK &&
	       (!authorization || curl_easy_setopt(c, CURLOPT_USERPWD, authorization) == CURLE_OK);
}

static enum err_kind perform(CURL *c, const char *url, struct sbuf *ret, struct err *e)
{
	CURLcode code = curl_easy_perform(c);
	long status = 0;

	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	if (ret->failed || code == CURLE_FILESIZE_EXCEEDED)
		return err_set(e, ERR_AWAY, __func__, "%.120s: the answer is too long", url);
	if (code != CURLE_OK)
		return err_set(e, ERR_AWAY, __func__, "%.120s: %s", url, curl_easy_strerror(code));
	if (status != 200)
		return err_set(e, ERR_AWAY, __func__, "%.120s: status %ld", url, status);
	return ERR_OK;
}

/* form.p NULL: a GET. */
static enum err_kind ask(const struct fetch *f, const char *url, struct str form,
			 const char *authorization, struct sbuf *ret, struct err *e)
{
	CURL *c;
	enum err_kind k;

	if (!fetch_may(url))
		return err_set(e, ERR_AWAY, __func__, "%.120s: must be https, or of this machine",
			       url);
	(void)pthread_once(&once, init);
	sbuf_init(ret, f->bytes_max);
	c = curl_easy_init();
	if (!c || !set_up(c, f, url, ret) || (form.p && !set_form(c, form, authorization)))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to ask %.120s", url);
	else
		k = perform(c, url, ret, e);
	curl_easy_cleanup(c);
	if (k != ERR_OK)
		sbuf_clear(ret);
	return k;
}

enum err_kind fetch_get(const struct fetch *f, const char *url, struct sbuf *ret, struct err *e)
{
	return ask(f, url, (struct str){ NULL, 0 }, NULL, ret, e);
}

enum err_kind fetch_post(const struct fetch *f, const char *url, struct str form,
			 const char *authorization, struct sbuf *ret, struct err *e)
{
	return ask(f, url, form, authorization, ret, e);
}
