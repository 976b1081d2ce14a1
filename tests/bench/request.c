#include "tests/bench/request.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_N (32 * 1024) /* as Go's clients send them */

static const char config_json[] = "{\"architecture\":\"amd64\",\"os\":\"linux\","
				  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
static const char layer_tar[1024]; /* an empty archive: two zero blocks */

static const char accept_types[] = "application/vnd.oci.image.manifest.v1+json, "
				   "application/vnd.oci.image.index.v1+json, */*";

_Noreturn void fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("load: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(status);
}

uint64_t mono_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* xorshift64*: what to ask for next, the same sequence in every run */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* ---- digests ---- */

static void digest_text(const unsigned char raw[static 32], char ret[static DIGEST_N])
{
	static const char hex[] = "0123456789abcdef";
	char *p = stpcpy(ret, "sha256:");

	for (unsigned i = 0; i < 32; i++) {
		*p++ = hex[raw[i] >> 4];
		*p++ = hex[raw[i] & 15];
	}
	*p = '\0';
}

static void digest_of(const void *data, size_t n, char ret[static DIGEST_N])
{
	unsigned char raw[EVP_MAX_MD_SIZE];

	if (!EVP_Digest(data, n, raw, NULL, EVP_sha256(), NULL))
		fail(1, "no SHA-256");
	digest_text(raw, ret);
}

/* Of a blob that ends so. */
static void digest_of_tail(const struct maker *m, const char tail[static TAIL_N],
			   char ret[static DIGEST_N])
{
	unsigned char raw[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *c = EVP_MD_CTX_new();

	if (!c || !EVP_MD_CTX_copy_ex(c, m->prefix) || !EVP_DigestUpdate(c, tail, TAIL_N) ||
	    !EVP_DigestFinal_ex(c, raw, NULL))
		fail(1, "no SHA-256");
	EVP_MD_CTX_free(c);
	digest_text(raw, ret);
}

/* ---- requests ---- */

int dial(const struct options *o)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	int fd, one = 1, r = getaddrinfo(o->host, o->port, &hints, &found);

	if (r != 0)
		fail(1, "%s: %s", o->host, gai_strerror(r));
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) < 0)
		fail(1, "connect to %s:%s: %s", o->host, o->port, strerror(errno));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* a hint */
	freeaddrinfo(found);
	return fd;
}

static void __attribute__((format(printf, 2, 3))) add(struct request *r, const char *fmt, ...)
{
	size_t room = sizeof(r->text) - r->text_n;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(r->text + r->text_n, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= room)
		fail(2, "a request is longer than %d bytes", REQUEST_MAX);
	r->text_n += (size_t)n;
}

/* A new request: its first line and the headers that all have. */
static void __attribute__((format(printf, 4, 5)))
begin(const struct options *o, struct request *r, const char *method, const char *fmt, ...)
{
	char path[LOCATION_MAX + 128];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	r->text_n = r->text_sent = 0;
	r->at = r->frame_end = r->end = 0;
	r->framed = r->is_closed = false;
	add(r, "%s %s HTTP/1.1\r\nHost: %s:%s\r\n", method, path, o->host, o->port);
	if (o->header)
		add(r, "%s\r\n", o->header);
}

static void add_body(struct request *r, const char *type, const void *data, size_t n)
{
	add(r, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, n);
	if (n > sizeof(r->text) - r->text_n)
		fail(2, "a request is longer than %d bytes", REQUEST_MAX);
	memcpy(r->text + r->text_n, data, n);
	r->text_n += n;
}

static const char octets[] = "application/octet-stream";

/* Where an upload goes on, without the server's name. */
static const char *location_of(const struct answer *a, char buf[static LOCATION_MAX])
{
	const char *path = buf;

	answer_header(a, "Location", buf, LOCATION_MAX);
	if (*path != '/' && (path = strstr(path, "//")) != NULL)
		path = strchr(path + 2, '/');
	if (!path || *path != '/')
		fail(1, "no Location to go on at in the answer %u: '%s'", a->status, buf);
	return path;
}

