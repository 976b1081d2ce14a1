/*
 * load - drive any OCI registry over plain HTTP/1.1 and say how fast it answers.
 *
 *   load put  [options] http://HOST:PORT REPOSITORY   PUT image manifests, each with a digest of its own
 *   load blob [options] http://HOST:PORT REPOSITORY   push blobs, each with a digest of its own
 *   load get  [options] http://HOST:PORT/PATH         ask for one URL, or for one of -k URLs, again and again
 *
 * put first pushes a config and a layer (POST and PUT), then PUTs manifests that differ in one
 * annotation, manifest i under the tag PREFIX%07i or by its digest; with -l each after a layer of its
 * own, and the three or two requests of an image count one by one.  With -g that share of the requests,
 * in percent, are GETs of the tags t0000000 up to -k instead, and their latencies are told apart.
 *
 * blob pushes -s bytes in one of four ways: "whole" (POST, PUT), "once" (a POST, and a PUT where the
 * registry wants one), "chunked" (POST, a PATCH for every -b bytes, PUT), "streamed" (POST, one PATCH of
 * unknown length in frames, PUT).  Blobs differ in their last bytes, so that a digest costs the
 * generator nothing: the state of the hash before them is kept.
 *
 * get replaces a "{}" in the path by a number below -k in the same seven digits, in random order, or
 * from -f on in order with -q.  With -x what is under way when time is up is cut off, and counted by its
 * bytes alone: a download may be longer than the measurement.
 *
 * One thread and one epoll set drive -c keep-alive connections with one request in flight on each.
 * The result is one line of key=value pairs; an item is a manifest with its layer, a blob, or an answer
 * to get, and latencies of blobs are those of the whole push.  Exit status: 0 if every answer was 2xx, 1 if not, 2 for
 * a usage error.  The program stops by itself after -n items, -t seconds or -T milliseconds, 100 broken
 * connections, or ANSWER_MS_MAX without an answer.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/request.h"

#define CONNS_MAX 4096
#define BROKEN_MAX 100
#define ANSWER_MS_MAX 60000

/* ---- latencies ---- */

/* With 1/16 of precision: bucket 16 * log2 + the four bits below the leading one. */
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

/* ---- the load ---- */

struct conn {
	int fd;
	bool in_flight, is_fresh; /* is_fresh: no answer came over this socket yet */
	uint32_t watched;
	uint64_t start_ns;
	struct request request;
	struct answer answer;
};

struct load {
	const struct options *o;
	struct maker maker;
	struct conn *conns;
	int epoll;
	bool is_over; /* no further items */
	unsigned in_flight;
	uint64_t start_ns, issued;
	uint64_t items, answered, bytes, broken, reconnects, status[STATUS_N];
	struct histogram latency, get_latency;
};

static bool is_late(const struct load *l, uint64_t now)
{
	return l->o->time_ns_max > 0 && now - l->start_ns >= l->o->time_ns_max;
}

static void conn_watch(struct load *l, struct conn *c, int op, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(l->epoll, op, c->fd, &ev) < 0)
		fail(1, "epoll_ctl: %s", strerror(errno));
	c->watched = events;
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
	uint32_t events = EPOLLIN;
	const char *p;
	bool more;
	ssize_t r;
	size_t n;

	while (request_piece(&l->maker, &c->request, &p, &n, &more)) {
		r = send(c->fd, p, n, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
		if (r < 0 && errno != EAGAIN)
			return;
		if (r < 0) {
			events |= EPOLLOUT;
			break;
		}
		request_sent(&c->request, (size_t)r);
		l->bytes += l->o->mode == LOAD_BLOB ? (size_t)r : 0;
	}
	if (events != c->watched)
		conn_watch(l, c, EPOLL_CTL_MOD, events);
}

static void conn_issue(struct load *l, struct conn *c)
{
	l->in_flight++;
	c->in_flight = true;
	answer_init(&c->answer);
	c->answer.is_head = l->o->method[0] == 'H';
	conn_send(l, c);
}

static void conn_start(struct load *l, struct conn *c)
{
	const struct options *o = l->o;

	c->start_ns = mono_ns();
	if ((o->items_max > 0 && l->issued >= o->items_max) ||
	    (l->issued > 0 && is_late(l, c->start_ns)))
		l->is_over = true;
	if (l->is_over)
		return;
	request_first(&l->maker, o->first + l->issued, &c->request);
	l->issued++;
	conn_issue(l, c);
}

