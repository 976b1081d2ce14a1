#include "runtime/image/transfer.h"

#include <curl/curl.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/hash.h"
#include "runtime/image/url.h"

#define HEADERS_MAX (64u * 1024)
#define CONNECT_S 30L
#define IDLE_S 60L /* less than a byte a second for so long ends an exchange */
#define BUFFER_BYTES (256L * 1024)
#define CONNECTIONS_PER_HOST 8L
#define WAIT_MS 1000
#define BACKOFF_MS_FIRST 200
#define BACKOFF_MS_MAX 10000

struct transfer {
	CURLM *multi;
	struct transfer_job *ended; /* not told of yet */
};

struct transfer_job {
	struct transfer *t;
	struct transfer_job *next; /* of ended */
	CURL *easy;
	bool running;
	char *url, *redirect;
	struct curl_slist *headers;
	struct transfer_request r; /* url and headers are not used */
	uint64_t sent;
	bool accepted, in_body;
	CURLcode code;
	long status;
	uint64_t retry_after_s;
	char error[CURL_ERROR_SIZE];
	enum err_kind failed; /* in sink, source or accept, or over a limit */
	struct err failure;
	struct sbuf body, fields; /* fields: "name: value\n" */
};

static pthread_once_t library = PTHREAD_ONCE_INIT;
static bool library_works;

static void init_library(void)
{
	library_works = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

enum err_kind transfer_new(struct transfer **ret, struct err *e)
{
	struct transfer *t = calloc(1, sizeof(*t));

	(void)pthread_once(&library, init_library);
	if (t && library_works)
		t->multi = curl_multi_init();
	if (!t || !t->multi) {
		free(t);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for HTTP");
	}
	(void)curl_multi_setopt(t->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_PER_HOST);
	(void)curl_multi_setopt(t->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	*ret = t;
	return ERR_OK;
}

void transfer_free(struct transfer **take)
{
	struct transfer *t = TAKE(*take);

	if (!t)
		return;
	(void)curl_multi_cleanup(t->multi);
	free(t);
}

/* --- What libcurl calls --- */

static size_t job_fails(struct transfer_job *j, enum err_kind k)
{
	j->failed = k;
	return CURL_WRITEFUNC_ERROR;
}

static size_t take_field(char *p, size_t one, size_t n, void *arg)
{
	struct transfer_job *j = arg;
	struct str line = { p, n };

	(void)one;
	if (str_starts(line, STR("HTTP/"))) { /* of the last answer, after a 100 */
		sbuf_clear(&j->fields);
		return n;
	}
	while (line.n && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == '\n'))
		line.n--;
	if (line.n == 0)
		return n;
	sbuf_add_str(&j->fields, line);
	sbuf_add(&j->fields, "\n", 1);
	if (j->fields.failed)
		return job_fails(j, err_set(&j->failure, ERR_TOO_LARGE, __func__,
					    "more than %u bytes of header fields", HEADERS_MAX));
	return n;
}

/* Answers of success go to the sink, all others into memory: they say what is wrong. */
static enum err_kind begin_body(struct transfer_job *j, struct err *e)
{
	(void)curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &j->status);
	j->in_body = true;
	j->accepted = j->r.sink && (j->status == 200 || j->status == 206);
	return j->accepted && j->r.accept ? j->r.accept(j->r.arg, j, e) : ERR_OK;
}

static size_t take_body(char *p, size_t one, size_t n, void *arg)
{
	struct transfer_job *j = arg;
	enum err_kind k = j->in_body ? ERR_OK : begin_body(j, &j->failure);

	(void)one;
	if (k == ERR_OK && j->accepted)
		k = j->r.sink(j->r.arg, p, n, &j->failure);
	if (k != ERR_OK)
		return job_fails(j, k);
	if (j->accepted)
		return n;
	sbuf_add(&j->body, p, n);
	if (!j->body.failed)
		return n;
	return job_fails(j, err_set(&j->failure, ERR_TOO_LARGE, __func__,
				    "an answer of more than %zu bytes", j->body.max));
}

