#include "runtime/image/client.h"

#include "base/hash.h"
#include "runtime/image/url.h"

#define PUSH_TRIES 3
#define MIRROR_TRIES 2
#define REFERRERS_MAX 10000
#define PAGES_MAX 1000

static const char accept_manifests[] = "Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST
				       ", " MEDIA_DOCKER_LIST ", " MEDIA_DOCKER_MANIFEST;

struct client {
	struct transfer *transfer;
	struct authorizer authorizer;
	struct regconf conf;
	enum tls_verify verify;
	struct endpoint *endpoints;
};

enum err_kind client_new(const struct client_options *o, struct client **ret, struct err *e)
{
	AUTO_CLIENT *c = calloc(1, sizeof(*c));
	enum err_kind k;

	if (!c)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a client");
	c->verify = o->verify;
	k = regconf_load(o->registries, &c->conf, e);
	if (k == ERR_OK)
		k = transfer_new(&c->transfer, e);
	if (k != ERR_OK)
		return k;
	c->authorizer = (struct authorizer){ .transfer = c->transfer,
					     .authfile = o->authfile,
					     .given = o->given };
	*ret = TAKE(c);
	return ERR_OK;
}

void client_free(struct client **take)
{
	struct client *c = TAKE(*take);

	if (!c)
		return;
	while (c->endpoints) {
		struct endpoint *ep = c->endpoints;

		c->endpoints = ep->next;
		endpoint_free(&ep);
	}
	transfer_free(&c->transfer);
	regconf_clear(&c->conf);
	free(c);
}

struct transfer *client_transfer(struct client *c)
{
	return c->transfer;
}

/* One for each registry and prefix, so that what it told is remembered. */
static enum err_kind find_endpoint(struct client *c, const char *name, struct endpoint **ret,
				   struct err *e)
{
	struct endpoint *ep = NULL;
	enum err_kind k = endpoint_new(name, &c->conf, c->verify, &ep, e);

	if (k != ERR_OK)
		return k;
	for (struct endpoint *old = c->endpoints; old; old = old->next) {
		if (strcmp(old->registry, ep->registry) == 0 &&
		    strcmp(old->prefix, ep->prefix) == 0) {
			endpoint_free(&ep);
			*ret = old;
			return ERR_OK;
		}
	}
	ep->next = c->endpoints;
	c->endpoints = ep;
	*ret = ep;
	return ERR_OK;
}

static enum err_kind repo_open(struct client *c, const char *place, const struct repo_name *repo,
			       const char *actions, struct client_repo *ret, struct err *e)
{
	enum err_kind k = find_endpoint(c, place, &ret->ep, e);

	if (k != ERR_OK)
		return k;
	ret->c = c;
	ret->tries_max = 0;
	ret->repo = *repo;
	if (snprintf(ret->scope, sizeof(ret->scope), "repository:%s%s:%s", ret->ep->prefix, repo->s,
		     actions) >= (int)sizeof(ret->scope))
		return err_set(e, ERR_INVALID, __func__, "%s: the repository's name is too long",
			       place);
	return ERR_OK;
}

enum err_kind client_repo_open(struct client *c, const struct reference *ref, const char *actions,
			       struct client_repo *ret, struct err *e)
{
	return repo_open(c, ref->host, &ref->repo, actions, ret, e);
}

static struct exchange exchange_of(const struct client_repo *r, const char *method,
				   const char *rest)
{
	return (struct exchange){ .authorizer = &r->c->authorizer,
				  .ep = r->ep,
				  .method = method,
				  .repo = &r->repo,
				  .rest = rest,
				  .scope = r->scope,
				  .tries_max = r->tries_max };
}

enum err_kind client_ping(struct client *c, const char *host, struct err *e)
{
	AUTO_EXCHANGE x = { .authorizer = &c->authorizer, .method = "GET", .scope = "" };
	enum err_kind k = find_endpoint(c, host, &x.ep, e);

	if (k == ERR_OK)
		k = exchange_run(&x, e);
	if (k == ERR_OK && transfer_status(x.job) != 200)
		k = exchange_refused(&x, host, e);
	return k;
}

/* --- Documents --- */

void client_manifest_clear(struct client_manifest *m)
{
	sbuf_clear(&m->body);
}

