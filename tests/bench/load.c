/*
 * load - drive any OCI registry over plain HTTP/1.1 and say how fast it answers.
 *
 *   load put [options] http://HOST:PORT REPOSITORY   PUT image manifests, each with a digest of its own
 *   load get [options] http://HOST:PORT/PATH         GET one URL, or one of -k URLs, again and again
 *
 * put first pushes a config and a layer (POST and PUT), then PUTs manifests that differ in one
 * annotation, manifest i under the tag PREFIX%07i or by its digest; with -l each after a layer of its
 * own, and the three or two requests of an image count one by one.  get replaces a "{}" in the path by a
 * number below -k in the same seven digits, in random order.
 *
 * One thread and one epoll set drive -c keep-alive connections with one request in flight on each.
 * The result is one line of key=value pairs.  Exit status: 0 if every answer was 2xx, 1 if not, 2 for
 * a usage error.  The program stops by itself after -n requests or -t seconds, 100 broken connections,
 * or ANSWER_MS_MAX without an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/answer.h"
#include "tests/bench/sha256.h"

#define CONNS_MAX 4096
#define BROKEN_MAX 100
#define ANSWER_MS_MAX 60000
#define REQUEST_MAX 4096
#define LOCATION_MAX 2048
#define LAYER_MAX 64 /* bytes of a layer of one's own */
#define NS_PER_S UINT64_C(1000000000)

static const char config_json[] = "{\"architecture\":\"amd64\",\"os\":\"linux\","
				  "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}";
static const char layer_tar[1024]; /* an empty archive: two zero blocks */

static const char accept_types[] = "application/vnd.oci.image.manifest.v1+json, "
				   "application/vnd.oci.image.index.v1+json, */*";

struct options {
	bool put, by_digest, own_layers;
	unsigned conns;
	uint64_t requests_max, time_ns_max; /* 0: no such limit */
	uint64_t first, keys;
	const char *prefix, *repo;
	char host[256], port[8], path[1024];
};

_Noreturn static void __attribute__((format(printf, 2, 3))) fail(int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)fputs("load: ", stderr);
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
	exit(status);
}

static uint64_t mono_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* xorshift64*: which tag to ask for next, the same sequence in every run */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

/* ---- requests ---- */

static int dial(const struct options *o)
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

/* One request on a connection of its own, for the few that come before the load. */
static void exchange(const struct options *o, const char *request, size_t n, struct answer *a)
{
	char buf[4096];
	int fd = dial(o);
	ssize_t r = 0;

	for (size_t sent = 0; sent < n; sent += (size_t)r) {
		r = send(fd, request + sent, n - sent, MSG_NOSIGNAL);
		if (r < 0)
			fail(1, "send: %s", strerror(errno));
	}
	answer_init(a);
	while (a->part < ANSWER_DONE && (r = recv(fd, buf, sizeof(buf), 0)) > 0)
		answer_feed(a, buf, (size_t)r);
	if (a->part != ANSWER_DONE)
		fail(1, "no answer to %.*s", (int)strcspn(request, "\r"), request);
	(void)close(fd);
}

/* Where an upload goes on, without the server's name. */
static const char *location_of(const struct answer *a, char buf[static LOCATION_MAX])
{
	const char *path = buf;

	answer_header(a, "Location", buf, LOCATION_MAX);
	if (strncmp(path, "http://", 7) == 0 && (path = strchr(path + 7, '/')) == NULL)
		fail(1, "cannot use Location %s", buf);
	return path;
}

static size_t request_upload_end(const struct options *o, const char *path, const char *digest,
				 const void *data, size_t n, char buf[static REQUEST_MAX])
{
	int head_n = snprintf(buf, REQUEST_MAX,
			      "PUT %s%cdigest=%s HTTP/1.1\r\nHost: %s:%s\r\n"
			      "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n",
			      path, strchr(path, '?') ? '&' : '?', digest, o->host, o->port, n);

	if ((size_t)head_n + n > REQUEST_MAX)
		fail(1, "Location is too long");
	memcpy(buf + head_n, data, n);
	return (size_t)head_n + n;
}