static size_t give_body(char *p, size_t one, size_t n, void *arg)
{
	struct transfer_job *j = arg;
	size_t got = 0;

	n *= one;
	if (j->r.source) {
		j->failed = j->r.source(j->r.arg, j->sent, p, n, &got, &j->failure);
		if (j->failed != ERR_OK)
			return CURL_READFUNC_ABORT;
	} else {
		got = MIN(n, j->r.body.n - (size_t)j->sent);
		memcpy(p, j->r.body.p + j->sent, got);
	}
	j->sent += got;
	return got;
}

static int seek_body(void *arg, curl_off_t at, int whence)
{
	struct transfer_job *j = arg;

	if (whence != SEEK_SET)
		return CURL_SEEKFUNC_CANTSEEK;
	j->sent = (uint64_t)at;
	return CURL_SEEKFUNC_OK;
}

/* --- Setting up --- */

#define SET(option, value) (ok = ok && curl_easy_setopt(c, (option), (value)) == CURLE_OK)

static bool set_tls(CURL *c, const struct transfer_tls *tls)
{
	bool ok = true;
	long on = tls->unverified ? 0L : 1L;

	SET(CURLOPT_SSL_VERIFYPEER, on);
	SET(CURLOPT_SSL_VERIFYHOST, on ? 2L : 0L);
	if (tls->ca_pem) { /* in place of the system's file; its directory (CAPATH) stays */
		struct curl_blob pem = { (void *)(uintptr_t)tls->ca_pem, strlen(tls->ca_pem),
					 CURL_BLOB_COPY };

		SET(CURLOPT_CAINFO_BLOB, &pem);
		SET(CURLOPT_CAPATH, "/etc/ssl/certs");
	}
	if (tls->cert_file) {
		SET(CURLOPT_SSLCERT, tls->cert_file);
		SET(CURLOPT_SSLKEY, tls->key_file);
	}
	return ok;
}

static bool set_method(CURL *c, struct transfer_job *j)
{
	bool ok = true;
	uint64_t n = j->r.source ? j->r.source_bytes : j->r.body.n;

	if (strcmp(j->r.method, "HEAD") == 0) {
		SET(CURLOPT_NOBODY, 1L);
	} else if (j->r.source || n > 0) {
		SET(CURLOPT_UPLOAD, 1L);
		SET(CURLOPT_READFUNCTION, give_body);
		SET(CURLOPT_READDATA, j);
		SET(CURLOPT_SEEKFUNCTION, seek_body);
		SET(CURLOPT_SEEKDATA, j);
		SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)n);
		SET(CURLOPT_CUSTOMREQUEST, j->r.method);
	} else if (strcmp(j->r.method, "POST") == 0 || strcmp(j->r.method, "PUT") == 0) {
		SET(CURLOPT_POST, 1L); /* with a length of 0 */
		SET(CURLOPT_POSTFIELDSIZE, 0L);
		SET(CURLOPT_POSTFIELDS, "");
		SET(CURLOPT_CUSTOMREQUEST, j->r.method);
	} else if (strcmp(j->r.method, "GET") != 0) {
		SET(CURLOPT_CUSTOMREQUEST, j->r.method);
	}
	return ok;
}

static bool set_headers(CURL *c, struct transfer_job *j, const char *const *headers)
{
	static const char *const ours[] = { "Expect:", "User-Agent: berth/" BERTH_VERSION, NULL };
	bool ok = true;

	for (unsigned pass = 0; pass < 2; pass++) {
		for (const char *const *h = pass ? headers : ours; h && *h; h++) {
			struct curl_slist *more = curl_slist_append(j->headers, *h);

			if (!more)
				return false;
			j->headers = more;
		}
	}
	SET(CURLOPT_HTTPHEADER, j->headers);
	return ok;
}

static bool set_limits(CURL *c, struct transfer_job *j)
{
	struct url u;
	bool ok = true;

	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_CONNECTTIMEOUT, CONNECT_S);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, IDLE_S);
	SET(CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_PIPEWAIT, 1L);
	if (url_parse(&u, str_of(j->url)) && host_is_loopback(u.host))
		SET(CURLOPT_PROXY, "");
	return ok;
}