static enum err_kind check_digest(struct str body, const struct digest *want, const char *what,
				  struct err *e)
{
	struct digest got;
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];
	enum err_kind k = hash_bytes((enum digest_alg)want->alg, body.p, body.n, &got, e);

	if (k != ERR_OK || digest_eq(&got, want))
		return k;
	return err_set(e, ERR_DIGEST, __func__, "%s: %zu bytes that hash to %.80s, not to %.80s",
		       what, body.n, digest_text(&got, a), digest_text(want, b));
}

/* The type that the registry tells; what a document says of itself is compared by imagedoc_parse. */
static void take_type(const struct exchange *x, char ret[static MEDIA_TYPE_MAX + 1])
{
	struct str field;

	ret[0] = '\0';
	if (!transfer_header(x->job, "Content-Type", 0, &field))
		return;
	field = media_type_bare(field);
	if (media_kind_of(field) != MEDIA_OTHER)
		(void)str_copy(field, ret, MEDIA_TYPE_MAX + 1);
}

static enum err_kind get_manifest(const struct client_repo *r, const char *reference,
				  const struct digest *want, uint64_t size_bytes,
				  struct client_manifest *ret, struct err *e)
{
	char rest[DIGEST_TEXT_MAX + TAG_NAME_MAX + 16];
	AUTO_EXCHANGE x = exchange_of(r, "GET", rest);
	struct str body;
	enum err_kind k;

	(void)snprintf(rest, sizeof(rest), "/manifests/%s", reference);
	x.headers[0] = accept_manifests;
	x.body.body_max = size_bytes ? size_bytes : IMAGEDOC_BYTES_MAX;
	if (size_bytes > IMAGEDOC_BYTES_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "a manifest of %llu bytes",
			       (unsigned long long)size_bytes);
	k = exchange_run(&x, e);
	if (k != ERR_OK)
		return k;
	if (transfer_status(x.job) != 200)
		return exchange_refused(&x, "manifest", e);
	body = transfer_body(x.job);
	if (want)
		k = check_digest(body, want, "manifest", e);
	else
		k = hash_bytes(DIGEST_SHA256, body.p, body.n, &ret->digest, e);
	if (k != ERR_OK)
		return k;
	if (size_bytes && body.n != size_bytes)
		return err_set(e, ERR_SIZE, __func__, "manifest: %zu bytes, not %llu", body.n,
			       (unsigned long long)size_bytes);
	if (want)
		ret->digest = *want;
	take_type(&x, ret->type);
	sbuf_init(&ret->body, IMAGEDOC_BYTES_MAX);
	sbuf_add_str(&ret->body, body);
	return ret->body.failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest")
				: ERR_OK;
}

enum err_kind client_manifest_get(const struct client_repo *r, const struct digest *d,
				  uint64_t size_bytes, struct client_manifest *ret, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	return get_manifest(r, digest_text(d, text), d, size_bytes, ret, e);
}

size_t client_places(const struct client *c, const struct reference *ref)
{
	const struct registry_conf *conf = regconf_find(&c->conf, ref->host);

	return conf ? conf->n_mirrors + 1 : 1;
}

enum err_kind client_pull_manifest(struct client *c, const struct reference *ref, size_t *place,
				   struct client_manifest *ret, struct client_repo *ret_repo,
				   struct err *e)
{
	const struct registry_conf *conf = regconf_find(&c->conf, ref->host);
	const struct digest *want = ref->has_digest ? &ref->digest : NULL;
	char text[DIGEST_TEXT_MAX], name[REFERENCE_TEXT_MAX];
	const char *reference = want ? digest_text(want, text) : ref->tag.s;
	size_t n = client_places(c, ref) - 1;
	enum err_kind k = ERR_BUG;

	for (; *place <= n; ++*place) {
		k = repo_open(c, *place < n ? conf->mirrors[*place] : ref->host, &ref->repo, "pull",
			      ret_repo, e);
		if (*place < n)
			ret_repo->tries_max = MIRROR_TRIES;
		if (k == ERR_OK)
			k = get_manifest(ret_repo, reference, want, 0, ret, e);
		if (k == ERR_OK || k == ERR_NO_MEMORY)
			break;
	}
	return k == ERR_OK ? k : err_wrap(e, "%s", reference_text(ref, name));
}