static void conn_done(struct load *l, struct conn *c)
{
	struct answer *a = &c->answer;
	uint64_t now = mono_ns();
	bool goes_on = request_next(&l->maker, a, &c->request);

	l->in_flight--;
	l->answered++;
	l->status[a->status]++;
	l->items += !goes_on && a->status / 100 == 2;
	if (!goes_on || l->o->mode != LOAD_BLOB)
		histogram_add(c->request.is_get ? &l->get_latency : &l->latency, now - c->start_ns);
	if (l->o->mode != LOAD_BLOB)
		c->start_ns = now;
	c->in_flight = c->is_fresh = false;
	if (a->is_last) {
		(void)close(c->fd);
		l->reconnects++;
		conn_open(l, c);
	}
	if (goes_on)
		conn_issue(l, c);
	else
		conn_start(l, c);
}

/*
 * The server has closed the connection, or talks nonsense.  A request that crossed with the close of an
 * idle connection is sent again if it has no body to go back in; anything else counts as broken and is
 * given up.
 */
static void conn_lost(struct load *l, struct conn *c)
{
	bool again = !c->is_fresh && c->answer.part == ANSWER_HEAD && c->answer.head_n == 0 &&
		     c->request.end == 0;

	(void)close(c->fd);
	conn_open(l, c);
	if (!c->in_flight)
		return;
	if (again) {
		l->reconnects++;
		c->request.text_sent = 0;
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
	l->bytes += l->o->mode == LOAD_BLOB ? 0 : (size_t)r;
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
	while (l->in_flight > 0 && !(l->o->cut && l->bytes > 0 && is_late(l, mono_ns()))) {
		n = epoll_wait(l->epoll, events, 64, ANSWER_MS_MAX);
		if (n < 0 && errno != EINTR)
			fail(1, "epoll_wait: %s", strerror(errno));
		if (n == 0)
			fail(1, "no answer for %d s", ANSWER_MS_MAX / 1000);
		for (int i = 0; i < n; i++)
			conn_event(l, events[i].data.ptr, events[i].events);
	}
}

static void print_quantiles(const char *what, const struct histogram *h)
{
	printf(" %sp50_us=%.1f %sp99_us=%.1f %smax_us=%.1f", what,
	       (double)histogram_quantile(h, 0.5) / 1e3, what,
	       (double)histogram_quantile(h, 0.99) / 1e3, what, (double)h->max / 1e3);
}

/* Prints the line; returns whether all went well. */
static bool load_report(const struct load *l)
{
	static const char *const modes[] = {
		[LOAD_PUT] = "put", [LOAD_BLOB] = "blob", [LOAD_GET] = "get"
	};
	double seconds = (double)(mono_ns() - l->start_ns) / (double)NS_PER_S;
	uint64_t ok = 0;

	for (unsigned i = 200; i < 300; i++)
		ok += l->status[i];
	printf("mode=%s conns=%u requests=%" PRIu64 " ok=%" PRIu64 " broken=%" PRIu64
	       " reconnects=%" PRIu64 " seconds=%.3f rps=%.0f items=%" PRIu64
	       " items_s=%.2f bytes=%" PRIu64 " mb_s=%.1f",
	       modes[l->o->mode], l->o->conns, l->answered, ok, l->broken, l->reconnects, seconds,
	       (double)ok / seconds, l->items, (double)l->items / seconds, l->bytes,
	       (double)l->bytes / seconds / 1e6);
	print_quantiles("", &l->latency);
	if (l->get_latency.n > 0)
		print_quantiles("get_", &l->get_latency);
	for (unsigned i = 0; i < STATUS_N; i++) {
		if (l->status[i] > 0)
			printf(" status_%u=%" PRIu64, i, l->status[i]);
	}
	printf("\n");
	return ok == l->answered && (ok > 0 || (l->o->cut && l->bytes > 0)) && l->broken == 0;
}

/* ---- command line ---- */

static const char *const ways[PUSH_WAY_N] = {
	[PUSH_WHOLE] = "whole",
	[PUSH_ONCE] = "once",
	[PUSH_CHUNKED] = "chunked",
	[PUSH_STREAMED] = "streamed",
};

_Noreturn static void usage(void)
{
	fail(2,
	     "usage: load put|blob|get [-c CONNECTIONS] [-n ITEMS] [-t SECONDS | -T MILLISECONDS] "
	     "[-H HEADER]\n"
	     "  put [-f FIRST] [-p TAG-PREFIX | -d] [-l] [-g PERCENT -k KEYS] http://HOST:PORT "
	     "REPOSITORY\n"
	     "      tags are PREFIX%%07u from FIRST on (default: t from 0); -d: by digest, no tag\n"
	     "      -l: each with a layer of its own; -g: so many are GETs of tags t0000000 up to "
	     "KEYS\n"
	     "  blob [-s BYTES] [-w whole|once|chunked|streamed] [-b CHUNK-BYTES] http://HOST:PORT "
	     "REPOSITORY\n"
	     "  get [-X METHOD] [-k KEYS] [-f FIRST] [-q] [-x] http://HOST:PORT/PATH\n"
	     "      {} in PATH: a number below KEYS, or from FIRST on with -q; -x: cut off when "
	     "time is up");
}

static uint64_t option_number(const char *text, uint64_t max)
{
	uint64_t v;

	if (!answer_scan_u64(text, 10, &v) || text[strspn(text, "0123456789")] != '\0' || v > max)
		fail(2, "%s: not a number up to %" PRIu64, text, max);
	return v;
}

static enum push_way option_way(const char *text)
{
	for (unsigned w = 0; w < PUSH_WAY_N; w++) {
		if (strcmp(text, ways[w]) == 0)
			return w;
	}
	usage();
}

static enum load_mode option_mode(const char *text)
{
	if (strcmp(text, "put") == 0)
		return LOAD_PUT;
	if (strcmp(text, "blob") == 0)
		return LOAD_BLOB;
	if (strcmp(text, "get") == 0)
		return LOAD_GET;
	usage();
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

static void option_set(struct options *o, int c)
{
	switch (c) {
	case 'b':
		o->chunk = option_number(optarg, UINT32_MAX);
		break;
	case 'c':
		o->conns = (unsigned)option_number(optarg, CONNS_MAX);
		break;
	case 'n':
		o->items_max = option_number(optarg, UINT64_MAX);
		break;
	case 't':
		o->time_ns_max = option_number(optarg, 86400) * NS_PER_S;
		break;
	case 'T':
		o->time_ns_max = option_number(optarg, 86400000) * (NS_PER_S / 1000);
		break;
	case 'f':
		o->first = option_number(optarg, UINT64_MAX / 2);
		break;
	case 'g':
		o->get_percent = (unsigned)option_number(optarg, 100);
		break;
	case 'k':
		o->keys = option_number(optarg, UINT64_MAX);
		break;
	case 's':
		o->size = option_number(optarg, UINT64_MAX / 2);
		break;
	case 'p':
		o->prefix = optarg;
		break;
	case 'd':
		o->by_digest = true;
		break;
	case 'l':
		o->own_layers = true;
		break;
	case 'q':
		o->in_order = true;
		break;
	case 'x':
		o->cut = true;
		break;
	case 'w':
		o->way = option_way(optarg);
		break;
	case 'H':
		o->header = optarg;
		break;
	case 'X':
		o->method = optarg;
		break;
	default:
		usage();
	}
}

static void options_parse(struct options *o, int argc, char **argv)
{
	int c;

	if (argc < 2)
		usage();
	*o = (struct options){ .mode = option_mode(argv[1]),
			       .conns = 4,
			       .prefix = "t",
			       .method = "GET",
			       .size = 4096,
			       .chunk = 1 << 20 };
	for (optind = 2; (c = getopt(argc, argv, "b:c:n:t:T:f:g:k:s:p:w:H:X:dlqx")) != -1;)
		option_set(o, c);
	if (argc - optind != (o->mode == LOAD_GET ? 1 : 2) || o->conns == 0 || o->size < TAIL_N ||
	    o->chunk == 0 || (o->get_percent > 0 && o->keys == 0))
		usage();
	options_parse_url(o, argv[optind]);
	o->repo = argv[optind + 1];
	if (o->items_max == 0 && o->time_ns_max == 0)
		o->time_ns_max = 5 * NS_PER_S;
}

int main(int argc, char **argv)
{
	static struct options o;
	static struct load l = { .o = &o };

	options_parse(&o, argc, argv);
	maker_init(&l.maker, &o);
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	l.conns = calloc(o.conns, sizeof(*l.conns));
	if (l.epoll < 0 || !l.conns)
		fail(1, "start: %s", strerror(errno));
	load_run(&l);
	free(l.conns);
	return load_report(&l) ? 0 : 1;
}