static bool set_all(struct transfer_job *j, const struct transfer_request *r)
{
	CURL *c = j->easy;
	bool ok = true;

	SET(CURLOPT_URL, j->url);
	SET(CURLOPT_PRIVATE, j);
	SET(CURLOPT_ERRORBUFFER, j->error);
	SET(CURLOPT_HEADERFUNCTION, take_field);
	SET(CURLOPT_HEADERDATA, j);
	SET(CURLOPT_WRITEFUNCTION, take_body);
	SET(CURLOPT_WRITEDATA, j);
	return ok && set_limits(c, j) && set_tls(c, &r->tls) && set_method(c, j) &&
	       set_headers(c, j, r->headers);
}

enum err_kind transfer_start(struct transfer *t, const struct transfer_request *r,
			     struct transfer_job **ret, struct err *e)
{
	AUTO_TRANSFER_JOB *j = calloc(1, sizeof(*j));

	if (!j)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request");
	j->t = t;
	j->r = *r;
	sbuf_init(&j->body, r->body_max ? (size_t)r->body_max : TRANSFER_BODY_MAX);
	sbuf_init(&j->fields, HEADERS_MAX);
	j->url = strdup(r->url);
	j->easy = curl_easy_init();
	if (!j->url || !j->easy || !set_all(j, r))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request to %.100s",
			       r->url);
	if (curl_multi_add_handle(t->multi, j->easy) != CURLM_OK)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request");
	j->running = true;
	*ret = TAKE(j);
	return ERR_OK;
}

/* --- Running --- */

static void job_ends(struct transfer_job *j, CURLcode code)
{
	struct transfer_job **at = &j->t->ended;
	char *url = NULL;
	curl_off_t after_s = 0;

	j->code = code;
	j->running = false;
	(void)curl_easy_getinfo(j->easy, CURLINFO_RESPONSE_CODE, &j->status);
	if (curl_easy_getinfo(j->easy, CURLINFO_REDIRECT_URL, &url) == CURLE_OK && url)
		j->redirect = strdup(url);
	if (curl_easy_getinfo(j->easy, CURLINFO_RETRY_AFTER, &after_s) == CURLE_OK && after_s > 0)
		j->retry_after_s = MIN((uint64_t)after_s, (uint64_t)TRANSFER_WAIT_S_MAX);
	/* An empty body is one that nobody was asked about. */
	if (code == CURLE_OK && !j->in_body && j->failed == ERR_OK)
		j->failed = begin_body(j, &j->failure);
	(void)curl_multi_remove_handle(j->t->multi, j->easy);
	while (*at)
		at = &(*at)->next;
	*at = j;
}

static void collect_ended(struct transfer *t)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(t->multi, &left))) {
		char *private = NULL;

		if (m->msg == CURLMSG_DONE &&
		    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &private) == CURLE_OK)
			job_ends((struct transfer_job *)(void *)private, m->data.result);
	}
}

static enum err_kind step(struct transfer *t, struct err *e)
{
	int running;
	CURLMcode code = curl_multi_perform(t->multi, &running);

	if (code != CURLM_OK)
		return err_set(e, ERR_IO, __func__, "HTTP: %s", curl_multi_strerror(code));
	collect_ended(t);
	return ERR_OK;
}

static enum err_kind pause_for(struct transfer *t, unsigned timeout_ms, struct err *e)
{
	CURLMcode code = curl_multi_poll(t->multi, NULL, 0, (int)timeout_ms, NULL);

	return code == CURLM_OK
		   ? ERR_OK
		   : err_set(e, ERR_IO, __func__, "HTTP: %s", curl_multi_strerror(code));
}

static void forget_ended(struct transfer_job *j)
{
	struct transfer_job **at = &j->t->ended;

	while (*at && *at != j)
		at = &(*at)->next;
	if (*at)
		*at = j->next;
	j->next = NULL;
}

enum err_kind transfer_wait(struct transfer *t, unsigned timeout_ms, struct transfer_job **ret,
			    struct err *e)
{
	uint64_t deadline = mono_ms() + timeout_ms, now;
	enum err_kind k = step(t, e);

