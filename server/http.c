#include "server/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "server/listen.h"
#include "server/metrics.h"
#include "server/tls.h"
#include "server/watch.h"

#if MHD_VERSION < 0x01000500
#error "libmicrohttpd before 1.0.5 lets requests be smuggled (etc/adr/0001): run make deps"
#endif

#define TICK_MS 1000
#define FDS_RESERVED 128 /* for the store, the index and the libraries */
#define PEER_MAX 48
#define TLS_BLOCK 16384  /* the largest record: a read and a send for each */
#define COPIED_MAX 16384 /* files up to here are read, and sent with their head at once */

struct http {
	const struct server *server;
	struct MHD_Daemon *daemon;
	struct watch watch;
	pthread_t ticker;
	bool has_ticker;
	_Atomic bool stopping;
	_Atomic unsigned requests; /* between target and end */
	_Atomic unsigned parked;
	_Atomic uint64_t turns;     /* of poll threads */
	struct sockaddr_storage to; /* where it listens, as a process of this machine reaches it */
	bool asked;                 /* http_works has a question open */
	uint64_t turns_asked;
	uint64_t ticked_mono_ms; /* of http_poll */
};

/* A client's connection: what MHD calls its socket context. */
struct client {
	struct watched watched;
	struct http *http;
	struct MHD_Connection *connection;
	struct tls_conn *tls; /* NULL: plain HTTP */
	bool spoke_http;      /* a request-target was read */
	bool corked;
	char peer[PEER_MAX], forwarded[PEER_MAX];
};

/* --- what request.c asks of us --- */

static const char *host_header(void *arg, const char *name)
{
	struct client *c = arg;

	return MHD_lookup_connection_value(c->connection, MHD_HEADER_KIND, name);
}

struct counter {
	const char *name;
	unsigned n;
};

static enum MHD_Result count_field(void *cls, enum MHD_ValueKind kind, const char *name,
				   const char *value)
{
	struct counter *c = cls;

	(void)kind, (void)value;
	c->n += strcasecmp(name, c->name) == 0;
	return MHD_YES;
}

static bool host_repeats(void *arg, const char *name)
{
	struct client *c = arg;
	struct counter counter = { name, 0 };

	(void)MHD_get_connection_values(c->connection, MHD_HEADER_KIND, count_field, &counter);
	return counter.n > 1;
}

static void host_local(void *arg, char *buf, size_t cap)
{
	struct client *c = arg;
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getsockname(c->watched.fd, (struct sockaddr *)&a, &n) < 0)
		a.ss_family = AF_UNSPEC;
	address_port_text((struct sockaddr *)&a, buf, cap);
}

static enum err_kind host_certificate(void *arg, struct identity **ret, struct err *e)
{
	struct client *c = arg;

	*ret = NULL;
	return c->tls ? tls_identity(c->tls, ret, e) : ERR_OK;
}

static void host_park(void *arg)
{
	struct client *c = arg;

	c->http->parked++;
	watch_phase(&c->watched, WATCH_WORK);
	MHD_suspend_connection(c->connection);
}

static void host_wake(void *arg)
{
	struct client *c = arg;
	struct http *h = c->http; /* c may be gone as soon as the connection runs again */

	MHD_resume_connection(c->connection);
	h->parked--;
}

/* --- answers --- */

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is the library's */
static ssize_t no_bytes(void *cls, uint64_t pos, char *buf, size_t max)
{
	(void)cls, (void)pos, (void)buf, (void)max;
	return MHD_CONTENT_READER_END_WITH_ERROR; /* never asked: it is for HEAD */
}

/* A file's part, for connections that sendfile cannot serve: the library would read them by 4 KiB. */
struct part {
	int fd;
	uint64_t at;
};

static ssize_t part_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	const struct part *p = cls;
	struct err e = { 0 };

	if (fd_pread_exact(p->fd, buf, max, p->at + pos, "a file to send", &e) != ERR_OK)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return (ssize_t)max;
}

static void part_free(void *cls)
{
	struct part *p = cls;

	(void)close(p->fd);
	free(p);
}

static struct MHD_Response *response_of_part(struct reply *r)
{
	struct part *p = malloc(sizeof(*p));
	struct MHD_Response *m;

	if (!p)
		return NULL;
	*p = (struct part){ .fd = TAKE_FD(r->fd), .at = r->fd_at };
	m = MHD_create_response_from_callback(r->length, TLS_BLOCK, part_read, p, part_free);
	if (!m)
		part_free(p);
	return m;
}

static struct MHD_Response *response_of_memory(size_t n, char **take)
{
	char *body = TAKE(*take);
	struct MHD_Response *m = MHD_create_response_from_buffer_with_free_callback(n, body, free);

