#include "server/api.h"

/* n and last (distribution-spec "Listing Tags"; the catalog takes the same). */
struct page {
	uint64_t n;
	bool wants_none;
	struct str last;
};

static enum err_kind parse_page(struct request *rq, struct page *ret, struct err *e)
{
	uint64_t max = rq->server->conf->list_page_max;
	struct page p = { .n = max, .last = { "", 0 } };
	struct str text;

	if (request_query(rq, STR("n"), &text)) {
		if (!scan_u64(&text, INT64_MAX, &p.n) || !scan_end(&text))
			return request_fail(rq, e, ERR_INVALID, RES_PAGE, "n must be a number");
		p.wants_none = p.n == 0;
		p.n = MIN(p.n, max);
	}
	if (request_query(rq, STR("last"), &p.last) && p.last.n > REPO_NAME_MAX)
		return request_fail(rq, e, ERR_INVALID, RES_PAGE, "last is longer than any name");
	*ret = p;
	return ERR_OK;
}

/* Names are made of characters that need no escape in a query. */
static struct jv *names_value(const struct name_page *page, struct str *ret_last)
{
	AUTO_JV *list = jv_new_array();
	const char *at = page->names.p;

	for (size_t i = 0; list && i < page->n; i++) {
		*ret_last = str_of(at);
		if (!jv_append(list, jv_pack("s", at)))
			return NULL;
		at += ret_last->n + 1;
	}
	return TAKE(list);
}

static void send_list(struct request *rq, struct jv *take)
{
	AUTO_JV *doc = take;
	AUTO_SBUF b;

	sbuf_init(&b, SBUF_MAX);
	jv_dump(doc, &b);
	reply_body(&rq->reply, 200, MEDIA_JSON, &b);
}

static void link_next(struct request *rq, const struct page *p, struct str last)
{
	reply_header(&rq->reply, "Link", "<%.*s?n=%llu&last=%.*s>; rel=\"next\"",
		     STR_FMT(rq->target.path), (unsigned long long)p->n, STR_FMT(last));
}

enum err_kind api_tags(struct request *rq, struct err *e)
{
	AUTO_NAME_PAGE names = NAME_PAGE_INIT;
	struct str last = { "", 0 };
	struct page p;
	enum err_kind k = parse_page(rq, &p, e);

	if (k != ERR_OK)
		return k;
	rq->about = RES_REPO;
	k = index_tag_page(store_index(rq->server->store), &rq->path.repo, p.last, (size_t)p.n,
			   &names, e);
	if (k != ERR_OK)
		return k;
	send_list(
	    rq, jv_pack("{s:s, s:o}", "name", rq->path.repo.s, "tags", names_value(&names, &last)));
	if (names.more && !p.wants_none)
		link_next(rq, &p, last);
	return ERR_OK;
}

enum err_kind api_catalog(struct request *rq, struct err *e)
{
	AUTO_NAME_PAGE names = NAME_PAGE_INIT;
	struct str last = { "", 0 };
	struct page p;
	enum err_kind k = parse_page(rq, &p, e);

	if (k == ERR_OK)
		k = index_repo_page(store_index(rq->server->store), p.last, (size_t)p.n, &names, e);
	if (k != ERR_OK)
		return k;
	send_list(rq, jv_pack("{s:o}", "repositories", names_value(&names, &last)));
	if (names.more && !p.wants_none)
		link_next(rq, &p, last);
	return ERR_OK;
}