static void push_blob(const struct options *o, const void *data, size_t n, const char *digest)
{
	char buf[REQUEST_MAX], location[LOCATION_MAX];
	struct answer a;
	int head_n;

	head_n = snprintf(buf, sizeof(buf),
			  "POST /v2/%s/blobs/uploads/ HTTP/1.1\r\nHost: %s:%s\r\n"
			  "Content-Length: 0\r\n\r\n",
			  o->repo, o->host, o->port);
	exchange(o, buf, (size_t)head_n, &a);
	if (a.status != 202)
		fail(1, "POST of an upload was answered %u", a.status);
	exchange(o, buf, request_upload_end(o, location_of(&a, location), digest, data, n, buf), &a);
	if (a.status != 201)
		fail(1, "PUT of a blob was answered %u", a.status);
}

/* What is the same in every manifest, made once. */
struct image {
	char before[1024]; /* up to the layer's digest */
	char layer[DIGEST_N];
	char run[17]; /* this run's share of annotations and layers, so that digests are new */
};

static void image_push(const struct options *o, struct image *ret)
{
	char config[DIGEST_N];

	sha256_digest(config_json, sizeof(config_json) - 1, config);
	sha256_digest(layer_tar, sizeof(layer_tar), ret->layer);
	push_blob(o, config_json, sizeof(config_json) - 1, config);
	push_blob(o, layer_tar, sizeof(layer_tar), ret->layer);
	(void)snprintf(ret->before, sizeof(ret->before),
		       "{\"schemaVersion\":2,"
		       "\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
		       "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
		       "\"digest\":\"%s\",\"size\":%zu},"
		       "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		       "\"digest\":\"",
		       config, sizeof(config_json) - 1);
	(void)snprintf(ret->run, sizeof(ret->run), "%016" PRIx64,
		       mono_ns() ^ (uint64_t)getpid() << 40);
}

/* The layer that only manifest i has. */
static size_t layer_of(const struct image *im, uint64_t i, char layer[static LAYER_MAX],
		       char digest[static DIGEST_N])
{
	size_t n = (size_t)snprintf(layer, LAYER_MAX, "%s-%" PRIu64 "\n", im->run, i);

	sha256_digest(layer, n, digest);
	return n;
}

static size_t request_layer(const struct options *o, const struct image *im, uint64_t i,
			    char buf[static REQUEST_MAX])
{
	char layer[LAYER_MAX], digest[DIGEST_N];
	size_t n = layer_of(im, i, layer, digest);

	return (size_t)snprintf(buf, REQUEST_MAX,
				"POST /v2/%.255s/blobs/uploads/?digest=%s HTTP/1.1\r\nHost: %s:%s\r\n"
				"Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n%s",
				o->repo, digest, o->host, o->port, n, layer);
}

static size_t request_layer_end(const struct options *o, const struct image *im, uint64_t i,
				const struct answer *a, char buf[static REQUEST_MAX])
{
	char layer[LAYER_MAX], digest[DIGEST_N], location[LOCATION_MAX];
	size_t n = layer_of(im, i, layer, digest);

	return request_upload_end(o, location_of(a, location), digest, layer, n, buf);
}

static size_t request_put(const struct options *o, const struct image *im, uint64_t i,
			  char buf[static REQUEST_MAX])
{
	char body[sizeof(im->before) + 256], reference[DIGEST_N + 64];
	char layer[LAYER_MAX], digest[DIGEST_N];
	size_t layer_n = o->own_layers ? layer_of(im, i, layer, digest) : sizeof(layer_tar);
	int body_n = snprintf(body, sizeof(body),
			      "%s%s\",\"size\":%zu}],"
			      "\"annotations\":{\"org.opencontainers.image.version\":\"%s-%" PRIu64 "\"}}",
			      im->before, o->own_layers ? digest : im->layer, layer_n, im->run, i);

	if (o->by_digest)
		sha256_digest(body, (size_t)body_n, reference);
	else
		(void)snprintf(reference, sizeof(reference), "%.50s%07" PRIu64, o->prefix, i);
	return (size_t)snprintf(buf, REQUEST_MAX,
				"PUT /v2/%.255s/manifests/%s HTTP/1.1\r\nHost: %s:%s\r\n"
				"Content-Type: application/vnd.oci.image.manifest.v1+json\r\n"
				"Content-Length: %d\r\n\r\n%s",
				o->repo, reference, o->host, o->port, body_n, body);
}