	if (!m)
		free(body);
	return m;
}

static struct MHD_Response *response_of_copy(const struct reply *r)
{
	AUTO_FREE char *body = malloc(r->length + 1); /* never of nothing */
	struct err e = { 0 };

	if (!body ||
	    fd_pread_exact(r->fd, body, r->length, r->fd_at, "a file to send", &e) != ERR_OK)
		return NULL;
	return response_of_memory(r->length, &body);
}

/* The library sends the head of a file alone, which costs both sides another packet, and the client another wake-up. */
static void cork(struct client *c, bool on)
{
	const int value = on;

	if (c->corked != on)
		(void)setsockopt(c->watched.fd, IPPROTO_TCP, TCP_CORK, &value, sizeof(value));
	c->corked = on;
}

static struct MHD_Response *make_response(struct client *c, struct reply *r)
{
	if (r->body && !r->no_body) {
		r->length = r->body_n;
		return response_of_memory(r->body_n, &r->body);
	}
	if (r->fd >= 0 && r->length <= COPIED_MAX)
		return response_of_copy(r);
	if (r->fd >= 0 && c->tls)
		return response_of_part(r);
	if (r->fd >= 0) {
		cork(c, true);
		return MHD_create_response_from_fd_at_offset64(r->length, TAKE_FD(r->fd), r->fd_at);
	}
	if (r->no_body && r->length)
		return MHD_create_response_from_callback(r->length, 1, no_bytes, NULL, NULL);
	return MHD_create_response_empty(MHD_RF_NONE);
}

static enum MHD_Result answer(struct client *c, struct request *rq)
{
	struct reply *r = &rq->reply;
	struct MHD_Response *m = make_response(c, r);
	bool ok;
	enum MHD_Result sent = MHD_NO;

	if (!m)
		return MHD_NO;
	ok = MHD_add_response_header(m, "X-Content-Type-Options", "nosniff") == MHD_YES &&
	     MHD_add_response_header(m, "Docker-Distribution-API-Version", "registry/2.0") ==
		 MHD_YES &&
	     MHD_add_response_header(m, "X-Request-Id", rq->id) == MHD_YES;
	for (size_t i = 0; i < r->n_headers && ok; i++)
		ok = MHD_add_response_header(m, r->headers[i].name, r->headers[i].value) == MHD_YES;
	watch_phase(&c->watched, WATCH_SEND);
	if (ok)
		sent = MHD_queue_response(c->connection, r->status, m);
	MHD_destroy_response(m);
	return sent;
}

/* --- what MHD tells us --- */

static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void *on_target(void *cls, const char *uri, struct MHD_Connection *connection)
{
	struct http *h = cls;
	struct client *c = client_of(connection);
	struct request *rq = request_new(h->server, str_of(uri));

	if (c)
		c->spoke_http = true;
	if (rq)
		h->requests++;
	return rq;
}

/* Behind a proxy of ours it is who that one says. */
static const char *find_peer(struct client *c, const struct request *rq)
{
	const struct proxies *p = rq->proxies;
	const char *field = p->n ? host_header(c, "X-Forwarded-For") : NULL;

	if (!field || host_repeats(c, "X-Forwarded-For"))
		return c->peer;
	return proxies_client(p, c->peer, str_of(field), c->forwarded, sizeof(c->forwarded));
}

static enum MHD_Result on_head(struct client *c, struct request *rq, const char *method)
{
	const struct request_host host = { .arg = c,
					   .peer = find_peer(c, rq),
					   .by_proxy = proxies_trust(rq->proxies, c->peer),
					   .header = host_header,
					   .repeats = host_repeats,
					   .certificate = host_certificate,
					   .local = host_local,
					   .park = host_park,
					   .wake = host_wake };

	if (rq->stage == REQUEST_HEAD ? request_open(rq, method, &host) : request_resume(rq))
		return answer(c, rq);
	if (rq->stage != REQUEST_AUTH)
		watch_phase(&c->watched, WATCH_BODY);
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *n_data, void **request)
{
	struct client *c = client_of(connection);
	struct request *rq = *request;
	struct http *h = cls;

	h->turns++;
	(void)url, (void)version;
	if (!c || !rq)
		return MHD_NO; /* no memory: nothing better can be said */
	if (rq->stage == REQUEST_HEAD || rq->stage == REQUEST_AUTH)
		return on_head(c, rq, method);
	if (*n_data) {
		size_t took;

		watch_phase(&c->watched, WATCH_BODY);
		took = request_receive(rq, data, *n_data);
		if (took == SIZE_MAX)
			return MHD_NO;
		*n_data -= took;
		return MHD_YES;
	}
	if (request_finish(rq))
		return answer(c, rq);
	return MHD_YES;
}

