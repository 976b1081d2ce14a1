#include "auth/fetch.h"

#include <curl/curl.h>
#include <pthread.h>

#include "auth/late_libraries.h"
#include "base/trace.h"

#define URL_MAX 2048

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

enum err_kind fetch_open(struct err *e)
{
	enum err_kind k = late_load(&late_curl, e);

	if (k == ERR_OK)
		(void)pthread_once(&once, init);
	return k;
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

/* The rest of an http or https address that is one; *ret_tls: which. */
static bool take_apart(const char *url, struct str *ret_rest, bool *ret_tls)
{
	struct str s = str_of(url), http = STR("http://"), https = STR("https://"), scheme;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] == 0x7f || s.p[i] == '@')
			return false;
	}
	*ret_tls = str_starts(s, https);
	scheme = *ret_tls ? https : http;
	if (s.n > URL_MAX || !str_starts(s, scheme))
		return false;
	*ret_rest = (struct str){ s.p + scheme.n, s.n - scheme.n };
	return ret_rest->n > 0 && ret_rest->p[0] != '/';
}

bool fetch_may(const char *url)
{
	struct str rest;
	bool tls;

	return take_apart(url, &rest, &tls) && (tls || is_loopback(rest));
}

bool fetch_may_plain(const char *url)
{
	struct str rest;
	bool tls;

	return take_apart(url, &rest, &tls);
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

static bool add_field(struct curl_slist **list, const char *field)
{
	struct curl_slist *more = curl_slist_append(*list, field);

	if (more)
		*list = more;
	return more != NULL;
}

/* Who waits for this can find it among what others did for the same request. */
static bool add_trace(struct curl_slist **list)
{
	const struct trace *t = trace_current();
	char text[TRACE_TEXT_MAX], field[TRACE_TEXT_MAX + sizeof("traceparent: ")];

	if (!t)
		return true;
	(void)snprintf(field, sizeof(field), "traceparent: %s", trace_text(t, text));
	return add_field(list, field);
}

/* form.p NULL: a GET. */
static enum err_kind ask(const struct fetch *f, const char *url, struct str form,
			 const char *authorization, struct sbuf *ret, struct err *e)
{
	struct curl_slist *fields = NULL;
	CURL *c;
	enum err_kind k;

	if (!fetch_may(url))
		return err_set(e, ERR_AWAY, __func__, "%.120s: must be https, or of this machine",
			       url);
	if (fetch_open(e) != ERR_OK)
		return e->kind;
	sbuf_init(ret, f->bytes_max);
	c = curl_easy_init();
	if (!c || !set_up(c, f, url, ret) || (form.p && !set_form(c, form, authorization)) ||
	    !add_trace(&fields) || curl_easy_setopt(c, CURLOPT_HTTPHEADER, fields) != CURLE_OK)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to ask %.120s", url);
	else
		k = perform(c, url, ret, e);
	curl_slist_free_all(fields);
	curl_easy_cleanup(c);
	if (k != ERR_OK)
		sbuf_clear(ret);
	return k;
}

/* --- lines --- */

struct fetch_line {
	CURL *curl;
	struct sbuf body; /* of the answer */
};

enum err_kind fetch_line_new(struct fetch_line **ret, struct err *e)
{
	struct fetch_line *l;

	if (fetch_open(e) != ERR_OK)
		return e->kind;
	l = calloc(1, sizeof(*l));
	if (l)
		l->curl = curl_easy_init();
	if (!l || !l->curl) {
		free(l);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for HTTP");
	}
	*ret = l;
	return ERR_OK;
}

void fetch_line_free(struct fetch_line **take)
{
	struct fetch_line *l = TAKE(*take);

	if (!l)
		return;
	curl_easy_cleanup(l->curl);
	sbuf_clear(&l->body);
	free(l);
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const _Atomic bool *cancel = arg;

	(void)a, (void)b, (void)c, (void)d;
	return cancel && *cancel;
}

static bool set_fields(CURL *c, const char *const *fields, struct curl_slist **ret)
{
	for (size_t i = 0; fields[i]; i++) {
		if (!add_field(ret, fields[i]))
			return false;
	}
	return add_trace(ret) && curl_easy_setopt(c, CURLOPT_HTTPHEADER, *ret) == CURLE_OK;
}

static bool set_cancel(CURL *c, const struct fetch *f)
{
	return curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
	       curl_easy_setopt(c, CURLOPT_XFERINFODATA, (void *)(uintptr_t)f->cancel) == CURLE_OK;
}

/* The status counts even where the rest of the answer is too long, or does not come. */
static enum err_kind perform_send(struct fetch_line *l, struct fetch_answer *ret, struct err *e)
{
	CURLcode code = curl_easy_perform(l->curl);
	curl_off_t wait_s = 0;
	long status = 0;

	(void)curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(l->curl, CURLINFO_RETRY_AFTER, &wait_s);
	ret->status = (unsigned)status;
	ret->wait_ms = wait_s > 0 ? MIN((uint64_t)wait_s, (uint64_t)UINT32_MAX) * 1000 : 0;
	if (status >= 200 && status < 300)
		return ERR_OK;
	if (status)
		return err_set(e, ERR_AWAY, __func__, "status %ld", status);
	return err_set(e, ERR_AWAY, __func__, "%s", curl_easy_strerror(code));
}

enum err_kind fetch_send(struct fetch_line *l, const struct fetch *f, const char *url,
			 const char *const *fields, struct str body, struct fetch_answer *ret,
			 struct err *e)
{
	struct curl_slist *list = NULL;
	enum err_kind k;

	*ret = (struct fetch_answer){ .status = 0 };
	if (!(f->plain ? fetch_may_plain(url) : fetch_may(url)))
		return err_set(e, ERR_AWAY, __func__, "it must be https, or of this machine");
	curl_easy_reset(l->curl); /* connections stay */
	sbuf_clear(&l->body);
	sbuf_init(&l->body, f->bytes_max);
	if (set_up(l->curl, f, url, &l->body) && set_form(l->curl, body, NULL) &&
	    set_fields(l->curl, fields, &list) && set_cancel(l->curl, f))
		k = perform_send(l, ret, e);
	else
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to post");
	curl_slist_free_all(list);
	return k;
}

/* --- documents --- */

enum err_kind fetch_get(const struct fetch *f, const char *url, struct sbuf *ret, struct err *e)
{
	return ask(f, url, (struct str){ NULL, 0 }, NULL, ret, e);
}

enum err_kind fetch_post(const struct fetch *f, const char *url, struct str form,
			 const char *authorization, struct sbuf *ret, struct err *e)
{
	return ask(f, url, form, authorization, ret, e);
}
