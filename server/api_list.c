#include "server/access.h"
#include "server/api.h"

#define CATALOG_STEP ((size_t)1000)
#define CATALOG_LOOKED_AT_MAX 20000 /* names, for one answer */

/* n and last (distribution-spec "Listing Tags"; the catalog takes the same). */
struct page {
	uint64_t n;
	bool wants_none;
	struct str last;
};

static enum err_kind parse_page(struct request *rq, struct page *ret, struct err *e)
{
	uint64_t max = rq->conf->list_page_max;
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
	reply_header(&rq->reply, "Link", "<%s%.*s?n=%llu&last=%.*s>; rel=\"next\"",
		     rq->origin->prefix, STR_FMT(rq->target.path), (unsigned long long)p->n,
		     STR_FMT(last));
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

/* Names that who asks may not read are left out; *p takes what is left of the page. */
static void keep_readable(const struct request *rq, const struct name_page *found,
			  struct name_page *p, struct str *ret_last)
{
	const char *at = found->names.p;

	for (size_t i = 0; i < found->n; i++) {
		*ret_last = str_of(at);
		if (access_may_pull(rq, *ret_last)) {
			sbuf_add(&p->names, at, ret_last->n + 1);
			p->n++;
		}
		at += ret_last->n + 1;
	}
}

/*
 * Fills a page with readable names out of as many pages of all names as that takes, up to a bound: then a page is short,
 * and the next one goes on from *ret_last, which is not in this one.
 */
static enum err_kind readable_page(const struct request *rq, const struct page *want,
				   struct name_page *p, struct repo_name *ret_last, struct err *e)
{
	struct str after = want->last;
	size_t looked_at = 0, n = (size_t)want->n;
	enum err_kind k = ERR_OK;

	do {
		AUTO_NAME_PAGE found = NAME_PAGE_INIT;
		size_t ask = rq->server->auth ? MIN(n - p->n, CATALOG_STEP) : n;

		k = index_repo_page(store_index(rq->server->store), after, ask, &found, e);
		if (k != ERR_OK)
			return k;
		keep_readable(rq, &found, p, &after);
		p->more = found.more;
		looked_at += found.n;
		if (found.n && !repo_name_parse(ret_last, after))
			return err_set(e, ERR_CORRUPT, __func__, "the index has a bad name");
		after = repo_name_str(ret_last);
	} while (p->more && p->n < n && looked_at < CATALOG_LOOKED_AT_MAX);
	return ERR_OK;
}

enum err_kind api_catalog(struct request *rq, struct err *e)
{
	AUTO_NAME_PAGE names = NAME_PAGE_INIT;
	struct repo_name last = { .len = 0 };
	struct str ignored;
	struct page p;
	enum err_kind k = parse_page(rq, &p, e);

	if (k == ERR_OK)
		k = readable_page(rq, &p, &names, &last, e);
	if (k != ERR_OK)
		return k;
	send_list(rq, jv_pack("{s:o}", "repositories", names_value(&names, &ignored)));
	if (names.more && !p.wants_none)
		link_next(rq, &p, repo_name_str(&last));
	return ERR_OK;
}