static void on_end(void *cls, struct MHD_Connection *connection, void **request,
		   enum MHD_RequestTerminationCode how)
{
	struct client *c = client_of(connection);
	struct request *rq = *request;
	struct http *h = cls;

	(void)how;
	if (c) {
		cork(c, false);
		watch_phase(&c->watched, WATCH_HEAD);
	}
	if (!rq)
		return;
	*request = NULL;
	request_end(rq);
	h->requests--;
}

static bool begin_tls(struct client *c)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(c->connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);

	c->tls = info ? tls_begin(c->http->server->tls, info->tls_session) : NULL;
	return c->tls != NULL;
}

/* The library may hand out the same union for every question, so each answer is taken at once. */
static void client_start(struct http *h, struct MHD_Connection *connection, void **context)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	int fd = info ? info->connect_fd : -1;
	struct client *c = calloc(1, sizeof(*c));

	*context = c;
	if (!c)
		return;
	c->http = h;
	c->connection = connection;
	(void)snprintf(c->peer, sizeof(c->peer), "?");
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	if (info && info->client_addr)
		address_text(info->client_addr, c->peer, sizeof(c->peer));
	watch_enter(&h->watch, &c->watched, fd);
	metrics_connection(h->server->metrics, true);
	if (h->server->tls && !begin_tls(c))
		(void)shutdown(fd, SHUT_RDWR);
}

/*
 * A client that spoke something else, TLS most likely, is told what this is: docker and others fall back to plain
 * HTTP when they see it.
 */
static void answer_stranger(const struct client *c)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
				   "Connection: close\r\nContent-Length: 41\r\n\r\n"
				   "This is an HTTP server, without any TLS.\n";

	if (!c->tls && !c->spoke_http && watch_was_silent(&c->watched))
		(void)send(c->watched.fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct http *h = cls;
	struct client *c = *context;

	h->turns++;
	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		client_start(h, connection, context);
	} else if (c) {
		answer_stranger(c);
		watch_leave(&h->watch, &c->watched);
		metrics_connection(h->server->metrics, false);
		tls_end(&c->tls); /* the library let go of its session before */
		free(c);
		*context = NULL;
	}
}

/* Targets are taken apart by target.h and path.h, from the raw text; a decoded copy is of no use. */
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls, (void)connection;
	return strlen(text);
}

static void on_log(void *cls, const char *fmt, va_list ap) PRINTF(2, 0);
static void on_log(void *cls, const char *fmt, va_list ap)
{
	char msg[256];

	(void)cls;
	if (!log_is_on(LOG_DEBUG))
		return;
	(void)vsnprintf(msg, sizeof(msg), fmt, ap);
	log_event(LOG_DEBUG, "http", "%s", msg);
}

static void *ticker_main(void *arg)
{
	struct http *h = arg;

	while (!h->stopping) {
		(void)poll(NULL, 0, TICK_MS);
		watch_tick(&h->watch, mono_ms());
	}
	return NULL;
}

/* --- start and end --- */

/* Each connection may need a file besides its socket. */
static unsigned connections_max(const struct conf *c)
{
	uint64_t max = c->http_connections;
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY)
		max = MIN(max, l.rlim_cur > 2 * FDS_RESERVED ? (l.rlim_cur - FDS_RESERVED) / 2 : 8);
	return (unsigned)max;
}

/* Its owner calls http_poll. */
static bool runs_inline(const struct http *h)
{
	return h->server->conf->threads == 1 && !h->server->watch_only;
}

static enum err_kind start_daemon(struct http *h, int fd, struct err *e)
{
	const struct conf *c = h->server->conf;
	bool single = runs_inline(h);
	unsigned flags = MHD_USE_EPOLL | MHD_USE_TURBO | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_LISTEN_SOCKET, fd, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)(c->http_idle_timeout_ms / 1000), NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)connections_max(c), NULL },
		{ MHD_OPTION_PER_IP_CONNECTION_LIMIT, (intptr_t)c->http_connections_per_address,
		  NULL },
		{ MHD_OPTION_CLIENT_DISCIPLINE_LVL, 1, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)c->http_head_max, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_INCREMENT, 16384, NULL },
		{ single || h->server->watch_only ? MHD_OPTION_END : MHD_OPTION_THREAD_POOL_SIZE,
		  (intptr_t)c->threads, NULL },
		{ MHD_OPTION_END, 0, NULL },
	};

	if (h->server->tls)
		flags |= MHD_USE_TLS;
	if (!single)
		flags |= MHD_USE_INTERNAL_POLLING_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC;
	h->daemon = MHD_start_daemon(
	    flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
	    MHD_OPTION_ARRAY, options, MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
	    MHD_OPTION_NOTIFY_COMPLETED, on_end, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	    MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
	    h->server->tls ? MHD_OPTION_HTTPS_CERT_CALLBACK2 : MHD_OPTION_END, tls_retrieve(),
	    MHD_OPTION_HTTPS_PRIORITIES, tls_priorities, MHD_OPTION_END);
	if (!h->daemon)
		return err_set(e, ERR_IO, __func__, "the HTTP server does not start");
	return ERR_OK;
}

