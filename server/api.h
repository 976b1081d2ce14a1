/*
 * api - the handlers of the route table, by resource: api_base.c, api_watch.c, api_token.c, api_manifest.c, api_blob.c, api_upload.c, api_list.c,
 * api_referrers.c, api_admin.c.  route.h says when and on which thread each is called.
 */
#pragma once

#include "server/route.h"

handler_fn api_ping;
/* Docker-Content-Digest and ETag. */
void api_content_headers(struct request *rq, const struct digest *d);
/* True, and the reply is 304, if the client has content d already. */
bool api_not_modified(struct request *rq, const struct digest *d);

handler_fn api_token_open;
handler_fn api_token_get;
handler_fn api_token_post;
handler_fn api_jwks;

handler_fn api_admin;
handler_fn api_live;
handler_fn api_ready;
handler_fn api_metrics;

handler_fn api_catalog;
handler_fn api_tags;

handler_fn api_manifest_get;
handler_fn api_manifest_put_open;
handler_fn api_manifest_put;
handler_fn api_manifest_delete;

handler_fn api_blob_get;
handler_fn api_blob_delete;

handler_fn api_upload_start_open;
handler_fn api_upload_start;
handler_fn api_upload_status;
handler_fn api_upload_open;
handler_fn api_upload_append;
handler_fn api_upload_finish_open;
handler_fn api_upload_finish;
handler_fn api_upload_cancel;
body_fn api_upload_write;

handler_fn api_referrers;