void client_blob_exchange(const struct client_repo *r, const struct digest *d,
			  char rest[static DIGEST_TEXT_MAX + 16], struct exchange *x)
{
	char text[DIGEST_TEXT_MAX];

	(void)snprintf(rest, DIGEST_TEXT_MAX + 16, "/blobs/%s", digest_text(d, text));
	*x = exchange_of(r, "GET", rest);
}

enum err_kind client_blob_read(const struct client_repo *r, const struct descriptor *d,
			       uint64_t size_max, struct sbuf *ret, struct err *e)
{
	char rest[DIGEST_TEXT_MAX + 16];
	AUTO_EXCHANGE x = { 0 };
	struct str body;
	enum err_kind k;

	if (d->size_bytes > size_max)
		return err_set(e, ERR_TOO_LARGE, __func__, "a blob of %llu bytes is too large here",
			       (unsigned long long)d->size_bytes);
	client_blob_exchange(r, &d->digest, rest, &x);
	x.body.body_max = d->size_bytes ? d->size_bytes : 1;
	k = exchange_run(&x, e);
	if (k != ERR_OK)
		return k;
	if (transfer_status(x.job) != 200)
		return exchange_refused(&x, "blob", e);
	body = transfer_body(x.job);
	if (body.n != d->size_bytes)
		return err_set(e, ERR_SIZE, __func__, "blob: %zu bytes, not %llu", body.n,
			       (unsigned long long)d->size_bytes);
	k = check_digest(body, &d->digest, "blob", e);
	if (k != ERR_OK)
		return k;
	sbuf_add_str(ret, body);
	return ret->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a blob") : ERR_OK;
}

enum err_kind client_blob_accept(const struct transfer_job *j, uint64_t have, uint64_t *ret_skip,
				 struct err *e)
{
	uint64_t first = 0;
	struct str field;

	*ret_skip = 0;
	if (transfer_status(j) == 200) {
		*ret_skip = have;
		return ERR_OK;
	}
	if (!transfer_header(j, "Content-Range", 0, &field) || !str_starts(field, STR("bytes ")))
		return err_set(e, ERR_INVALID, __func__, "a part of a blob that says not which");
	field = (struct str){ field.p + 6, field.n - 6 };
	if (!scan_u64(&field, UINT64_MAX, &first) || first != have)
		return err_set(e, ERR_RANGE, __func__, "another part of a blob than asked for");
	return ERR_OK;
}

/* --- Referrers --- */

/* distribution-spec "Referrers Tag Schema": at most 32 and 64 characters. */
void client_referrers_tag(const struct digest *d, char ret[static TAG_NAME_MAX + 1])
{
	char hex[DIGEST_HEX_MAX + 1];

	(void)snprintf(ret, TAG_NAME_MAX + 1, "%.32s-%.64s", digest_alg_text(d->alg),
		       digest_hex(d, hex));
}

static enum err_kind add_referrers(struct str body, struct jv *list, struct err *e)
{
	AUTO_JV *index = NULL;
	const struct jv *more;
	enum err_kind k = jv_parse_object(body, IMAGEDOC_DEPTH_MAX, &index, e);

	if (k != ERR_OK)
		return err_wrap(e, "list of referrers");
	more = jv_member(index, "manifests");
	for (size_t i = 0; i < jv_count(more); i++) {
		if (jv_count(list) == REFERRERS_MAX)
			return err_set(e, ERR_TOO_LARGE, __func__, "more than %d referrers",
				       REFERRERS_MAX);
		if (!jv_append(list, jv_share(jv_at(more, i))))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for referrers");
	}
	return ERR_OK;
}

/* <URL>; rel="next", of the same origin; NULL if there is none. */
static char *next_page(const struct exchange *x)
{
	AUTO_SBUF url;
	struct str field, target, rest;
	struct url from, to;

	sbuf_init(&url, URL_MAX);
	if (!transfer_header(x->job, "Link", 0, &field) || !str_cut(field, '<', &target, &rest) ||
	    !str_cut(rest, '>', &target, &rest) ||
	    !url_resolve(str_of(transfer_url(x->job)), target, &url) ||
	    !url_parse(&from, str_of(transfer_url(x->job))) ||
	    !url_parse(&to, (struct str){ url.p, url.n }) || !url_same_origin(&from, &to))
		return NULL;
	return sbuf_take(&url);
}

