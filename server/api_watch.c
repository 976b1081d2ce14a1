#include "server/api.h"

#include "server/expo.h"
#include "server/metrics.h"

#define METRICS_BYTES_MAX (4u * 1024 * 1024)
#define TEXT_BYTES_MAX 4096
#define OPENMETRICS "application/openmetrics-text"

static void give(struct request *rq, unsigned status, const char *type, struct sbuf *b)
{
	size_t n = b->n;

	reply_body(&rq->reply, status, type, b);
	reply_header(&rq->reply, "Cache-Control", "no-store");
	rq->reply.no_body = rq->method == METHOD_HEAD;
	rq->reply.length = n;
}

/* The process is there and its threads answer.  It listens only once it has started, so the same says that it has. */
enum err_kind api_live(struct request *rq, struct err *e)
{
	AUTO_SBUF b = { .max = TEXT_BYTES_MAX };

	(void)e;
	sbuf_add_str(&b, STR("ok\n"));
	give(rq, 200, "text/plain; charset=utf-8", &b);
	return ERR_OK;
}

static void check(struct sbuf *b, bool ok, bool *all, const char *what, const char *why)
{
	sbuf_addf(b, "%s %s%s%s\n", ok ? "[+]" : "[-]", what, ok ? "" : ": ", ok ? "" : why);
	*all = *all && ok;
}

/* Can a push succeed now? */
enum err_kind api_ready(struct request *rq, struct err *e)
{
	const struct server *s = rq->server;
	AUTO_SBUF b = { .max = TEXT_BYTES_MAX };
	bool all = true;
	uint64_t free_bytes;
	char why[128];
	enum err_kind k = store_free_bytes(s->ops->store, &free_bytes, e);

	if (k != ERR_OK)
		return k;
	(void)snprintf(why, sizeof(why), "%llu bytes free, fewer than health.free_min",
		       (unsigned long long)free_bytes);
	check(&b, !*s->draining, &all, "serving", "about to end");
	check(&b, !store_commit_stats(s->ops->store).stuck, &all, "index",
	      "the last change could not be undone yet: see the log");
	check(&b, free_bytes >= rq->conf->health_free_min, &all, "disk", why);
	give(rq, all ? 200 : 503, "text/plain; charset=utf-8", &b);
	return ERR_OK;
}

enum err_kind api_metrics(struct request *rq, struct err *e)
{
	const char *accept = request_header(rq, "Accept");
	AUTO_SBUF b = { .max = METRICS_BYTES_MAX };
	struct expo x = { .b = &b, .is_openmetrics = accept && strstr(accept, OPENMETRICS) };
	enum err_kind k = metrics_tell(rq->server->metrics, rq->server, &x, e);

	if (k == ERR_OK && b.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for metrics");
	if (k == ERR_OK)
		give(rq, 200,
		     x.is_openmetrics ? OPENMETRICS "; version=1.0.0; charset=utf-8"
				      : "text/plain; version=0.0.4; charset=utf-8",
		     &b);
	return k;
}