static void begin_upload_end(const struct options *o, const struct answer *a, const char *digest,
			     struct request *r)
{
	char location[LOCATION_MAX];
	const char *path = location_of(a, location);

	begin(o, r, "PUT", "%s%cdigest=%s", path, strchr(path, '?') ? '&' : '?', digest);
}

/* One request on a connection of its own, for the few that come before the load. */
static void exchange(const struct options *o, const struct request *q, struct answer *a)
{
	char buf[4096];
	int fd = dial(o);
	ssize_t r = 0;

	for (size_t sent = 0; sent < q->text_n; sent += (size_t)r) {
		r = send(fd, q->text + sent, q->text_n - sent, MSG_NOSIGNAL);
		if (r < 0)
			fail(1, "send: %s", strerror(errno));
	}
	answer_init(a);
	while (a->part < ANSWER_DONE && (r = recv(fd, buf, sizeof(buf), 0)) > 0)
		answer_feed(a, buf, (size_t)r);
	if (a->part != ANSWER_DONE)
		fail(1, "no answer to %.*s", (int)strcspn(q->text, "\r"), q->text);
	(void)close(fd);
}

static void push_shared(const struct options *o, const void *data, size_t n,
			char ret_digest[static DIGEST_N])
{
	struct request r = { 0 };
	struct answer a;

	digest_of(data, n, ret_digest);
	begin(o, &r, "POST", "/v2/%s/blobs/uploads/", o->repo);
	add(&r, "Content-Length: 0\r\n\r\n");
	exchange(o, &r, &a);
	if (a.status != 202)
		fail(1, "POST of an upload was answered %u", a.status);
	begin_upload_end(o, &a, ret_digest, &r);
	add_body(&r, octets, data, n);
	exchange(o, &r, &a);
	if (a.status != 201)
		fail(1, "PUT of a blob was answered %u", a.status);
}

static void make_manifest(struct maker *m)
{
	char config[DIGEST_N];

	push_shared(m->o, config_json, sizeof(config_json) - 1, config);
	push_shared(m->o, layer_tar, sizeof(layer_tar), m->layer);
	(void)snprintf(m->manifest, sizeof(m->manifest),
		       "{\"schemaVersion\":2,"
		       "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		       "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
		       "\"digest\":\"%s\",\"size\":%zu},"
		       "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		       "\"digest\":\"",
		       config, sizeof(config_json) - 1);
}

static void make_prefix(struct maker *m)
{
	uint64_t left = m->o->size - TAIL_N, word;

	for (size_t i = 0; i < FILL_N; i += sizeof(word)) {
		word = random_next(&m->random);
		memcpy(m->fill + i, &word, sizeof(word));
	}
	m->prefix = EVP_MD_CTX_new();
	if (!m->prefix || !EVP_DigestInit_ex(m->prefix, EVP_sha256(), NULL))
		fail(1, "no SHA-256");
	for (uint64_t n; left > 0; left -= n) {
		n = left < FILL_N ? left : FILL_N;
		if (!EVP_DigestUpdate(m->prefix, m->fill, n))
			fail(1, "no SHA-256");
	}
}

void maker_init(struct maker *m, const struct options *o)
{
	m->o = o;
	m->random = UINT64_C(0x9e3779b97f4a7c15);
	(void)snprintf(m->run, sizeof(m->run), "%016" PRIx64, mono_ns() ^ (uint64_t)getpid() << 40);
	if (o->mode == LOAD_PUT)
		make_manifest(m);
	else if (o->mode == LOAD_BLOB)
		make_prefix(m);
}

/* ---- manifests ---- */

static void request_layer(const struct maker *m, struct request *r)
{
	char digest[DIGEST_N];

	digest_of(r->tail, TAIL_N, digest);
	begin(m->o, r, "POST", "/v2/%s/blobs/uploads/?digest=%s", m->o->repo, digest);
	add_body(r, octets, r->tail, TAIL_N);
	r->step = STEP_LAYER;
}