static enum err_kind referrers_by_tag(const struct client_repo *r, const struct digest *d,
				      struct jv *list, struct err *e)
{
	AUTO_CLIENT_MANIFEST m = { 0 };
	char tag[TAG_NAME_MAX + 1];
	struct err missing;
	enum err_kind k;

	client_referrers_tag(d, tag);
	k = get_manifest(r, tag, NULL, 0, &m, &missing);
	if (k == ERR_OK)
		return add_referrers((struct str){ m.body.p, m.body.n }, list, e);
	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	*e = missing;
	return k;
}

static enum err_kind referrers_by_api(const struct client_repo *r, const struct digest *d,
				      struct jv *list, bool *ret_has_api, struct err *e)
{
	char rest[DIGEST_TEXT_MAX + 16], text[DIGEST_TEXT_MAX];
	char *next = NULL;
	enum err_kind k = ERR_OK;

	(void)snprintf(rest, sizeof(rest), "/referrers/%s", digest_text(d, text));
	for (unsigned page = 0; k == ERR_OK && (page == 0 || next) && page < PAGES_MAX; page++) {
		AUTO_EXCHANGE x = exchange_of(r, "GET", rest);

		x.headers[0] = "Accept: " MEDIA_OCI_INDEX;
		x.body.body_max = IMAGEDOC_BYTES_MAX;
		x.url = TAKE(next);
		k = exchange_run(&x, e);
		*ret_has_api = k == ERR_OK && transfer_status(x.job) == 200;
		if (k == ERR_OK && !*ret_has_api)
			return transfer_status(x.job) == 404 ? ERR_OK
							     : exchange_refused(&x, "referrers", e);
		if (k == ERR_OK)
			k = add_referrers(transfer_body(x.job), list, e);
		if (k == ERR_OK)
			next = next_page(&x);
	}
	free(next);
	return k;
}

enum err_kind client_referrers(const struct client_repo *r, const struct digest *d, struct jv **ret,
			       bool *ret_has_api, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	bool has_api = false;
	enum err_kind k = list ? referrers_by_api(r, d, list, &has_api, e)
			       : err_set(e, ERR_NO_MEMORY, __func__, "no memory for referrers");

	if (k == ERR_OK && !has_api)
		k = referrers_by_tag(r, d, list, e);
	if (k == ERR_OK) {
		*ret = TAKE(list);
		if (ret_has_api)
			*ret_has_api = has_api;
	}
	return k;
}

/* --- Pushing --- */

static enum err_kind exists(const struct client_repo *r, const char *what, const struct digest *d,
			    struct err *e)
{
	char rest[DIGEST_TEXT_MAX + 16], text[DIGEST_TEXT_MAX];
	AUTO_EXCHANGE x = exchange_of(r, "HEAD", rest);
	enum err_kind k;

	(void)snprintf(rest, sizeof(rest), "/%s/%s", what, digest_text(d, text));
	x.headers[0] = accept_manifests;
	k = exchange_run(&x, e);
	if (k != ERR_OK || transfer_status(x.job) == 200)
		return k;
	return transfer_status(x.job) == 404 ? ERR_NOT_FOUND : exchange_refused(&x, what, e);
}

enum err_kind client_manifest_exists(const struct client_repo *r, const struct digest *d,
				     struct err *e)
{
	return exists(r, "manifests", d, e);
}

enum err_kind client_blob_exists(const struct client_repo *r, const struct digest *d, struct err *e)
{
	return exists(r, "blobs", d, e);
}

