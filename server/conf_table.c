#include "server/conf_table.h"

#include <stddef.h>

#define RESTART false
#define RELOAD true

#define SPARSE_CHOICES "none index all"
#define CLIENT_NAME_CHOICES "san uri email dns cn"
#define LEVEL_CHOICES "error warn info debug"

#define MODULE_CHOICES "default error warn info debug"
#define FORMAT_CHOICES "logfmt json"

#define AT(field) offsetof(struct conf, field)
#define K ((uint64_t)1024)
#define M (K * K)
#define SECOND ((uint64_t)1000)
#define DAY (24 * 3600 * SECOND)

/* clang-format off */
const struct option conf_options[] = {
	{ "root", CONF_TEXT, RESTART, AT(root), 1, 0, "./berth-data",
	  "directory of the store; made if its parent is there", NULL },
	{ "listen", CONF_TEXT, RESTART, AT(listen), 1, 0, "127.0.0.1:5000",
	  "address and port; port 0 picks a free one", NULL },
	{ "metrics.listen", CONF_TEXT, RESTART, AT(metrics_listen), 0, 0, "",
	  "address and port for /metrics, /livez, /readyz and /startupz alone, without TLS or login; then /metrics is there only", NULL },
	{ "health.free_min", CONF_SIZE, RELOAD, AT(health_free_min), 0, 1024 * 1024 * M, "64M",
	  "free space below which /readyz says no", NULL },
	{ "threads", CONF_COUNT, RESTART, AT(threads), 1, 64, "2",
	  "threads that parse and answer; 1 runs everything, disk included, on one thread", NULL },
	{ "workers", CONF_COUNT, RESTART, AT(workers), 1, 512, "32",
	  "threads that may wait for the disk", NULL },
	{ "http.connections", CONF_COUNT, RESTART, AT(http_connections), 2, 1000000, "8192",
	  "open connections; more wait", NULL },
	{ "http.connections_per_address", CONF_COUNT, RESTART, AT(http_connections_per_address), 1, 1000000, "1024",
	  "open connections from one address", NULL },
	{ "http.idle_timeout", CONF_DURATION, RESTART, AT(http_idle_timeout_ms), SECOND, DAY, "30s",
	  "a connection on which nothing moves is closed", NULL },
	{ "http.head_timeout", CONF_DURATION, RELOAD, AT(http_head_timeout_ms), SECOND, DAY, "10s",
	  "time for the head of a request, from its first byte", NULL },
	{ "http.min_rate", CONF_SIZE, RELOAD, AT(http_min_rate), 0, 1024 * M, "1K",
	  "bytes a second that a body must move at; 0: any", NULL },
	{ "http.min_rate_grace", CONF_DURATION, RELOAD, AT(http_min_rate_grace_ms), SECOND, DAY, "30s",
	  "span over which the rate is measured", NULL },
	{ "http.target_max", CONF_SIZE, RELOAD, AT(http_target_max), 1024, 64 * K, "8K",
	  "bytes of a request-target", NULL },
	{ "http.head_max", CONF_SIZE, RESTART, AT(http_head_max), 16 * K, 512 * K, "32K",
	  "bytes of memory for the head of a request and for buffers", NULL },
	{ "http.drain", CONF_DURATION, RELOAD, AT(http_drain_ms), 0, DAY, "10s",
	  "time that running requests have to end after SIGTERM", NULL },
	{ "http.insecure", CONF_FLAG, RESTART, AT(http_insecure), 0, 0, "false",
	  "serve without TLS or without accounts on an address that is not loopback", NULL },
	{ "http.external_url", CONF_TEXT, RELOAD, AT(http_external_url), 0, 0, "",
	  "address by which clients know this server, such as https://registry.example.org; needed behind a proxy", NULL },
	{ "http.trusted_proxies", CONF_TEXT, RELOAD, AT(http_trusted_proxies), 0, 0, "",
	  "addresses and networks whose X-Forwarded-For is believed", NULL },
	{ "tls.certificates", CONF_LIST, RELOAD, AT(tls_certificates), 0, 0, "[]",
	  "serve TLS with these: {certificate: FILE, key: FILE}, in PEM; the client's name for us chooses, changes count at once", NULL },
	{ "tls.client_ca", CONF_TEXT, RESTART, AT(tls_client_ca), 0, 0, "",
	  "file of authorities whose certificates clients may show instead of a password", NULL },
	{ "tls.client_crl", CONF_TEXT, RESTART, AT(tls_client_crl), 0, 0, "",
	  "file of revocation lists of these authorities", NULL },
	{ "tls.client_name", CONF_CHOICE, RESTART, AT(tls_client_name), 0, 0, "san",
	  "what in a client's certificate is its name for access; san: the first URI, else e-mail address, else DNS name", CLIENT_NAME_CHOICES },
	{ "auth.htpasswd", CONF_TEXT, RESTART, AT(auth_htpasswd), 0, 0, "",
	  "file of NAME:HASH lines with bcrypt hashes: berthd user edits it; changes count at once", NULL },
	{ "auth.groups", CONF_LIST, RELOAD, AT(auth_groups), 0, 0, "[]",
	  "groups of accounts for access: {name: dev, members: [alice, bob]}", NULL },
	{ "auth.workers", CONF_COUNT, RESTART, AT(auth_workers), 1, 64, "4",
	  "threads that check passwords and ask directories", NULL },
	{ "auth.password_cache", CONF_DURATION, RELOAD, AT(auth_password_cache_ms), 0, DAY, "5m",
	  "how long a password that was right is not hashed again", NULL },
	{ "auth.throttle.failures", CONF_COUNT, RELOAD, AT(auth_throttle_failures), 1, 1000, "5",
	  "wrong passwords for an account from one address before it has to wait; four times as many for an address", NULL },
	{ "auth.throttle.wait", CONF_DURATION, RELOAD, AT(auth_throttle_wait_ms), 1, 3600 * SECOND, "1s",
	  "the first wait; each further failure doubles it", NULL },
	{ "auth.throttle.wait_max", CONF_DURATION, RELOAD, AT(auth_throttle_wait_max_ms), 1, DAY, "5m",
	  "the longest wait", NULL },
	{ "auth.throttle.window", CONF_DURATION, RELOAD, AT(auth_throttle_window_ms), SECOND, DAY, "15m",
	  "failures older than this are forgotten", NULL },
	{ "auth.directory", CONF_TEXT, RESTART, AT(auth_directory), 0, 0, "",
	  "directory of API keys and of the keys that sign tokens; empty: auth in the root", NULL },
	{ "auth.tokens.enabled", CONF_FLAG, RESTART, AT(auth_tokens_enabled), 0, 0, "true",
	  "give out tokens at /token, as all clients expect where not everything needs a login; false: ask for passwords", NULL },
	{ "auth.tokens.service", CONF_TEXT, RESTART, AT(auth_tokens_service), 1, 0, "berthd",
	  "the name that tokens are for: registries that share auth.directory need different ones", NULL },
	{ "auth.tokens.lifetime", CONF_DURATION, RELOAD, AT(auth_tokens_lifetime_ms), 60 * SECOND, DAY, "5m",
	  "how long a token counts", NULL },
	{ "auth.tokens.refresh", CONF_DURATION, RELOAD, AT(auth_tokens_refresh_ms), 60 * SECOND, 365 * DAY, "30d",
	  "how long a login lasts at a client that keeps it, unless the password changes", NULL },
	{ "auth.tokens.replace_keys", CONF_DURATION, RELOAD, AT(auth_tokens_replace_keys_ms), 60 * SECOND, 3650 * DAY, "30d",
	  "age at which a key that signs tokens is replaced", NULL },
	{ "auth.tokens.realm", CONF_TEXT, RELOAD, AT(auth_tokens_realm), 0, 0, "",
	  "address of another token server that clients are sent to, one of auth.issuers; empty: /token here", NULL },
	{ "auth.issuers", CONF_LIST, RESTART, AT(auth_issuers), 0, 0, "[]",
	  "other token servers: {name: gitlab, issuer: NAME, audience: NAME, keys: FILE}, or keys_url: URL; what their tokens grant is allowed", NULL },
	{ "auth.oidc", CONF_LIST, RESTART, AT(auth_oidc), 0, 0, "[]",
	  "OpenID providers whose workload tokens are passwords: {name: ci, issuer: URL, audience: NAME, map: [..]}; see README", NULL },
	{ "auth.ldap.url", CONF_TEXT, RESTART, AT(auth_ldap_url), 0, 0, "",
	  "directory that checks passwords: ldaps://HOST, or ldap://HOST with start_tls", NULL },
	{ "auth.ldap.start_tls", CONF_FLAG, RESTART, AT(auth_ldap_start_tls), 0, 0, "false",
	  "begin TLS on a plain connection, and refuse to go on without", NULL },
	{ "auth.ldap.ca", CONF_TEXT, RESTART, AT(auth_ldap_ca), 0, 0, "",
	  "file of authorities for the directory's certificate; empty: the system's", NULL },
	{ "auth.ldap.bind_dn", CONF_TEXT, RESTART, AT(auth_ldap_bind_dn), 0, 0, "",
	  "entry as which people and groups are looked up; empty: anonymously", NULL },
	{ "auth.ldap.bind_password", CONF_TEXT, RESTART, AT(auth_ldap_bind_password), 0, 0, "",
	  "file with its password", NULL },
	{ "auth.ldap.users", CONF_TEXT, RESTART, AT(auth_ldap_users), 0, 0, "",
	  "entry below which people are", NULL },
	{ "auth.ldap.user_filter", CONF_TEXT, RESTART, AT(auth_ldap_user_filter), 0, 0, "(uid=${user})",
	  "what finds one of them", NULL },
	{ "auth.ldap.user_name", CONF_TEXT, RESTART, AT(auth_ldap_user_name), 1, 0, "uid",
	  "attribute with the name that access knows them by", NULL },
	{ "auth.ldap.groups", CONF_TEXT, RESTART, AT(auth_ldap_groups), 0, 0, "",
	  "entry below which groups are; empty: they are not looked up", NULL },
	{ "auth.ldap.group_filter", CONF_TEXT, RESTART, AT(auth_ldap_group_filter), 0, 0, "(member=${dn})",
	  "what finds the groups of somebody", NULL },
	{ "auth.ldap.group_name", CONF_TEXT, RESTART, AT(auth_ldap_group_name), 1, 0, "cn",
	  "attribute with the name that access knows them by", NULL },
	{ "auth.ldap.timeout", CONF_DURATION, RESTART, AT(auth_ldap_timeout_ms), 100, 60 * SECOND, "5s",
	  "longest wait for an answer", NULL },
	{ "access", CONF_LIST, RELOAD, AT(access), 0, 0, "[]",
	  "who may do what: {who: [alice, \"group:dev\"], repositories: \"team/**\", allow: [pull, push]}; see README", NULL },
	{ "manifest.size_max", CONF_SIZE, RELOAD, AT(manifest_size_max), 1024, 64 * M, "4M",
	  "bytes of a manifest", NULL },
	{ "manifest.json_depth_max", CONF_COUNT, RELOAD, AT(manifest_json_depth_max), 8, MANIFEST_DEPTH_MAX, "64",
	  "nesting of a manifest", NULL },
	{ "manifest.sparse", CONF_CHOICE, RELOAD, AT(manifest_sparse), 0, 0, "index",
	  "what may refer to content that is not there: nothing, an index, or images as well", SPARSE_CHOICES },
	{ "uploads.idle", CONF_DURATION, RELOAD, AT(uploads_idle_ms), SECOND, 365 * DAY, "24h",
	  "an upload session left alone for so long is given up", NULL },
	{ "uploads.sessions_max", CONF_COUNT, RELOAD, AT(uploads_sessions_max), 1, 1000000, "10000",
	  "open upload sessions", NULL },
	{ "list.page_max", CONF_COUNT, RELOAD, AT(list_page_max), 1, 1000000, "10000",
	  "names in one answer of tags and catalog", NULL },
	{ "referrers.page_bytes_max", CONF_SIZE, RELOAD, AT(referrers_page_bytes_max), 64 * K, 64 * M, "4M",
	  "bytes of one answer of referrers", NULL },
	{ "index.map_size", CONF_SIZE, RESTART, AT(index_map_size), M, 1024 * 1024 * M, "1G",
	  "first size of the index's memory map; it grows by itself", NULL },
	{ "gc.enabled", CONF_FLAG, RESTART, AT(gc_enabled), 0, 0, "true",
	  "collect garbage while serving", NULL },
	{ "gc.interval", CONF_DURATION, RELOAD, AT(gc_interval_ms), SECOND, 365 * DAY, "10m",
	  "time between collections", NULL },
	{ "gc.lease", CONF_DURATION, RELOAD, AT(gc_lease_ms), 0, 365 * DAY, "24h",
	  "how long content that nothing refers to is kept for a push under way", NULL },
	{ "gc.max_share", CONF_PERCENT, RELOAD, AT(gc_max_share), 1, 100, "30",
	  "percent of the store that one collection may remove without being asked to", NULL },
	{ "gc.untagged_keep", CONF_KEEP, RELOAD, AT(gc_untagged_keep_ms), 0, 3650 * DAY, "never",
	  "after which a manifest without a tag is garbage; never: it stays until it is deleted", NULL },
	{ "trash.keep", CONF_DURATION, RELOAD, AT(trash_keep_ms), 0, 365 * DAY, "24h",
	  "how long what was deleted or collected can be restored; 0: not at all", NULL },
	{ "scrub.rate", CONF_SIZE, RELOAD, AT(scrub_rate), 0, 1024 * 1024 * M, "8M",
	  "bytes a second that are read again and checked; 0: none", NULL },
	{ "scrub.interval", CONF_DURATION, RELOAD, AT(scrub_interval_ms), 0, 3650 * DAY, "7d",
	  "time between the starts of two rounds over everything", NULL },
	{ "retention", CONF_LIST, RELOAD, AT(retention), 0, 0, "[]",
	  "which tags are kept, by repository: see the documentation of retention", NULL },
	{ "quotas", CONF_LIST, RELOAD, AT(quotas), 0, 0, "[]",
	  "how much repositories may hold: {repositories: \"team/**\", bytes: 10G, tags: 1000, count: 50}; see README", NULL },
	{ "limits.address.requests", CONF_COUNT, RELOAD, AT(limits_address_requests), 0, 1000000, "0",
	  "requests a second from one address, or from the same 64 bits of IPv6; more get 429; 0: any number", NULL },
	{ "limits.address.bytes", CONF_SIZE, RELOAD, AT(limits_address_bytes), 0, 1024 * 1024 * M, "0",
	  "bytes a second, of bodies in both directions, of one address; 0: any number", NULL },
	{ "limits.identity.requests", CONF_COUNT, RELOAD, AT(limits_identity_requests), 0, 1000000, "0",
	  "requests a second of one account or key, wherever it is; 0: any number", NULL },
	{ "limits.identity.bytes", CONF_SIZE, RELOAD, AT(limits_identity_bytes), 0, 1024 * 1024 * M, "0",
	  "bytes a second, of bodies in both directions, of one account or key; 0: any number", NULL },
	{ "limits.identity.uploads", CONF_COUNT, RELOAD, AT(limits_identity_uploads), 0, 1000000, "0",
	  "uploads under way at once of one account or key, or of one address without; 0: any number", NULL },
	{ "limits.burst", CONF_DURATION, RELOAD, AT(limits_burst_ms), SECOND, 3600 * SECOND, "10s",
	  "what comes in in this time may be used at once", NULL },
	{ "events.endpoints", CONF_LIST, RELOAD, AT(events_endpoints), 0, 0, "[]",
	  "who is told of pushes and deletions by HTTP: {name: ci, url: URL, secret: FILE, repositories: \"team/**\"}; see README", NULL },
	{ "events.timeout", CONF_DURATION, RELOAD, AT(events_timeout_ms), 100, 600 * SECOND, "10s",
	  "longest wait for the answer of an endpoint", NULL },
	{ "events.retry", CONF_DURATION, RELOAD, AT(events_retry_ms), 10, 3600 * SECOND, "1s",
	  "the wait after a delivery that failed; each further failure doubles it", NULL },
	{ "events.retry_max", CONF_DURATION, RELOAD, AT(events_retry_max_ms), 10, DAY, "5m",
	  "the longest wait", NULL },
	{ "events.keep", CONF_KEEP, RELOAD, AT(events_keep_ms), SECOND, 3650 * DAY, "never",
	  "age at which an event that cannot be delivered is given up; never: it is tried until it is", NULL },
	{ "process.user", CONF_TEXT, RESTART, AT(process_user), 0, 0, "",
	  "account that berthd becomes when root starts it, once it has its address and certificates; empty: it stays root", NULL },
	{ "process.confine", CONF_FLAG, RESTART, AT(process_confine), 0, 0, "true",
	  "give up system calls and files that serving does not need (seccomp, Landlock)", NULL },
	{ "process.writable", CONF_LIST, RESTART, AT(process_writable), 0, 0, "[]",
	  "further directories that stay open to it, such as those of backups", NULL },
	{ "log.level", CONF_CHOICE, RELOAD, AT(log_level), 0, 0, "info",
	  "least important events that are written; what was allowed or denied (ev=audit) always is", LEVEL_CHOICES },
	{ "log.format", CONF_CHOICE, RELOAD, AT(log_format), 0, 0, "logfmt",
	  "how lines are written", FORMAT_CHOICES },
	{ "log.levels.access", CONF_CHOICE, RELOAD, AT(log_levels[LOG_ACCESS]), 0, 0, "default",
	  "the same for refusals alone", MODULE_CHOICES },
	{ "log.levels.auth", CONF_CHOICE, RELOAD, AT(log_levels[LOG_AUTH]), 0, 0, "default",
	  "the same for accounts, keys and issuers alone", MODULE_CHOICES },
	{ "log.levels.config", CONF_CHOICE, RELOAD, AT(log_levels[LOG_CONFIG]), 0, 0, "default",
	  "the same for options that change alone", MODULE_CHOICES },
	{ "log.levels.events", CONF_CHOICE, RELOAD, AT(log_levels[LOG_EVENTS]), 0, 0, "default",
	  "the same for what endpoints are told alone", MODULE_CHOICES },
	{ "log.levels.gc", CONF_CHOICE, RELOAD, AT(log_levels[LOG_GC]), 0, 0, "default",
	  "the same for collections alone", MODULE_CHOICES },
	{ "log.levels.http", CONF_CHOICE, RELOAD, AT(log_levels[LOG_HTTP]), 0, 0, "default",
	  "the same for what the HTTP library has to say alone", MODULE_CHOICES },
	{ "log.levels.request", CONF_CHOICE, RELOAD, AT(log_levels[LOG_REQUEST]), 0, 0, "default",
	  "the same for requests alone", MODULE_CHOICES },
	{ "log.levels.scrub", CONF_CHOICE, RELOAD, AT(log_levels[LOG_SCRUB]), 0, 0, "default",
	  "the same for checks of content alone", MODULE_CHOICES },
	{ "log.levels.store", CONF_CHOICE, RELOAD, AT(log_levels[LOG_STORE]), 0, 0, "default",
	  "the same for the store alone", MODULE_CHOICES },
	{ "log.levels.tls", CONF_CHOICE, RELOAD, AT(log_levels[LOG_TLS]), 0, 0, "default",
	  "the same for certificates alone", MODULE_CHOICES },
	{ "log.levels.uploads", CONF_CHOICE, RELOAD, AT(log_levels[LOG_UPLOADS]), 0, 0, "default",
	  "the same for uploads alone", MODULE_CHOICES },
	{ "log.access", CONF_FLAG, RELOAD, AT(log_access), 0, 0, "true",
	  "one line for each request", NULL },
};
/* clang-format on */