/* Any address of ours stands for the loopback one. */
static void find_self(struct http *h, int fd)
{
	socklen_t n = sizeof(h->to);
	struct sockaddr_in *in = (void *)&h->to;
	struct sockaddr_in6 *in6 = (void *)&h->to;

	if (getsockname(fd, (struct sockaddr *)&h->to, &n) < 0)
		h->to.ss_family = AF_UNSPEC;
	if (h->to.ss_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (h->to.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
}

enum err_kind http_start(const struct server *s, int *take_fd, struct http **ret, struct err *e)
{
	AUTO_CLOSE fd = TAKE_FD(*take_fd);
	const struct conf *c = s->conf;
	struct http *h = calloc(1, sizeof(*h));
	enum err_kind k;

	if (!h)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the HTTP server");
	h->server = s;
	watch_init(&h->watch, c->http_head_timeout_ms, c->http_min_rate_grace_ms, c->http_min_rate);
	find_self(h, fd);
	k = start_daemon(h, fd, e);
	if (k == ERR_OK)
		(void)TAKE_FD(fd); /* the daemon's now */
	if (k == ERR_OK && !runs_inline(h)) {
		h->has_ticker = pthread_create(&h->ticker, NULL, ticker_main, h) == 0;
		if (!h->has_ticker)
			k = err_set(e, ERR_NO_MEMORY, __func__, "no thread for time-outs");
	}
	if (k != ERR_OK) {
		http_drain(&h);
		return k;
	}
	*ret = h;
	return ERR_OK;
}

bool http_is_tls(const struct http *h)
{
	return h->server->tls != NULL;
}

void http_set_limits(struct http *h, const struct conf *c)
{
	watch_set(&h->watch, c->http_head_timeout_ms, c->http_min_rate_grace_ms, c->http_min_rate);
}

/* False if nothing can come of it: there is no way to ourselves. */
static bool knock(const struct http *h)
{
	AUTO_CLOSE fd = socket(h->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)&h->to, sizeof(h->to)) == 0 ||
			   errno == EINPROGRESS || errno == EAGAIN);
}

static bool is_full(const struct http *h)
{
	const union MHD_DaemonInfo *info =
	    MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info && info->num_connections >= connections_max(h->server->conf);
}

bool http_works(struct http *h)
{
	bool turned = !h->asked || h->turns != h->turns_asked;

	h->turns_asked = h->turns;
	h->asked = knock(h);
	return turned || is_full(h);
}

void http_poll(struct http *h, unsigned ms)
{
	uint64_t now;

	(void)MHD_run_wait(h->daemon, (int32_t)ms);
	now = mono_ms();
	if (now - h->ticked_mono_ms >= TICK_MS) {
		h->ticked_mono_ms = now;
		watch_tick(&h->watch, now);
	}
}

static void wait_until_idle(struct http *h, const _Atomic unsigned *what, uint64_t until_mono_ms)
{
	while (*what && mono_ms() < until_mono_ms) {
		if (h->has_ticker)
			(void)poll(NULL, 0, 5);
		else
			http_poll(h, 5);
	}
}

static uint64_t drain_ms(const struct server *s)
{
	AUTO_SNAPSHOT *now = s->live ? live_get(s->live) : NULL;

	return now ? now->conf.http_drain_ms : s->conf->http_drain_ms;
}

void http_drain(struct http **take)
{
	struct http *h = TAKE(*take);
	uint64_t grace_ms;

	if (!h)
		return;
	grace_ms = drain_ms(h->server);
	if (h->daemon) {
		AUTO_CLOSE listener = MHD_quiesce_daemon(h->daemon);

		wait_until_idle(h, &h->requests, mono_ms() + grace_ms);
		watch_shutdown_all(&h->watch);
		/* A parked request is at work on a worker, which comes to an end by itself. */
		wait_until_idle(h, &h->parked, UINT64_MAX);
	}
	h->stopping = true;
	if (h->has_ticker)
		(void)pthread_join(h->ticker, NULL);
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	watch_clear(&h->watch);
	free(h);
}