static void request_layer_end(const struct maker *m, const struct answer *a, struct request *r)
{
	char digest[DIGEST_N];

	digest_of(r->tail, TAIL_N, digest);
	begin_upload_end(m->o, a, digest, r);
	add_body(r, octets, r->tail, TAIL_N);
	r->step = STEP_LAYER_END;
}

static void request_manifest(const struct maker *m, struct request *r)
{
	const struct options *o = m->o;
	char body[sizeof(m->manifest) + 256], reference[DIGEST_N + 64], layer[DIGEST_N];
	int n;

	if (o->own_layers)
		digest_of(r->tail, TAIL_N, layer);
	n = snprintf(body, sizeof(body),
		     "%s%s\",\"size\":%zu}],"
		     "\"annotations\":{\"org.opencontainers.image.version\":\"%s-%" PRIu64 "\"}}",
		     m->manifest, o->own_layers ? layer : m->layer,
		     o->own_layers ? (size_t)TAIL_N : sizeof(layer_tar), m->run, r->item);
	if (o->by_digest)
		digest_of(body, (size_t)n, reference);
	else
		(void)snprintf(reference, sizeof(reference), "%.50s%07" PRIu64, o->prefix, r->item);
	begin(o, r, "PUT", "/v2/%s/manifests/%s", o->repo, reference);
	add_body(r, "application/vnd.oci.image.manifest.v1+json", body, (size_t)n);
	r->step = STEP_LAST;
}

/* ---- blobs ---- */

