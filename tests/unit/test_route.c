#include "server/route.h"

#include "server/api.h"
#include "tests/lib/unit.h"

/* Each path with what serves it; what is not here is not served. */
static const struct path_case {
	const char *name;
	enum path_kind kind;
	const char *allow;
	struct {
		enum method method;
		enum scope scope;
		unsigned flags;
		handler_fn *run;
	} served[6];
	size_t n;
} cases[] = {
	{ "health",
	  PATH_HEALTH,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_NONE, ROUTE_WATCH, api_live },
	    { METHOD_HEAD, SCOPE_NONE, ROUTE_WATCH, api_live } },
	  2 },
	{ "live",
	  PATH_LIVE,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_NONE, ROUTE_WATCH, api_live },
	    { METHOD_HEAD, SCOPE_NONE, ROUTE_WATCH, api_live } },
	  2 },
	{ "started",
	  PATH_STARTUP,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_NONE, ROUTE_WATCH, api_live },
	    { METHOD_HEAD, SCOPE_NONE, ROUTE_WATCH, api_live } },
	  2 },
	{ "ready",
	  PATH_READY,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_NONE, ROUTE_WATCH | ROUTE_MAY_BLOCK, api_ready },
	    { METHOD_HEAD, SCOPE_NONE, ROUTE_WATCH | ROUTE_MAY_BLOCK, api_ready } },
	  2 },
	{ "metrics",
	  PATH_METRICS,
	  "GET",
	  { { METHOD_GET, SCOPE_LOGIN, ROUTE_WATCH | ROUTE_MAY_BLOCK, api_metrics } },
	  1 },
	{ "ping",
	  PATH_PING,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_LOGIN, 0, api_ping }, { METHOD_HEAD, SCOPE_LOGIN, 0, api_ping } },
	  2 },
	{ "token",
	  PATH_TOKEN,
	  "GET, POST",
	  { { METHOD_GET, SCOPE_NONE, ROUTE_AUTH, api_token_get },
	    { METHOD_POST, SCOPE_NONE, ROUTE_AUTH | ROUTE_FORM, api_token_post } },
	  2 },
	{ "published keys",
	  PATH_JWKS,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_NONE, 0, api_jwks }, { METHOD_HEAD, SCOPE_NONE, 0, api_jwks } },
	  2 },
	{ "catalog",
	  PATH_CATALOG,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_CATALOG, 0, api_catalog },
	    { METHOD_HEAD, SCOPE_CATALOG, 0, api_catalog } },
	  2 },
	{ "tags",
	  PATH_TAGS,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_PULL, 0, api_tags }, { METHOD_HEAD, SCOPE_PULL, 0, api_tags } },
	  2 },
	{ "manifest",
	  PATH_MANIFEST,
	  "GET, HEAD, PUT, DELETE",
	  { { METHOD_GET, SCOPE_PULL, 0, api_manifest_get },
	    { METHOD_HEAD, SCOPE_PULL, 0, api_manifest_get },
	    { METHOD_PUT, SCOPE_PUSH, ROUTE_BODY | ROUTE_MAY_BLOCK, api_manifest_put },
	    { METHOD_DELETE, SCOPE_DELETE, ROUTE_MAY_BLOCK, api_manifest_delete } },
	  4 },
	{ "blob",
	  PATH_BLOB,
	  "GET, HEAD, DELETE",
	  { { METHOD_GET, SCOPE_PULL, 0, api_blob_get },
	    { METHOD_HEAD, SCOPE_PULL, 0, api_blob_get },
	    { METHOD_DELETE, SCOPE_DELETE, ROUTE_MAY_BLOCK, api_blob_delete } },
	  3 },
	{ "uploads",
	  PATH_UPLOADS,
	  "POST",
	  { { METHOD_POST, SCOPE_PUSH, ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_start } },
	  1 },
	{ "upload",
	  PATH_UPLOAD,
	  "GET, HEAD, PUT, PATCH, DELETE",
	  { { METHOD_GET, SCOPE_PUSH, 0, api_upload_status },
	    { METHOD_HEAD, SCOPE_PUSH, 0, api_upload_status },
	    { METHOD_PUT, SCOPE_PUSH, ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_finish },
	    { METHOD_PATCH, SCOPE_PUSH, ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_append },
	    { METHOD_DELETE, SCOPE_PUSH, ROUTE_MAY_BLOCK, api_upload_cancel } },
	  5 },
	{ "referrers",
	  PATH_REFERRERS,
	  "GET, HEAD",
	  { { METHOD_GET, SCOPE_PULL, 0, api_referrers },
	    { METHOD_HEAD, SCOPE_PULL, 0, api_referrers } },
	  2 },
	{ "stats",
	  PATH_API_STATS,
	  "GET",
	  { { METHOD_GET, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "repositories",
	  PATH_API_REPOS,
	  "GET",
	  { { METHOD_GET, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "tags of administrators",
	  PATH_API_TAGS,
	  "GET",
	  { { METHOD_GET, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "content",
	  PATH_API_CONTENT,
	  "GET, DELETE",
	  { { METHOD_GET, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin },
	    { METHOD_DELETE, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin } },
	  2 },
	{ "history",
	  PATH_API_HISTORY,
	  "GET",
	  { { METHOD_GET, SCOPE_ADMIN, ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "copy",
	  PATH_API_COPY,
	  "POST",
	  { { METHOD_POST, SCOPE_ADMIN, ROUTE_FORM | ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "move",
	  PATH_API_MOVE,
	  "POST",
	  { { METHOD_POST, SCOPE_ADMIN, ROUTE_FORM | ROUTE_MAY_BLOCK, api_admin } },
	  1 },
	{ "rollback",
	  PATH_API_ROLLBACK,
	  "POST",
	  { { METHOD_POST, SCOPE_ADMIN, ROUTE_FORM | ROUTE_MAY_BLOCK, api_admin } },
	  1 },
};

static void test_path(void **state)
{
	const struct path_case *c = *state;

	for (unsigned m = 0; m < METHOD_N; m++) {
		unsigned methods = 77;
		const struct route *r = route_find((enum method)m, c->kind, &methods);
		size_t i = 0;
		char allow[64];

		assert_string_equal(methods_text(methods, allow, sizeof(allow)), c->allow);
		while (i < c->n && c->served[i].method != (enum method)m)
			i++;
		if (i == c->n) {
			assert_null(r);
			continue;
		}
		assert_non_null(r);
		assert_int_equal(r->path, c->kind);
		assert_int_equal(r->scope, c->served[i].scope);
		assert_int_equal(r->flags, c->served[i].flags);
		assert_true(r->run == c->served[i].run);
		assert_int_equal(r->write != NULL, (r->flags & ROUTE_STREAM) != 0);
	}
}

/* Reads of clients never wait for a disk, changes always may (A1), and administrators' questions; all need a scope but for
 * what is there to log in. */
static void test_rules(void **state)
{
	unsigned n = 0;

	(void)state;
	assert_int_equal(ARRAY_LEN(cases), PATH_KIND_N);
	for (unsigned kind = 0; kind < PATH_KIND_N; kind++) {
		for (unsigned m = 0; m < METHOD_N; m++) {
			unsigned methods;
			const struct route *r =
			    route_find((enum method)m, (enum path_kind)kind, &methods);
			bool reads = m == METHOD_GET || m == METHOD_HEAD;
			bool looks_at_disk = kind == PATH_READY || kind == PATH_METRICS;
			bool is_open = r && r->flags & ROUTE_WATCH && kind != PATH_METRICS;

			if (!r)
				continue;
			n++;
			assert_int_equal((r->flags & ROUTE_MAY_BLOCK) != 0,
					 looks_at_disk || (!reads && kind != PATH_TOKEN) ||
					     r->scope == SCOPE_ADMIN);
			assert_int_equal(r->scope == SCOPE_NONE,
					 is_open || kind == PATH_TOKEN || kind == PATH_JWKS);
			assert_false((r->flags & ROUTE_BODY) && (r->flags & ROUTE_STREAM));
		}
	}
	assert_int_equal(n, 43);
}

static void test_methods(void **state)
{
	static const char *const names[] = { "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE" };
	char buf[64];

	(void)state;
	for (unsigned i = 0; i < METHOD_OTHER; i++) {
		assert_int_equal(method_parse(str_of(names[i])), i);
		assert_string_equal(methods_text(1u << i, buf, sizeof(buf)), names[i]);
	}
	assert_int_equal(method_parse(STR("get")), METHOD_OTHER); /* RFC 9110 9.1: case matters */
	assert_int_equal(method_parse(STR("OPTIONS")), METHOD_OTHER);
	assert_int_equal(method_parse(STR("")), METHOD_OTHER);
	assert_string_equal(methods_text(0, buf, sizeof(buf)), "");
	assert_string_equal(methods_text(~0u, buf, sizeof(buf)),
			    "GET, HEAD, PUT, POST, PATCH, DELETE");
	methods_text(~0u, buf, 8); /* cut, but within its bounds */
	assert_string_equal(buf, "GET, HE");
}

static void test_scopes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SCOPE_N; i++)
		assert_non_null(scope_text((enum scope)i));
	assert_string_equal(scope_text(SCOPE_PULL), "pull");
	assert_string_equal(scope_text(SCOPE_CATALOG), "catalog");
	assert_string_equal(scope_text(SCOPE_ADMIN), "admin");
}

int main(void)
{
	UNIT_TABLE("served", test_path, cases);
	unit_case("rules", test_rules);
	unit_case("methods", test_methods);
	unit_case("scopes", test_scopes);
	return unit_run();
}