static size_t request_get(const struct options *o, uint64_t key, char buf[static REQUEST_MAX])
{
	const char *hole = o->keys > 0 ? strstr(o->path, "{}") : NULL;
	int before = hole ? (int)(hole - o->path) : (int)strlen(o->path);
	char digits[24] = "";

	if (hole)
		(void)snprintf(digits, sizeof(digits), "%07" PRIu64, key);
	return (size_t)snprintf(buf, REQUEST_MAX,
				"GET %.*s%s%s HTTP/1.1\r\nHost: %s:%s\r\nAccept: %s\r\n\r\n", before,
				o->path, digits, hole ? hole + 2 : "", o->host, o->port, accept_types);
}

/* ---- the load ---- */

/* Latencies with 1/16 of precision: bucket 16 * log2 + the four bits below the leading one. */
struct histogram {
	uint64_t n, max, count[64 * 16];
};

static void histogram_add(struct histogram *h, uint64_t v)
{
	unsigned log2 = v < 16 ? 4 : 63 - (unsigned)__builtin_clzll(v);

	h->count[log2 * 16 + (v >> (log2 - 4) & 15)]++;
	h->n++;
	h->max = v > h->max ? v : h->max;
}

static uint64_t histogram_quantile(const struct histogram *h, double q)
{
	uint64_t seen = 0, want = (uint64_t)((double)h->n * q);

	for (unsigned i = 0; i < 64 * 16; i++) {
		seen += h->count[i];
		if (seen > want)
			return (16 + (uint64_t)(i % 16)) << (i / 16 - 4);
	}
	return h->max;
}

struct conn {
	int fd;
	bool in_flight, is_fresh; /* is_fresh: no answer came over this socket yet */
	enum { AT_LAYER, AT_LAYER_END, AT_LAST } at; /* of an image's requests */
	uint64_t number, start_ns;
	size_t sent, request_n;
	char request[REQUEST_MAX];
	struct answer answer;
};

struct load {
	const struct options *o;
	struct image image;
	struct conn *conns;
	int epoll;
	bool is_over; /* no further requests */
	unsigned in_flight;
	uint64_t start_ns, issued, random;
	uint64_t answered, bytes, broken, reconnects, status[STATUS_N];
	struct histogram latency;
};

static void conn_watch(struct load *l, struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(l->epoll, op, c->fd, &ev) < 0)
		fail(1, "epoll_ctl: %s", strerror(errno));
}

static void conn_open(struct load *l, struct conn *c)
{
	c->fd = dial(l->o);
	c->is_fresh = true;
	if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
		fail(1, "fcntl: %s", strerror(errno));
	conn_watch(l, c, EPOLL_CTL_ADD, EPOLLIN);
}