static void request_blob(const struct maker *m, struct request *r)
{
	const struct options *o = m->o;
	char digest[DIGEST_N];

	if (o->way == PUSH_ONCE) {
		digest_of_tail(m, r->tail, digest);
		begin(o, r, "POST", "/v2/%s/blobs/uploads/?digest=%s", o->repo, digest);
		add(r, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n\r\n", octets, o->size);
		r->frame_end = r->end = o->size;
	} else {
		begin(o, r, "POST", "/v2/%s/blobs/uploads/", o->repo);
		add(r, "Content-Length: 0\r\n\r\n");
	}
	r->step = STEP_BLOB;
}

/* The PATCH that begins at a byte of the blob. */
static void request_blob_part(const struct maker *m, const struct answer *a, uint64_t from,
			      struct request *r)
{
	const struct options *o = m->o;
	char location[LOCATION_MAX];
	uint64_t n = o->size - from;

	begin(o, r, "PATCH", "%s", location_of(a, location));
	add(r, "Content-Type: %s\r\n", octets);
	if (o->way == PUSH_STREAMED) {
		add(r, "Transfer-Encoding: chunked\r\n\r\n");
		r->framed = true;
	} else {
		n = n < o->chunk ? n : o->chunk;
		add(r,
		    "Content-Range: %" PRIu64 "-%" PRIu64 "\r\nContent-Length: %" PRIu64 "\r\n\r\n",
		    from, from + n - 1, n);
	}
	r->at = from;
	r->end = from + n;
	r->frame_end = r->framed ? from : r->end;
	r->step = STEP_BLOB_PART;
}

static void request_blob_end(const struct maker *m, const struct answer *a, bool with_body,
			     struct request *r)
{
	char digest[DIGEST_N];

	digest_of_tail(m, r->tail, digest);
	begin_upload_end(m->o, a, digest, r);
	add(r, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n\r\n", octets,
	    with_body ? m->o->size : 0);
	if (with_body)
		r->frame_end = r->end = m->o->size;
	r->step = STEP_BLOB_END;
}

static void request_blob_next(const struct maker *m, const struct answer *a, struct request *r)
{
	uint64_t done = r->step == STEP_BLOB_PART ? r->end : 0;

	if (m->o->way < PUSH_CHUNKED || done == m->o->size)
		request_blob_end(m, a, m->o->way < PUSH_CHUNKED, r);
	else
		request_blob_part(m, a, done, r);
}

/* ---- any ---- */

static void request_get(struct maker *m, uint64_t key, struct request *r)
{
	const struct options *o = m->o;
	const char *hole = strstr(o->path, "{}");
	int before = hole ? (int)(hole - o->path) : (int)strlen(o->path);
	char digits[24] = "";

	if (hole)
		(void)snprintf(digits, sizeof(digits), "%07" PRIu64, key);
	begin(o, r, o->method, "%.*s%s%s", before, o->path, digits, hole ? hole + 2 : "");
	add(r, "Accept: %s\r\n%s\r\n", accept_types,
	    o->method[0] == 'P' ? "Content-Length: 0\r\n" : "");
	r->step = STEP_LAST;
}

static void request_get_tag(struct maker *m, struct request *r)
{
	begin(m->o, r, "GET", "/v2/%s/manifests/t%07" PRIu64, m->o->repo,
	      random_next(&m->random) % m->o->keys);
	add(r, "Accept: %s\r\n\r\n", accept_types);
	r->step = STEP_LAST;
	r->is_get = true;
}

void request_first(struct maker *m, uint64_t item, struct request *r)
{
	const struct options *o = m->o;

	r->item = item;
	r->is_get = false;
	(void)snprintf(r->tail, sizeof(r->tail), "%s-%0*" PRIu64 "\n", m->run, TAIL_N - 18, item);
	if (o->mode == LOAD_BLOB)
		request_blob(m, r);
	else if (o->mode == LOAD_GET)
		request_get(
		    m, o->in_order || o->keys == 0 ? item : random_next(&m->random) % o->keys, r);
	else if (o->get_percent > 0 && (random_next(&m->random) >> 32) % 100 < o->get_percent)
		request_get_tag(m, r);
	else if (o->own_layers)
		request_layer(m, r);
	else
		request_manifest(m, r);
}

/* A registry may take a layer or a blob in one request, or want a second one. */
bool request_next(struct maker *m, const struct answer *a, struct request *r)
{
	if (r->step == STEP_LAYER && a->status == 202)
		request_layer_end(m, a, r);
	else if (r->step == STEP_LAYER || r->step == STEP_LAYER_END)
		request_manifest(m, r);
	else if ((r->step == STEP_BLOB || r->step == STEP_BLOB_PART) && a->status == 202)
		request_blob_next(m, a, r);
	else
		return false;
	return true;
}

bool request_piece(const struct maker *m, struct request *r, const char **ret, size_t *ret_n,
		   bool *ret_more)
{
	uint64_t tail_at = m->o->size - TAIL_N, n;

	if (r->text_sent == r->text_n && r->at == r->frame_end && r->framed && !r->is_closed) {
		const char *gap =
		    r->text_n > 0 && r->text[0] == 'P' ? "" : "\r\n"; /* none after the head */

		n = r->end - r->at < FRAME_N ? r->end - r->at : FRAME_N;
		r->text_n = r->text_sent = 0;
		r->is_closed = n == 0;
		add(r, "%s%" PRIx64 "\r\n%s", gap, n, n == 0 ? "\r\n" : "");
		r->frame_end = r->at + n;
	}
	if (r->text_sent < r->text_n) {
		*ret = r->text + r->text_sent;
		*ret_n = r->text_n - r->text_sent;
		*ret_more = r->at < r->frame_end || (r->framed && !r->is_closed);
		return true;
	}
	if (r->at == r->frame_end)
		return false;
	n = r->frame_end - r->at;
	if (r->at >= tail_at) {
		*ret = r->tail + (r->at - tail_at);
	} else {
		*ret = m->fill + r->at % FILL_N;
		n = n < tail_at - r->at ? n : tail_at - r->at;
		n = n < FILL_N - r->at % FILL_N ? n : FILL_N - r->at % FILL_N;
	}
	*ret_n = n;
	*ret_more = r->at + n < r->frame_end || r->framed;
	return true;
}

void request_sent(struct request *r, size_t n)
{
	if (r->text_sent < r->text_n)
		r->text_sent += n;
	else
		r->at += n;
}