/* 201: it was mounted; 202: a session that nobody needs, which the registry ends by itself. */
enum err_kind client_blob_mount(const struct client_repo *r, const struct digest *d,
				const char *from, struct err *e)
{
	AUTO_SBUF rest;
	char text[DIGEST_TEXT_MAX], scope[ENDPOINT_SCOPE_MAX];
	AUTO_EXCHANGE x = exchange_of(r, "POST", NULL);
	struct err why;
	enum err_kind k;

	/* Reading something by mounting it needs the right to read it. */
	if (snprintf(scope, sizeof(scope), "%s repository:%s:pull", r->scope, from) >=
	    (int)sizeof(scope))
		return ERR_NOT_FOUND;
	x.scope = scope;
	sbuf_init(&rest, URL_MAX);
	sbuf_addf(&rest, "/blobs/uploads/");
	url_add_query(&rest, "mount", str_of(digest_text(d, text)));
	url_add_query(&rest, "from", str_of(from));
	if (rest.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request");
	x.rest = rest.p;
	k = exchange_run(&x, &why);
	if (k == ERR_OK && transfer_status(x.job) == 201)
		return k;
	if (k == ERR_OK)
		k = transfer_status(x.job) == 202 ? ERR_NOT_FOUND
						  : exchange_refused(&x, "mount", &why);
	if (k == ERR_DENIED)
		k = ERR_NOT_FOUND;
	if (k != ERR_NOT_FOUND)
		*e = why;
	return k;
}

/* Where the session is, with the digest that will end it. */
static enum err_kind open_session(const struct client_repo *r, const struct digest *d,
				  struct sbuf *ret, bool *ret_foreign, struct err *e)
{
	AUTO_EXCHANGE x = exchange_of(r, "POST", "/blobs/uploads/");
	char text[DIGEST_TEXT_MAX];
	struct str where;
	struct url from, to;
	enum err_kind k = exchange_run(&x, e);

	if (k != ERR_OK)
		return k;
	if (transfer_status(x.job) != 202)
		return exchange_refused(&x, "upload", e);
	if (!transfer_header(x.job, "Location", 0, &where) ||
	    !url_resolve(str_of(transfer_url(x.job)), where, ret))
		return err_set(e, ERR_INVALID, __func__, "%s does not say where to upload to",
			       r->ep->registry);
	url_add_query(ret, "digest", str_of(digest_text(d, text)));
	*ret_foreign = !url_parse(&from, str_of(transfer_url(x.job))) ||
		       !url_parse(&to, (struct str){ ret->p, ret->n }) ||
		       !url_same_origin(&from, &to);
	return ret->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request")
			   : ERR_OK;
}

static enum err_kind push_once(const struct client_repo *r, const struct digest *d,
			       uint64_t size_bytes, transfer_source_fn *source, void *arg,
			       bool *ret_may_pass, struct err *e)
{
	AUTO_SBUF where;
	AUTO_EXCHANGE x = exchange_of(r, "PUT", NULL);
	enum err_kind k;

	*ret_may_pass = false;
	sbuf_init(&where, URL_MAX);
	k = open_session(r, d, &where, &x.redirect_is_foreign, e);
	if (k != ERR_OK)
		return k;
	x.url = sbuf_take(&where);
	x.once = true; /* a session takes bytes once */
	x.headers[0] = "Content-Type: application/octet-stream";
	x.body.source = source;
	x.body.source_bytes = size_bytes;
	x.body.arg = arg;
	k = exchange_run(&x, e);
	if (k == ERR_OK && transfer_status(x.job) != 201)
		k = exchange_refused(&x, "upload", e);
	*ret_may_pass = k != ERR_OK && x.job && transfer_may_pass(x.job);
	return k;
}

enum err_kind client_blob_push(const struct client_repo *r, const struct digest *d,
			       uint64_t size_bytes, transfer_source_fn *source, void *arg,
			       struct err *e)
{
	bool may_pass = true;
	enum err_kind k = ERR_BUG;

	for (unsigned i = 0; may_pass && i < PUSH_TRIES; i++)
		k = push_once(r, d, size_bytes, source, arg, &may_pass, e);
	return k;
}

enum err_kind client_manifest_push(const struct client_repo *r, struct str body, const char *type,
				   const struct digest *d, const char *tag, struct err *e)
{
	char rest[DIGEST_TEXT_MAX + TAG_NAME_MAX + 16], text[DIGEST_TEXT_MAX];
	char content_type[MEDIA_TYPE_MAX + 32];
	AUTO_EXCHANGE x = exchange_of(r, "PUT", rest);
	enum err_kind k;

	(void)snprintf(rest, sizeof(rest), "/manifests/%s", tag ? tag : digest_text(d, text));
	(void)snprintf(content_type, sizeof(content_type), "Content-Type: %s", type);
	x.headers[0] = content_type;
	x.body.body = body;
	k = exchange_run(&x, e);
	if (k == ERR_OK && transfer_status(x.job) != 201)
		k = exchange_refused(&x, "manifest", e);
	return k;
}