/* Sends what is left of the request.  A broken connection shows when it is read. */
static void conn_send(struct load *l, struct conn *c)
{
	ssize_t r = send(c->fd, c->request + c->sent, c->request_n - c->sent, MSG_NOSIGNAL);
	bool was_partial = c->sent > 0;

	if (r < 0 && errno != EAGAIN)
		return;
	c->sent += r > 0 ? (size_t)r : 0;
	if (c->sent < c->request_n)
		conn_watch(l, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	else if (was_partial)
		conn_watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
}

static void conn_issue(struct load *l, struct conn *c)
{
	if (c->request_n >= REQUEST_MAX)
		fail(2, "the request is longer than %d bytes", REQUEST_MAX);
	c->start_ns = mono_ns();
	l->in_flight++;
	c->in_flight = true;
	c->sent = 0;
	answer_init(&c->answer);
	conn_send(l, c);
}

static void conn_start(struct load *l, struct conn *c)
{
	const struct options *o = l->o;
	uint64_t i = l->issued;

	c->start_ns = mono_ns();
	if ((o->requests_max > 0 && i >= o->requests_max) ||
	    (o->time_ns_max > 0 && c->start_ns - l->start_ns >= o->time_ns_max))
		l->is_over = true;
	if (l->is_over)
		return;
	c->number = o->first + i;
	c->at = o->own_layers ? AT_LAYER : AT_LAST;
	if (o->own_layers)
		c->request_n = request_layer(o, &l->image, c->number, c->request);
	else if (o->put)
		c->request_n = request_put(o, &l->image, c->number, c->request);
	else
		c->request_n = request_get(
		    o, o->keys > 0 ? random_next(&l->random) % o->keys : 0, c->request);
	l->issued++;
	conn_issue(l, c);
}

/* The next request of an image; a registry may take a layer in one request, or want a second one. */
static void conn_go_on(struct load *l, struct conn *c)
{
	if (c->at == AT_LAYER && c->answer.status == 202) {
		c->at = AT_LAYER_END;
		c->request_n = request_layer_end(l->o, &l->image, c->number, &c->answer, c->request);
	} else {
		c->at = AT_LAST;
		c->request_n = request_put(l->o, &l->image, c->number, c->request);
	}
	conn_issue(l, c);
}

static void conn_done(struct load *l, struct conn *c)
{
	struct answer *a = &c->answer;

	l->in_flight--;
	l->answered++;
	l->status[a->status]++;
	l->bytes += a->head_n + a->body_n;
	histogram_add(&l->latency, mono_ns() - c->start_ns);
	c->in_flight = c->is_fresh = false;
	if (a->is_last) {
		(void)close(c->fd);
		l->reconnects++;
		conn_open(l, c);
	}
	if (c->at == AT_LAST)
		conn_start(l, c);
	else
		conn_go_on(l, c);
}

/*
 * The server has closed the connection, or talks nonsense.  A request that crossed with the close of an
 * idle connection is sent again; anything else counts as broken and is given up.
 */
static void conn_lost(struct load *l, struct conn *c)
{
	bool again = !c->is_fresh && c->answer.part == ANSWER_HEAD && c->answer.head_n == 0;

	(void)close(c->fd);
	conn_open(l, c);
	if (!c->in_flight)
		return;
	if (again) {
		l->reconnects++;
		c->sent = 0;
		conn_send(l, c);
		return;
	}
	if (++l->broken >= BROKEN_MAX)
		l->is_over = true;
	l->in_flight--;
	c->in_flight = false;
	conn_start(l, c);
}

static void conn_event(struct load *l, struct conn *c, uint32_t events)
{
	static char buf[256 * 1024];
	ssize_t r;

	if (events & EPOLLOUT)
		conn_send(l, c);
	if (!(events & ~(uint32_t)EPOLLOUT))
		return;
	r = recv(c->fd, buf, sizeof(buf), 0);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0 || !c->in_flight) {
		conn_lost(l, c);
		return;
	}
	answer_feed(&c->answer, buf, (size_t)r);
	if (c->answer.part == ANSWER_DONE)
		conn_done(l, c);
	else if (c->answer.part == ANSWER_BAD)
		conn_lost(l, c);
}

static void load_run(struct load *l)
{
	struct epoll_event events[64];
	int n;

	l->start_ns = mono_ns();
	for (unsigned i = 0; i < l->o->conns; i++) {
		conn_open(l, &l->conns[i]);
		conn_start(l, &l->conns[i]);
	}
	while (l->in_flight > 0) {
		n = epoll_wait(l->epoll, events, 64, ANSWER_MS_MAX);
		if (n < 0 && errno != EINTR)
			fail(1, "epoll_wait: %s", strerror(errno));
		if (n == 0)
			fail(1, "no answer for %d s", ANSWER_MS_MAX / 1000);
		for (int i = 0; i < n; i++)
			conn_event(l, events[i].data.ptr, events[i].events);
	}
}

/* Prints the line; returns whether all went well. */
static bool load_report(const struct load *l)
{
	double seconds = (double)(mono_ns() - l->start_ns) / (double)NS_PER_S;
	uint64_t ok = 0;

	for (unsigned i = 200; i < 300; i++)
		ok += l->status[i];
	printf("mode=%s conns=%u requests=%" PRIu64 " ok=%" PRIu64 " broken=%" PRIu64
	       " reconnects=%" PRIu64 " seconds=%.3f rps=%.0f mb_s=%.1f p50_us=%.1f p99_us=%.1f"
	       " max_us=%.1f",
	       l->o->put ? "put" : "get", l->o->conns, l->answered, ok, l->broken, l->reconnects,
	       seconds, (double)ok / seconds, (double)l->bytes / seconds / 1e6,
	       (double)histogram_quantile(&l->latency, 0.5) / 1e3,
	       (double)histogram_quantile(&l->latency, 0.99) / 1e3, (double)l->latency.max / 1e3);
	for (unsigned i = 0; i < STATUS_N; i++) {
		if (l->status[i] > 0)
			printf(" status_%u=%" PRIu64, i, l->status[i]);
	}
	printf("\n");
	return ok == l->answered && ok > 0 && l->broken == 0;
}

