#include "server/api.h"

#define MARK_TEXT_MAX (17 + DIGEST_TEXT_MAX)

/* The descriptors of one answer, as JSON text without the brackets. */
struct listing {
	struct sbuf text;
	size_t bytes_max;
	bool any;
};

static bool add_descriptor(void *arg, struct str descriptor)
{
	struct listing *l = arg;

	/* One descriptor always fits, or the listing would never move on. */
	if (l->any && descriptor.n + 1 > l->bytes_max - MIN(l->text.n, l->bytes_max))
		return false;
	if (l->any)
		sbuf_add(&l->text, ",", 1);
	sbuf_add_str(&l->text, descriptor);
	l->any = true;
	return true;
}

/* last=<hash of the artifact type, 16 hex digits>.<digest of the manifest> */
static bool parse_mark(struct str in, struct referrer_mark *ret)
{
	struct str hash, digest;
	uint64_t v = 0;

	if (!str_cut(in, '.', &hash, &digest) || hash.n != 16)
		return false;
	for (size_t i = 0; i < hash.n; i++) {
		int x = hex_value(hash.p[i]);

		if (x < 0)
			return false;
		v = v << 4 | (unsigned)x;
	}
	ret->type_hash = v;
	return digest_parse(&ret->manifest, digest);
}

static void link_next(struct request *rq, struct str type, const struct referrer_mark *last)
{
	AUTO_SBUF filter = { .max = 3 * MEDIA_TYPE_MAX + 32 };
	char digest[DIGEST_TEXT_MAX];

	if (type.n) { /* which may hold characters that a query must not */
		sbuf_addf(&filter, "artifactType=");
		sbuf_add_percent(&filter, type, PERCENT_QUERY);
		sbuf_add(&filter, "&", 1);
	}
	if (!filter.failed)
		reply_header(&rq->reply, "Link", "<%s%.*s?%slast=%016llx.%s>; rel=\"next\"",
			     rq->origin->prefix, STR_FMT(rq->target.path), filter.p ? filter.p : "",
			     (unsigned long long)last->type_hash,
			     digest_text(&last->manifest, digest));
}

/* Descriptors are kept as the JSON that goes out, so the list is put together as text. */
static void send_listing(struct request *rq, struct listing *l)
{
	AUTO_SBUF b;

	sbuf_init(&b, SBUF_MAX);
	sbuf_add_str(
	    &b, STR("{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":["));
	if (l->text.p)
		sbuf_add(&b, l->text.p, l->text.n);
	sbuf_add_str(&b, STR("]}"));
	b.failed = b.failed || l->text.failed;
	reply_body(&rq->reply, 200, MEDIA_OCI_INDEX, &b);
}

static enum err_kind list(struct request *rq, struct str type, const struct referrer_mark *after,
			  struct err *e)
{
	struct listing l = { .bytes_max = (size_t)rq->conf->referrers_page_bytes_max };
	struct referrer_mark last;
	bool more = false;
	enum err_kind k;

	sbuf_init(&l.text, SBUF_MAX);
	k = index_referrers(store_index(rq->server->store), &rq->path.repo, &rq->path.digest, type,
			    after, add_descriptor, &l, &more, &last, e);
	if (k == ERR_OK || k == ERR_NOT_FOUND) { /* no repository: no referrers either */
		k = ERR_OK;
		send_listing(rq, &l);
		if (more)
			link_next(rq, type, &last);
	}
	sbuf_clear(&l.text);
	return k;
}

enum err_kind api_referrers(struct request *rq, struct err *e)
{
	struct str type = { "", 0 }, text;
	struct referrer_mark after;
	bool has_after = request_query(rq, STR("last"), &text);

	if (has_after && !parse_mark(text, &after))
		return request_fail(rq, e, ERR_INVALID, RES_PAGE,
				    "last is not from a Link of ours");
	if (request_query(rq, STR("artifactType"), &type) && type.n) {
		if (!media_type_is_valid(type))
			return request_fail(rq, e, ERR_INVALID, RES_ANY,
					    "artifactType is not a media type");
		reply_header(&rq->reply, "OCI-Filters-Applied", "artifactType");
	}
	return list(rq, type, has_after ? &after : NULL, e);
}
