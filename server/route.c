#include "server/route.h"

#include "server/api.h"

#define M(name) (1u << METHOD_##name)
#define READ (M(GET) | M(HEAD))

/* clang-format off */
static const struct route routes[] = {
	{ READ,      PATH_HEALTH,    SCOPE_NONE,    ROUTE_WATCH,                    api_live,            NULL, NULL },
	{ READ,      PATH_LIVE,      SCOPE_NONE,    ROUTE_WATCH,                    api_live,            NULL, NULL },
	{ READ,      PATH_STARTUP,   SCOPE_NONE,    ROUTE_WATCH,                    api_live,            NULL, NULL },
	{ READ,      PATH_READY,     SCOPE_NONE,    ROUTE_WATCH | ROUTE_MAY_BLOCK,  api_ready,           NULL, NULL },
	{ M(GET),    PATH_METRICS,   SCOPE_LOGIN,   ROUTE_WATCH | ROUTE_MAY_BLOCK,  api_metrics,         NULL, NULL },
	{ READ,      PATH_PING,      SCOPE_LOGIN,   0,                              api_ping,            NULL, NULL },
	{ M(GET),    PATH_TOKEN,     SCOPE_NONE,    ROUTE_AUTH,                     api_token_get,       api_token_open, NULL },
	{ M(POST),   PATH_TOKEN,     SCOPE_NONE,    ROUTE_AUTH | ROUTE_FORM,        api_token_post,      api_token_open, NULL },
	{ READ,      PATH_JWKS,      SCOPE_NONE,    0,                              api_jwks,            api_token_open, NULL },
	{ READ,      PATH_CATALOG,   SCOPE_CATALOG, 0,                              api_catalog,         NULL, NULL },
	{ READ,      PATH_TAGS,      SCOPE_PULL,    0,                              api_tags,            NULL, NULL },
	{ READ,      PATH_MANIFEST,  SCOPE_PULL,    0,                              api_manifest_get,    NULL, NULL },
	{ M(PUT),    PATH_MANIFEST,  SCOPE_PUSH,    ROUTE_BODY | ROUTE_MAY_BLOCK,   api_manifest_put,    api_manifest_put_open, NULL },
	{ M(DELETE), PATH_MANIFEST,  SCOPE_DELETE,  ROUTE_MAY_BLOCK,                api_manifest_delete, NULL, NULL },
	{ READ,      PATH_BLOB,      SCOPE_PULL,    0,                              api_blob_get,        NULL, NULL },
	{ M(DELETE), PATH_BLOB,      SCOPE_DELETE,  ROUTE_MAY_BLOCK,                api_blob_delete,     NULL, NULL },
	{ M(POST),   PATH_UPLOADS,   SCOPE_PUSH,    ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_start,    api_upload_start_open, api_upload_write },
	{ READ,      PATH_UPLOAD,    SCOPE_PUSH,    0,                              api_upload_status,   NULL, NULL },
	{ M(PATCH),  PATH_UPLOAD,    SCOPE_PUSH,    ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_append,   api_upload_open, api_upload_write },
	{ M(PUT),    PATH_UPLOAD,    SCOPE_PUSH,    ROUTE_STREAM | ROUTE_MAY_BLOCK, api_upload_finish,   api_upload_finish_open, api_upload_write },
	{ M(DELETE), PATH_UPLOAD,    SCOPE_PUSH,    ROUTE_MAY_BLOCK,                api_upload_cancel,   NULL, NULL },
	{ READ,      PATH_REFERRERS, SCOPE_PULL,    0,                              api_referrers,       NULL, NULL },
	{ M(GET),    PATH_API_STATS, SCOPE_ADMIN,   ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(GET),    PATH_API_REPOS, SCOPE_ADMIN,   ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(GET),    PATH_API_TAGS,  SCOPE_ADMIN,   ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(GET),    PATH_API_CONTENT, SCOPE_ADMIN, ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(DELETE), PATH_API_CONTENT, SCOPE_ADMIN, ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(GET),    PATH_API_HISTORY, SCOPE_ADMIN, ROUTE_MAY_BLOCK,                api_admin,           NULL, NULL },
	{ M(POST),   PATH_API_COPY,  SCOPE_ADMIN,   ROUTE_FORM | ROUTE_MAY_BLOCK,   api_admin,           NULL, NULL },
	{ M(POST),   PATH_API_MOVE,  SCOPE_ADMIN,   ROUTE_FORM | ROUTE_MAY_BLOCK,   api_admin,           NULL, NULL },
	{ M(POST),   PATH_API_ROLLBACK, SCOPE_ADMIN, ROUTE_FORM | ROUTE_MAY_BLOCK,  api_admin,           NULL, NULL },
};
/* clang-format on */

_Static_assert(ARRAY_LEN(routes) <= ROUTES_MAX, "ROUTES_MAX");

size_t route_number(const struct route *r)
{
	return (size_t)(r - routes);
}

const struct route *route_at(size_t number)
{
	return number < ARRAY_LEN(routes) ? &routes[number] : NULL;
}

static const char *const method_names[METHOD_OTHER] = {
	[METHOD_GET] = "GET",   [METHOD_HEAD] = "HEAD",   [METHOD_PUT] = "PUT",
	[METHOD_POST] = "POST", [METHOD_PATCH] = "PATCH", [METHOD_DELETE] = "DELETE",
};

static const char *const scope_names[SCOPE_N] = {
	[SCOPE_NONE] = "none",   [SCOPE_LOGIN] = "login",   [SCOPE_PULL] = "pull",
	[SCOPE_PUSH] = "push",   [SCOPE_DELETE] = "delete", [SCOPE_CATALOG] = "catalog",
	[SCOPE_ADMIN] = "admin",
};

const struct route *route_find(enum method m, enum path_kind path, unsigned *ret_methods)
{
	const struct route *found = NULL;

	*ret_methods = 0;
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (routes[i].path != path)
			continue;
		*ret_methods |= routes[i].methods;
		if (routes[i].methods & (1u << m))
			found = &routes[i];
	}
	return found;
}

enum method method_parse(struct str name)
{
	for (unsigned i = 0; i < METHOD_OTHER; i++) {
		if (str_eq(name, str_of(method_names[i])))
			return (enum method)i;
	}
	return METHOD_OTHER;
}

const char *methods_text(unsigned methods, char *buf, size_t cap)
{
	size_t n = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < METHOD_OTHER && n < cap; i++) {
		if (methods & (1u << i))
			n += (size_t)snprintf(buf + n, cap - n, "%s%s", n ? ", " : "",
					      method_names[i]);
	}
	return buf;
}

const char *scope_text(enum scope s)
{
	return scope_names[s];
}