	*ret = NULL;
	while (k == ERR_OK && !t->ended && (now = mono_ms()) < deadline) {
		k = pause_for(t, (unsigned)(deadline - now), e);
		if (k == ERR_OK)
			k = step(t, e);
	}
	if (k == ERR_OK && t->ended) {
		*ret = t->ended;
		forget_ended(*ret);
	}
	return k;
}

enum err_kind transfer_finish(struct transfer_job *j, struct err *e)
{
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && j->running) {
		k = step(j->t, e);
		if (k == ERR_OK && j->running)
			k = pause_for(j->t, WAIT_MS, e);
	}
	forget_ended(j);
	return k;
}

enum err_kind transfer_run(struct transfer *t, const struct transfer_request *r,
			   struct transfer_job **ret, struct err *e)
{
	AUTO_TRANSFER_JOB *j = NULL;
	enum err_kind k = transfer_start(t, r, &j, e);

	if (k == ERR_OK)
		k = transfer_finish(j, e);
	if (k == ERR_OK)
		*ret = TAKE(j);
	return k;
}

void transfer_job_free(struct transfer_job **take)
{
	struct transfer_job *j = TAKE(*take);

	if (!j)
		return;
	if (j->running)
		(void)curl_multi_remove_handle(j->t->multi, j->easy);
	forget_ended(j);
	curl_easy_cleanup(j->easy);
	curl_slist_free_all(j->headers);
	sbuf_clear(&j->body);
	sbuf_clear(&j->fields);
	free(j->url);
	free(j->redirect);
	free(j);
}

/* --- Answers --- */

enum err_kind transfer_outcome(const struct transfer_job *j, struct err *e)
{
	if (j->failed != ERR_OK) {
		*e = j->failure;
		return j->failed;
	}
	if (j->code == CURLE_OK)
		return ERR_OK;
	return err_set(e, ERR_IO, __func__, "%s",
		       j->error[0] ? j->error : curl_easy_strerror(j->code));
}

bool transfer_may_pass(const struct transfer_job *j)
{
	static const CURLcode passing[] = {
		CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_PARTIAL_FILE,
		CURLE_OPERATION_TIMEDOUT,   CURLE_GOT_NOTHING,     CURLE_SEND_ERROR,
		CURLE_RECV_ERROR,           CURLE_HTTP2,           CURLE_HTTP2_STREAM,
	};
	static const long statuses[] = { 408, 425, 429, 500, 502, 503, 504 };

	if (j->failed != ERR_OK)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		if (j->code == passing[i])
			return true;
	}
	for (size_t i = 0; j->code == CURLE_OK && i < ARRAY_LEN(statuses); i++) {
		if (j->status == statuses[i])
			return true;
	}
	return false;
}

/* Half of it by chance, so that not all come back at the same moment. */
uint64_t transfer_backoff_ms(const struct transfer_job *j, unsigned tries)
{
	uint64_t wait = BACKOFF_MS_FIRST;
	uint16_t random;

	for (unsigned i = 1; i < tries && wait < BACKOFF_MS_MAX; i++)
		wait *= 2;
	random_bytes(&random, sizeof(random));
	wait += wait * random / UINT16_MAX / 2;
	return j->retry_after_s * 1000 > wait ? j->retry_after_s * 1000 : wait;
}

bool transfer_is_not_tls(const struct transfer_job *j)
{
	return j->code == CURLE_SSL_CONNECT_ERROR || j->code == CURLE_COULDNT_CONNECT;
}

long transfer_status(const struct transfer_job *j)
{
	return j->status;
}

struct str transfer_body(const struct transfer_job *j)
{
	return (struct str){ j->body.p ? j->body.p : "", j->body.n };
}

bool transfer_header(const struct transfer_job *j, const char *name, unsigned n, struct str *ret)
{
	struct str rest = { j->fields.p ? j->fields.p : "", j->fields.n }, line, key, value;

	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (!str_cut(line, ':', &key, &value) || !str_eq_nocase(key, str_of(name)))
			continue;
		if (n-- > 0)
			continue;
		*ret = str_trim(value);
		return true;
	}
	return false;
}

const char *transfer_redirect(const struct transfer_job *j)
{
	return j->status >= 300 && j->status < 400 ? j->redirect : NULL;
}

const char *transfer_url(const struct transfer_job *j)
{
	return j->url;
}
