#include "server/access.h"
#include "server/api.h"
#include "server/ops.h"

#define PAGE 100         /* of a list, unless asked otherwise */
#define ARGS_DEPTH_MAX 2 /* of the document that asks */
#define LINK_MAX 4096

enum arg_type { ARG_TEXT, ARG_FLAG, ARG_NUMBER, ARG_NAMED };

/* What a request may say: ARG_NAMED is a repository or something in one, of which who asks must be an administrator. */
struct arg {
	const char *name;
	enum arg_type type;
	bool is_required;
};

/* An operation as a resource: etc/openapi.yaml tells the world. */
static const struct resource_op {
	enum path_kind path;
	enum method method;
	const char *op;
	bool is_list;
	struct arg args[4];
} resource_ops[] = {
	{ PATH_API_STATS, METHOD_GET, "stats", false, { { NULL, ARG_TEXT, false } } },
	{ PATH_API_REPOS,
	  METHOD_GET,
	  "repos",
	  true,
	  { { "pattern", ARG_TEXT, false },
	    { "n", ARG_NUMBER, false },
	    { "last", ARG_TEXT, false } } },
	{ PATH_API_TAGS,
	  METHOD_GET,
	  "tags",
	  true,
	  { { "repository", ARG_NAMED, true },
	    { "pattern", ARG_TEXT, false },
	    { "n", ARG_NUMBER, false },
	    { "last", ARG_TEXT, false } } },
	{ PATH_API_CONTENT, METHOD_GET, "inspect", false, { { "reference", ARG_NAMED, true } } },
	{ PATH_API_CONTENT,
	  METHOD_DELETE,
	  "rm",
	  false,
	  { { "reference", ARG_NAMED, true }, { "recursive", ARG_FLAG, false } } },
	{ PATH_API_HISTORY,
	  METHOD_GET,
	  "history",
	  true,
	  { { "reference", ARG_NAMED, true },
	    { "n", ARG_NUMBER, false },
	    { "last", ARG_NUMBER, false } } },
	{ PATH_API_COPY,
	  METHOD_POST,
	  "cp",
	  false,
	  { { "from", ARG_NAMED, true },
	    { "to", ARG_NAMED, true },
	    { "force", ARG_FLAG, false } } },
	{ PATH_API_MOVE,
	  METHOD_POST,
	  "mv",
	  false,
	  { { "from", ARG_NAMED, true },
	    { "to", ARG_NAMED, true },
	    { "force", ARG_FLAG, false } } },
	{ PATH_API_ROLLBACK,
	  METHOD_POST,
	  "rollback",
	  false,
	  { { "reference", ARG_NAMED, true }, { "to", ARG_TEXT, false } } },
};

static const struct resource_op *resource_op_of(const struct request *rq)
{
	for (size_t i = 0; i < ARRAY_LEN(resource_ops); i++) {
		if (resource_ops[i].path == rq->path.kind && resource_ops[i].method == rq->method)
			return &resource_ops[i];
	}
	return NULL;
}

static const struct arg *arg_of(const struct resource_op *r, struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(r->args) && r->args[i].name; i++) {
		if (str_eq(name, str_of(r->args[i].name)))
			return &r->args[i];
	}
	return NULL;
}

/* --- what is asked for --- */

static bool is_of_type(struct str value, enum arg_type type)
{
	struct named named;
	uint64_t number;

	switch (type) {
	case ARG_TEXT:
		return true;
	case ARG_FLAG:
		return str_eq(value, STR("true")) || str_eq(value, STR("false"));
	case ARG_NUMBER:
		return scan_u64(&value, INT64_MAX, &number) && scan_end(&value);
	case ARG_NAMED:
		return named_parse(value, &named);
	}
	return false;
}

static enum err_kind set_arg(const struct resource_op *r, struct jv *args, struct str name,
			     struct str value, struct err *e)
{
	const struct arg *a = arg_of(r, name);

	if (!a)
		return err_set(e, ERR_INVALID, __func__, "\"%.*s\" is not known here",
			       (int)MIN(name.n, (size_t)60), name.p);
	if (jv_member(args, a->name))
		return err_set(e, ERR_INVALID, __func__, "%s is there twice", a->name);
	if (!is_of_type(value, a->type))
		return err_set(e, ERR_INVALID, __func__, "%s must be %s", a->name,
			       a->type == ARG_FLAG     ? "true or false"
			       : a->type == ARG_NUMBER ? "a number"
						       : "REPOSITORY, REPOSITORY:TAG or "
							 "REPOSITORY@DIGEST");
	return jv_set(args, a->name, jv_pack("s%", value.p, value.n))
		   ? ERR_OK
		   : err_set(e, ERR_INVALID, __func__, "%s is no text", a->name);
}