/* ---- command line ---- */

_Noreturn static void usage(void)
{
	fail(2, "usage: load put|get [-c CONNECTIONS] [-n REQUESTS] [-t SECONDS]\n"
		"  put [-f FIRST] [-p TAG-PREFIX | -d] [-l] http://HOST:PORT REPOSITORY\n"
		"      tags are PREFIX%%07u from FIRST on (default: t from 0); -d: by digest, no tag\n"
		"      -l: each with a layer of its own; -n counts images\n"
		"  get [-k KEYS] http://HOST:PORT/PATH     {} in PATH: a number below KEYS");
}

static uint64_t option_number(const char *text, uint64_t max)
{
	uint64_t v;

	if (!answer_scan_u64(text, 10, &v) || text[strspn(text, "0123456789")] != '\0' || v > max)
		fail(2, "%s: not a number up to %" PRIu64, text, max);
	return v;
}

static void options_parse_url(struct options *o, const char *url)
{
	int host_n = 0, port_n = 0, path = 0;

	(void)sscanf(url, "http://%*255[^:/]%n:%*7[0-9]%n%n", &host_n, &port_n, &path);
	if (path == 0 || (url[path] != '/' && url[path] != '\0') ||
	    strlen(url + path) >= sizeof(o->path))
		fail(2, "%s: not http://HOST:PORT/PATH", url);
	(void)snprintf(o->host, sizeof(o->host), "%.*s", host_n - 7, url + 7);
	(void)snprintf(o->port, sizeof(o->port), "%.*s", port_n - host_n - 1, url + host_n + 1);
	(void)snprintf(o->path, sizeof(o->path), "%s", url[path] ? url + path : "/");
}

static void options_parse(struct options *o, int argc, char **argv)
{
	int c;

	if (argc < 2 || (strcmp(argv[1], "put") != 0 && strcmp(argv[1], "get") != 0))
		usage();
	*o = (struct options){ .put = argv[1][0] == 'p', .conns = 4, .prefix = "t" };
	for (optind = 2; (c = getopt(argc, argv, "c:n:t:f:k:p:dl")) != -1;) {
		switch (c) {
		case 'c': o->conns = (unsigned)option_number(optarg, CONNS_MAX); break;
		case 'n': o->requests_max = option_number(optarg, UINT64_MAX); break;
		case 't': o->time_ns_max = option_number(optarg, 86400) * NS_PER_S; break;
		case 'f': o->first = option_number(optarg, UINT64_MAX / 2); break;
		case 'k': o->keys = option_number(optarg, UINT64_MAX); break;
		case 'p': o->prefix = optarg; break;
		case 'd': o->by_digest = true; break;
		case 'l': o->own_layers = true; break;
		default: usage();
		}
	}
	if (argc - optind != (o->put ? 2 : 1) || o->conns == 0 || (o->own_layers && !o->put))
		usage();
	options_parse_url(o, argv[optind]);
	o->repo = o->put ? argv[optind + 1] : NULL;
	if (o->requests_max == 0 && o->time_ns_max == 0)
		o->time_ns_max = 5 * NS_PER_S;
}

int main(int argc, char **argv)
{
	struct options o;
	struct load l = { .o = &o, .random = UINT64_C(0x9e3779b97f4a7c15) };

	options_parse(&o, argc, argv);
	if (o.put)
		image_push(&o, &l.image);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.conns = calloc(o.conns, sizeof(*l.conns));
	if (l.epoll < 0 || !l.conns)
		fail(1, "start: %s", strerror(errno));
	load_run(&l);
	free(l.conns);
	return load_report(&l) ? 0 : 1;
}