const size_t conf_options_n = ARRAY_LEN(conf_options);

const struct option *option_find(struct str key)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		if (str_eq(key, str_of(conf_options[i].key)))
			return &conf_options[i];
	}
	return NULL;
}

void *option_field(const struct option *o, struct conf *c)
{
	return (char *)c + o->offset;
}

const void *option_value(const struct option *o, const struct conf *c)
{
	return (const char *)c + o->offset;
}

bool option_choice(const struct option *o, unsigned i, struct str *ret)
{
	struct str rest = str_of(o->choices);

	do {
		if (rest.n == 0)
			return false;
		(void)str_cut(rest, ' ', ret, &rest);
	} while (i--);
	return true;
}

const char *option_number(enum conf_type type, uint64_t v, char buf[static QUANTITY_TEXT_MAX])
{
	if (type == CONF_COUNT || type == CONF_PERCENT)
		(void)snprintf(buf, QUANTITY_TEXT_MAX, "%llu", (unsigned long long)v);
	else if (type == CONF_KEEP && v == UINT64_MAX)
		(void)snprintf(buf, QUANTITY_TEXT_MAX, "never");
	else if (type == CONF_SIZE)
		(void)size_text(v, buf);
	else
		(void)duration_text(v, buf);
	return buf;
}

const char *option_takes(enum conf_type type)
{
	switch ((int)type) {
	case CONF_DURATION:
		return "a duration (ms s m h d)";
	case CONF_KEEP:
		return "never or a duration (ms s m h d)";
	case CONF_SIZE:
		return "a size (K M G T)";
	default:
		return "a number";
	}
}

void option_variable(const char *key, char buf[static OPTION_KEY_MAX])
{
	size_t n = (size_t)snprintf(buf, OPTION_KEY_MAX, "BERTHD_%s", key);

	for (size_t i = 0; i < n; i++) {
		if (buf[i] == '.')
			buf[i] = '_';
		else if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	}
}