static enum err_kind read_query(const struct request *rq, const struct resource_op *r,
				struct jv *args, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < rq->target.n_query; i++)
		k = set_arg(r, args, rq->target.query[i].key, rq->target.query[i].value, e);
	return k;
}

/*
 * A type that no form of a web page has: a browser asks us first whether a page of others may send it, and nothing here says
 * that it may.
 */
static bool says_json(const struct request *rq)
{
	return str_eq_nocase(media_type_bare(str_of(request_header(rq, "Content-Type"))),
			     STR(MEDIA_JSON));
}

static enum err_kind read_member(const struct resource_op *r, struct jv *args, const char *name,
				 const struct jv *value, struct err *e)
{
	const struct arg *a = arg_of(r, str_of(name));
	struct str text = { "", 0 };
	bool is_text = jv_text(value, &text);

	if (a && a->type == ARG_FLAG) {
		if (is_text || (!jv_is_true(value) && !jv_is_false(value)))
			return err_set(e, ERR_INVALID, __func__, "%s must be true or false",
				       a->name);
		text = jv_is_true(value) ? STR("true") : STR("false");
	} else if (!is_text) {
		return err_set(e, ERR_INVALID, __func__, "\"%.60s\" must be a text", name);
	}
	return set_arg(r, args, str_of(name), text, e);
}

static enum err_kind read_body(struct request *rq, const struct resource_op *r, struct jv *args,
			       struct err *e)
{
	AUTO_JV *doc = NULL;
	void *iter = NULL;
	const char *key;
	const struct jv *value;
	enum err_kind k;

	if (!says_json(rq))
		return request_fail(rq, e, ERR_UNSUPPORTED, RES_HEADER,
				    "Content-Type must be " MEDIA_JSON);
	if (rq->target.n_query)
		return err_set(e, ERR_INVALID, __func__, "what is asked for goes into the body");
	k = jv_parse_object((struct str){ rq->body.p ? rq->body.p : "", rq->body.n },
			    ARGS_DEPTH_MAX, &doc, e);
	while (k == ERR_OK && jv_next(doc, &iter, &key, &value))
		k = read_member(r, args, key, value, e);
	return k;
}

/* n of a list has a preset and a bound. */
static enum err_kind bound_page(const struct request *rq, struct jv *args, uint64_t *ret,
				struct err *e)
{
	uint64_t max = rq->conf->list_page_max;
	struct str text;
	char number[32];

	*ret = MIN((uint64_t)PAGE, max);
	if (jv_text(jv_member(args, "n"), &text)) {
		(void)scan_u64(&text, INT64_MAX, ret);
		if (*ret == 0)
			return err_set(e, ERR_INVALID, __func__, "n must be above 0");
		*ret = MIN(*ret, max);
	}
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)*ret);
	return jv_set(args, "n", jv_pack("s", number))
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
}

static enum err_kind check_required(const struct resource_op *r, const struct jv *args,
				    struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(r->args) && r->args[i].name; i++) {
		if (r->args[i].is_required && !jv_member(args, r->args[i].name))
			return err_set(e, ERR_INVALID, __func__, "%s must be there",
				       r->args[i].name);
	}
	return ERR_OK;
}

/* --- may they --- */

/* All repositories that are named; lists of repositories are for anybody, and tell only of theirs. */
static enum err_kind check_access(struct request *rq, const struct resource_op *r,
				  const struct jv *args, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (r->path == PATH_API_STATS)
		return access_admin(rq, OPS_REGISTRY, e);
	for (size_t i = ARRAY_LEN(r->args); i-- > 0 && k == ERR_OK;) {
		struct str text;
		struct named named;

		if (r->args[i].type != ARG_NAMED ||
		    !jv_text(jv_member(args, r->args[i].name), &text) || !named_parse(text, &named))
			continue;
		rq->path.repo = named.repo; /* for the audit log: the first of them, at last */
		k = access_admin(rq, repo_name_str(&named.repo), e);
	}
	return k;
}

static bool may_see(const void *arg, struct str repo)
{
	return access_is_admin(arg, repo);
}

/* --- the answer --- */

/* Items as they come; the last one is the operation's result. */
struct gathered {
	struct jv *items, *last; /* owned */
	bool is_list;
};

static bool gather(void *arg, struct jv *take)
{
	struct gathered *g = arg;

	if (g->last && g->is_list && !jv_append(g->items, TAKE(g->last))) {
		jv_free(&take);
		return false;
	}
	jv_free(&g->last);
	g->last = take;
	return take != NULL;
}

static void link_next(struct request *rq, const struct resource_op *r, const struct jv *args,
		      struct str next)
{
	AUTO_SBUF b = { .max = LINK_MAX };
	struct str text;

	sbuf_addf(&b, "<%s%s?", rq->origin->prefix, path_pattern(r->path));
	for (size_t i = 0; i < ARRAY_LEN(r->args) && r->args[i].name; i++) {
		if (strcmp(r->args[i].name, "last") == 0 ||
		    !jv_text(jv_member(args, r->args[i].name), &text))
			continue;
		sbuf_addf(&b, "%s=", r->args[i].name);
		sbuf_add_percent(&b, text, PERCENT_QUERY);
		sbuf_add(&b, "&", 1);
	}
	sbuf_addf(&b, "last=");
	sbuf_add_percent(&b, next, PERCENT_QUERY);
	if (!b.failed)
		reply_header(&rq->reply, "Link", "%s>; rel=\"next\"", b.p);
}

static enum err_kind answer(struct request *rq, const struct resource_op *r, const struct jv *args,
			    struct gathered *g, struct err *e)
{
	AUTO_JV *doc = r->is_list ? jv_pack("{s:o}", "items", jv_share(g->items)) : TAKE(g->last);
	AUTO_SBUF b = { .max = SBUF_MAX };
	struct str next;

	if (!doc)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the answer");
	if (r->is_list && jv_text(jv_member(g->last, "next"), &next))
		link_next(rq, r, args, next);
	jv_dump(doc, &b);
	reply_body(&rq->reply, 200, MEDIA_JSON, &b);
	return ERR_OK;
}

/* Pushes need workers as well. */
static bool enter(const struct request *rq)
{
	unsigned max = (unsigned)(rq->conf->workers / 2);

	if (!rq->server->admin_calls || (*rq->server->admin_calls)++ < (max ? max : 1))
		return true;
	(*rq->server->admin_calls)--;
	return false;
}

static enum err_kind run_op(struct request *rq, const struct resource_op *r, const struct jv *args,
			    struct err *e)
{
	struct gathered g = { .items = jv_new_array(), .is_list = r->is_list };
	struct op_call c = { .ops = rq->server->ops,
			     .args = args,
			     .emit = gather,
			     .emit_arg = &g,
			     .guard = access_admin_guard(rq),
			     .may_see = rq->server->auth ? may_see : NULL,
			     .see_arg = rq };
	enum err_kind k = g.items ? op_find(str_of(r->op))->run(&c, e)
				  : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");

	if (k == ERR_OK)
		k = answer(rq, r, args, &g, e);
	jv_free(&g.items);
	jv_free(&g.last);
	return k;
}

enum err_kind api_admin(struct request *rq, struct err *e)
{
	const struct resource_op *r = resource_op_of(rq);
	AUTO_JV *args = jv_pack("{}");
	uint64_t n;
	enum err_kind k;

	rq->about = RES_ANY;
	if (!r || !args)
		return err_set(e, r ? ERR_NO_MEMORY : ERR_BUG, __func__, "no such operation");
	k = rq->method == METHOD_POST ? read_body(rq, r, args, e) : read_query(rq, r, args, e);
	if (k == ERR_OK)
		k = check_required(r, args, e);
	if (k == ERR_OK)
		k = check_access(rq, r, args, e);
	if (k == ERR_OK && r->is_list)
		k = bound_page(rq, args, &n, e);
	if (k != ERR_OK)
		return k;
	if (!enter(rq))
		return err_set(e, ERR_TOO_MANY, __func__,
			       "too many administrators at once: try again");
	k = run_op(rq, r, args, e);
	if (rq->server->admin_calls)
		(*rq->server->admin_calls)--;
	return k;
}
