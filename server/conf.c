#include "server/conf.h"

#include <stddef.h>

#include "base/quantity.h"

#define KEY_MAX 64
#define TEXT_MAX 4096

enum conf_type {
	CONF_TEXT,
	CONF_COUNT,
	CONF_PERCENT, /* with or without its sign */
	CONF_SIZE,
	CONF_DURATION,
	CONF_KEEP, /* a duration, or never */
	CONF_FLAG,
	CONF_CHOICE,
	CONF_LIST,
};

struct option {
	const char *key;
	enum conf_type type;
	size_t offset;
	uint64_t min, max;
	const char *preset, *doc;
	const char
	    *choices; /* CONF_CHOICE: the words, separated by spaces, in the order of the enum */
};

#define SPARSE_CHOICES "none index all"
#define CLIENT_NAME_CHOICES "san uri email dns cn"
#define LEVEL_CHOICES "error warn info debug"

#define AT(field) offsetof(struct conf, field)
#define K ((uint64_t)1024)
#define M (K * K)
#define SECOND ((uint64_t)1000)
#define DAY (24 * 3600 * SECOND)

/* clang-format off */
static const struct option options[] = {
	{ "root", CONF_TEXT, AT(root), 1, 0, "./berth-data",
	  "directory of the store; made if its parent is there", NULL },
	{ "listen", CONF_TEXT, AT(listen), 1, 0, "127.0.0.1:5000",
	  "address and port; port 0 picks a free one", NULL },
	{ "metrics.listen", CONF_TEXT, AT(metrics_listen), 0, 0, "",
	  "address and port for /metrics, /livez, /readyz and /startupz alone, without TLS or login; then /metrics is there only", NULL },
	{ "health.free_min", CONF_SIZE, AT(health_free_min), 0, 1024 * 1024 * M, "64M",
	  "free space below which /readyz says no", NULL },
	{ "threads", CONF_COUNT, AT(threads), 1, 64, "2",
	  "threads that parse and answer; 1 runs everything, disk included, on one thread", NULL },
	{ "workers", CONF_COUNT, AT(workers), 1, 512, "32",
	  "threads that may wait for the disk", NULL },
	{ "http.connections", CONF_COUNT, AT(http_connections), 2, 1000000, "8192",
	  "open connections; more wait", NULL },
	{ "http.connections_per_address", CONF_COUNT, AT(http_connections_per_address), 1, 1000000, "1024",
	  "open connections from one address", NULL },
	{ "http.idle_timeout", CONF_DURATION, AT(http_idle_timeout_ms), SECOND, DAY, "30s",
	  "a connection on which nothing moves is closed", NULL },
	{ "http.head_timeout", CONF_DURATION, AT(http_head_timeout_ms), SECOND, DAY, "10s",
	  "time for the head of a request, from its first byte", NULL },
	{ "http.min_rate", CONF_SIZE, AT(http_min_rate), 0, 1024 * M, "1K",
	  "bytes a second that a body must move at; 0: any", NULL },
	{ "http.min_rate_grace", CONF_DURATION, AT(http_min_rate_grace_ms), SECOND, DAY, "30s",
	  "span over which the rate is measured", NULL },
	{ "http.target_max", CONF_SIZE, AT(http_target_max), 1024, 64 * K, "8K",
	  "bytes of a request-target", NULL },
	{ "http.head_max", CONF_SIZE, AT(http_head_max), 16 * K, 512 * K, "32K",
	  "bytes of memory for the head of a request and for buffers", NULL },
	{ "http.drain", CONF_DURATION, AT(http_drain_ms), 0, DAY, "10s",
	  "time that running requests have to end after SIGTERM", NULL },
	{ "http.insecure", CONF_FLAG, AT(http_insecure), 0, 0, "false",
	  "serve without TLS or without accounts on an address that is not loopback", NULL },
	{ "http.external_url", CONF_TEXT, AT(http_external_url), 0, 0, "",
	  "address by which clients know this server, such as https://registry.example.org; needed behind a proxy", NULL },
	{ "http.trusted_proxies", CONF_TEXT, AT(http_trusted_proxies), 0, 0, "",
	  "addresses and networks whose X-Forwarded-For is believed", NULL },
	{ "tls.certificates", CONF_LIST, AT(tls_certificates), 0, 0, "[]",
	  "serve TLS with these: {certificate: FILE, key: FILE}, in PEM; the client's name for us chooses, changes count at once", NULL },
	{ "tls.client_ca", CONF_TEXT, AT(tls_client_ca), 0, 0, "",
	  "file of authorities whose certificates clients may show instead of a password", NULL },
	{ "tls.client_crl", CONF_TEXT, AT(tls_client_crl), 0, 0, "",
	  "file of revocation lists of these authorities", NULL },
	{ "tls.client_name", CONF_CHOICE, AT(tls_client_name), 0, 0, "san",
	  "what in a client's certificate is its name for access; san: the first URI, else e-mail address, else DNS name", CLIENT_NAME_CHOICES },
	{ "auth.htpasswd", CONF_TEXT, AT(auth_htpasswd), 0, 0, "",
	  "file of NAME:HASH lines with bcrypt hashes: berthd user edits it; changes count at once", NULL },
	{ "auth.groups", CONF_LIST, AT(auth_groups), 0, 0, "[]",
	  "groups of accounts for access: {name: dev, members: [alice, bob]}", NULL },
	{ "auth.workers", CONF_COUNT, AT(auth_workers), 1, 64, "4",
	  "threads that check passwords and ask directories", NULL },
	{ "auth.password_cache", CONF_DURATION, AT(auth_password_cache_ms), 0, DAY, "5m",
	  "how long a password that was right is not hashed again", NULL },
	{ "auth.throttle.failures", CONF_COUNT, AT(auth_throttle_failures), 1, 1000, "5",
	  "wrong passwords for an account from one address before it has to wait; four times as many for an address", NULL },
	{ "auth.throttle.wait", CONF_DURATION, AT(auth_throttle_wait_ms), 1, 3600 * SECOND, "1s",
	  "the first wait; each further failure doubles it", NULL },
	{ "auth.throttle.wait_max", CONF_DURATION, AT(auth_throttle_wait_max_ms), 1, DAY, "5m",
	  "the longest wait", NULL },
	{ "auth.throttle.window", CONF_DURATION, AT(auth_throttle_window_ms), SECOND, DAY, "15m",
	  "failures older than this are forgotten", NULL },
	{ "auth.directory", CONF_TEXT, AT(auth_directory), 0, 0, "",
	  "directory of API keys and of the keys that sign tokens; empty: auth in the root", NULL },
	{ "auth.tokens.enabled", CONF_FLAG, AT(auth_tokens_enabled), 0, 0, "true",
	  "give out tokens at /token, as all clients expect where not everything needs a login; false: ask for passwords", NULL },
	{ "auth.tokens.service", CONF_TEXT, AT(auth_tokens_service), 1, 0, "berthd",
	  "the name that tokens are for: registries that share auth.directory need different ones", NULL },
	{ "auth.tokens.lifetime", CONF_DURATION, AT(auth_tokens_lifetime_ms), 60 * SECOND, DAY, "5m",
	  "how long a token counts", NULL },
	{ "auth.tokens.refresh", CONF_DURATION, AT(auth_tokens_refresh_ms), 60 * SECOND, 365 * DAY, "30d",
	  "how long a login lasts at a client that keeps it, unless the password changes", NULL },
	{ "auth.tokens.replace_keys", CONF_DURATION, AT(auth_tokens_replace_keys_ms), 60 * SECOND, 3650 * DAY, "30d",
	  "age at which a key that signs tokens is replaced", NULL },
	{ "auth.tokens.realm", CONF_TEXT, AT(auth_tokens_realm), 0, 0, "",
	  "address of another token server that clients are sent to, one of auth.issuers; empty: /token here", NULL },
	{ "auth.issuers", CONF_LIST, AT(auth_issuers), 0, 0, "[]",
	  "other token servers: {name: gitlab, issuer: NAME, audience: NAME, keys: FILE}, or keys_url: URL; what their tokens grant is allowed", NULL },
	{ "auth.oidc", CONF_LIST, AT(auth_oidc), 0, 0, "[]",
	  "OpenID providers whose workload tokens are passwords: {name: ci, issuer: URL, audience: NAME, map: [..]}; see README", NULL },
	{ "auth.ldap.url", CONF_TEXT, AT(auth_ldap_url), 0, 0, "",
	  "directory that checks passwords: ldaps://HOST, or ldap://HOST with start_tls", NULL },
	{ "auth.ldap.start_tls", CONF_FLAG, AT(auth_ldap_start_tls), 0, 0, "false",
	  "begin TLS on a plain connection, and refuse to go on without", NULL },
	{ "auth.ldap.ca", CONF_TEXT, AT(auth_ldap_ca), 0, 0, "",
	  "file of authorities for the directory's certificate; empty: the system's", NULL },
	{ "auth.ldap.bind_dn", CONF_TEXT, AT(auth_ldap_bind_dn), 0, 0, "",
	  "entry as which people and groups are looked up; empty: anonymously", NULL },
	{ "auth.ldap.bind_password", CONF_TEXT, AT(auth_ldap_bind_password), 0, 0, "",
	  "file with its password", NULL },
	{ "auth.ldap.users", CONF_TEXT, AT(auth_ldap_users), 0, 0, "",
	  "entry below which people are", NULL },
	{ "auth.ldap.user_filter", CONF_TEXT, AT(auth_ldap_user_filter), 0, 0, "(uid=${user})",
	  "what finds one of them", NULL },
	{ "auth.ldap.user_name", CONF_TEXT, AT(auth_ldap_user_name), 1, 0, "uid",
	  "attribute with the name that access knows them by", NULL },
	{ "auth.ldap.groups", CONF_TEXT, AT(auth_ldap_groups), 0, 0, "",
	  "entry below which groups are; empty: they are not looked up", NULL },
	{ "auth.ldap.group_filter", CONF_TEXT, AT(auth_ldap_group_filter), 0, 0, "(member=${dn})",
	  "what finds the groups of somebody", NULL },
	{ "auth.ldap.group_name", CONF_TEXT, AT(auth_ldap_group_name), 1, 0, "cn",
	  "attribute with the name that access knows them by", NULL },
	{ "auth.ldap.timeout", CONF_DURATION, AT(auth_ldap_timeout_ms), 100, 60 * SECOND, "5s",
	  "longest wait for an answer", NULL },
	{ "access", CONF_LIST, AT(access), 0, 0, "[]",
	  "who may do what: {who: [alice, \"group:dev\"], repositories: \"team/**\", allow: [pull, push]}; see README", NULL },
	{ "manifest.size_max", CONF_SIZE, AT(manifest_size_max), 1024, 64 * M, "4M",
	  "bytes of a manifest", NULL },
	{ "manifest.json_depth_max", CONF_COUNT, AT(manifest_json_depth_max), 8, MANIFEST_DEPTH_MAX, "64",
	  "nesting of a manifest", NULL },
	{ "manifest.sparse", CONF_CHOICE, AT(manifest_sparse), 0, 0, "index",
	  "what may refer to content that is not there: nothing, an index, or images as well", SPARSE_CHOICES },
	{ "uploads.idle", CONF_DURATION, AT(uploads_idle_ms), SECOND, 365 * DAY, "24h",
	  "an upload session left alone for so long is given up", NULL },
	{ "uploads.sessions_max", CONF_COUNT, AT(uploads_sessions_max), 1, 1000000, "10000",
	  "open upload sessions", NULL },
	{ "list.page_max", CONF_COUNT, AT(list_page_max), 1, 1000000, "10000",
	  "names in one answer of tags and catalog", NULL },
	{ "referrers.page_bytes_max", CONF_SIZE, AT(referrers_page_bytes_max), 64 * K, 64 * M, "4M",
	  "bytes of one answer of referrers", NULL },
	{ "index.map_size", CONF_SIZE, AT(index_map_size), M, 1024 * 1024 * M, "1G",
	  "first size of the index's memory map; it grows by itself", NULL },
	{ "gc.enabled", CONF_FLAG, AT(gc_enabled), 0, 0, "true",
	  "collect garbage while serving", NULL },
	{ "gc.interval", CONF_DURATION, AT(gc_interval_ms), SECOND, 365 * DAY, "10m",
	  "time between collections", NULL },
	{ "gc.lease", CONF_DURATION, AT(gc_lease_ms), 0, 365 * DAY, "24h",
	  "how long content that nothing refers to is kept for a push under way", NULL },
	{ "gc.max_share", CONF_PERCENT, AT(gc_max_share), 1, 100, "30",
	  "percent of the store that one collection may remove without being asked to", NULL },
	{ "gc.untagged_keep", CONF_KEEP, AT(gc_untagged_keep_ms), 0, 3650 * DAY, "never",
	  "after which a manifest without a tag is garbage; never: it stays until it is deleted", NULL },
	{ "trash.keep", CONF_DURATION, AT(trash_keep_ms), 0, 365 * DAY, "24h",
	  "how long what was deleted or collected can be restored; 0: not at all", NULL },
	{ "scrub.rate", CONF_SIZE, AT(scrub_rate), 0, 1024 * 1024 * M, "8M",
	  "bytes a second that are read again and checked; 0: none", NULL },
	{ "scrub.interval", CONF_DURATION, AT(scrub_interval_ms), 0, 3650 * DAY, "7d",
	  "time between the starts of two rounds over everything", NULL },
	{ "retention", CONF_LIST, AT(retention), 0, 0, "[]",
	  "which tags are kept, by repository: see the documentation of retention", NULL },
	{ "quotas", CONF_LIST, AT(quotas), 0, 0, "[]",
	  "how much repositories may hold: {repositories: \"team/**\", bytes: 10G, tags: 1000, count: 50}; see README", NULL },
	{ "limits.address.requests", CONF_COUNT, AT(limits_address_requests), 0, 1000000, "0",
	  "requests a second from one address, or from the same 64 bits of IPv6; more get 429; 0: any number", NULL },
	{ "limits.address.bytes", CONF_SIZE, AT(limits_address_bytes), 0, 1024 * 1024 * M, "0",
	  "bytes a second, of bodies in both directions, of one address; 0: any number", NULL },
	{ "limits.identity.requests", CONF_COUNT, AT(limits_identity_requests), 0, 1000000, "0",
	  "requests a second of one account or key, wherever it is; 0: any number", NULL },
	{ "limits.identity.bytes", CONF_SIZE, AT(limits_identity_bytes), 0, 1024 * 1024 * M, "0",
	  "bytes a second, of bodies in both directions, of one account or key; 0: any number", NULL },
	{ "limits.identity.uploads", CONF_COUNT, AT(limits_identity_uploads), 0, 1000000, "0",
	  "uploads under way at once of one account or key, or of one address without; 0: any number", NULL },
	{ "limits.burst", CONF_DURATION, AT(limits_burst_ms), SECOND, 3600 * SECOND, "10s",
	  "what comes in in this time may be used at once", NULL },
	{ "events.endpoints", CONF_LIST, AT(events_endpoints), 0, 0, "[]",
	  "who is told of pushes and deletions by HTTP: {name: ci, url: URL, secret: FILE, repositories: \"team/**\"}; see README", NULL },
	{ "events.timeout", CONF_DURATION, AT(events_timeout_ms), 100, 600 * SECOND, "10s",
	  "longest wait for the answer of an endpoint", NULL },
	{ "events.retry", CONF_DURATION, AT(events_retry_ms), 10, 3600 * SECOND, "1s",
	  "the wait after a delivery that failed; each further failure doubles it", NULL },
	{ "events.retry_max", CONF_DURATION, AT(events_retry_max_ms), 10, DAY, "5m",
	  "the longest wait", NULL },
	{ "events.keep", CONF_KEEP, AT(events_keep_ms), SECOND, 3650 * DAY, "never",
	  "age at which an event that cannot be delivered is given up; never: it is tried until it is", NULL },
	{ "process.user", CONF_TEXT, AT(process_user), 0, 0, "",
	  "account that berthd becomes when root starts it, once it has its address and certificates; empty: it stays root", NULL },
	{ "process.confine", CONF_FLAG, AT(process_confine), 0, 0, "true",
	  "give up system calls and files that serving does not need (seccomp, Landlock)", NULL },
	{ "process.writable", CONF_LIST, AT(process_writable), 0, 0, "[]",
	  "further directories that stay open to it, such as those of backups", NULL },
	{ "log.level", CONF_CHOICE, AT(log_level), 0, 0, "info",
	  "least important events that are written", LEVEL_CHOICES },
	{ "log.access", CONF_FLAG, AT(log_access), 0, 0, "true",
	  "one line for each request", NULL },
};
/* clang-format on */

/* A duration, a size, or NEVER. */
static bool parse_scaled(enum conf_type type, struct str in, uint64_t *ret)
{
	if (type == CONF_KEEP && str_eq(in, STR("never"))) {
		*ret = UINT64_MAX;
		return true;
	}
	return type == CONF_SIZE ? size_parse(in, ret) : duration_parse(in, ret);
}

static bool parse_flag(struct str in, bool *ret)
{
	bool yes = str_eq(in, STR("true")) || str_eq(in, STR("on")) || str_eq(in, STR("yes"));

	if (!yes && !str_eq(in, STR("false")) && !str_eq(in, STR("off")) && !str_eq(in, STR("no")))
		return false;
	*ret = yes;
	return true;
}

/* The i'th word of the choices; false beyond the last. */
static bool choice_at(const struct option *o, unsigned i, struct str *ret)
{
	struct str rest = str_of(o->choices);

	do {
		if (rest.n == 0)
			return false;
		(void)str_cut(rest, ' ', ret, &rest);
	} while (i--);
	return true;
}

static bool parse_choice(const struct option *o, struct str in, unsigned *ret)
{
	struct str word;

	for (unsigned i = 0; choice_at(o, i, &word); i++) {
		if (str_eq(word, in)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* As it would have to be written. */
static const char *format_number(enum conf_type type, uint64_t v,
				 char buf[static QUANTITY_TEXT_MAX])
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

/* What an option takes, for a message. */
static const char *type_text(enum conf_type type)
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

static enum err_kind set_number(const struct option *o, uint64_t *field, struct str value,
				const char *where, struct err *e)
{
	char min[QUANTITY_TEXT_MAX], max[QUANTITY_TEXT_MAX];
	struct str in = value;
	uint64_t v;
	bool ok;

	if (o->type == CONF_COUNT || o->type == CONF_PERCENT) {
		ok = scan_u64(&in, UINT64_MAX, &v);
		if (o->type == CONF_PERCENT)
			(void)scan_char(&in, '%');
		ok = ok && scan_end(&in);
	} else {
		ok = parse_scaled(o->type, value, &v);
	}

	if (ok && v >= o->min && (v <= o->max || (o->type == CONF_KEEP && v == UINT64_MAX))) {
		*field = v;
		return ERR_OK;
	}
	return err_set(e, ERR_INVALID, __func__, "%s: %s is \"%.60s\": it must be %s from %s to %s",
		       where, o->key, value.p, type_text(o->type),
		       format_number(o->type, o->min, min), format_number(o->type, o->max, max));
}

static enum err_kind set_text(const struct option *o, struct sbuf *field, struct str value,
			      const char *where, struct err *e)
{
	if (value.n < o->min || value.n > TEXT_MAX)
		return err_set(e, ERR_INVALID, __func__, "%s: %s is empty or too long", where,
			       o->key);
	sbuf_clear(field);
	sbuf_init(field, TEXT_MAX + 1);
	sbuf_add_str(field, value);
	return field->failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory for options")
			     : ERR_OK;
}

static enum err_kind set_list(const struct option *o, struct jv **field, struct str value,
			      const char *where, struct err *e)
{
	char place[640];
	struct jv *list;
	enum err_kind k;

	(void)snprintf(place, sizeof(place), "%s: %s", where, o->key);
	k = conf_parse_list(value, place, &list, e);
	if (k != ERR_OK)
		return k;
	jv_free(field);
	*field = list;
	return ERR_OK;
}

static enum err_kind set_option(struct conf *c, const struct option *o, struct str value,
				const char *where, struct err *e)
{
	void *field = (char *)c + o->offset;

	switch (o->type) {
	case CONF_TEXT:
		return set_text(o, field, value, where, e);
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		return set_number(o, field, value, where, e);
	case CONF_FLAG:
		if (parse_flag(value, field))
			return ERR_OK;
		return err_set(e, ERR_INVALID, __func__,
			       "%s: %s is \"%.60s\": it must be true or false", where, o->key,
			       value.p);
	case CONF_CHOICE:
		if (parse_choice(o, value, field))
			return ERR_OK;
		return err_set(e, ERR_INVALID, __func__,
			       "%s: %s is \"%.60s\": it must be one of %s", where, o->key, value.p,
			       o->choices);
	case CONF_LIST:
		return set_list(o, field, value, where, e);
	}
	return err_set(e, ERR_BUG, __func__, "option %s has no type", o->key);
}

static const struct option *find_option(struct str key)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (str_eq(key, str_of(options[i].key)))
			return &options[i];
	}
	return NULL;
}

static enum err_kind no_option(struct str key, const char *where, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "%s: there is no option \"%.*s\"", where,
		       (int)MIN(key.n, (size_t)KEY_MAX), key.p);
}

enum err_kind conf_set_list(struct conf *c, struct str key, struct jv *take, const char *where,
			    struct err *e)
{
	const struct option *o = find_option(key);
	struct jv **field;

	if (!o || o->type != CONF_LIST) {
		jv_free(&take);
		return o ? err_set(e, ERR_INVALID, __func__, "%s: %s is no list", where, o->key)
			 : no_option(key, where, e);
	}
	field = (struct jv **)((char *)c + o->offset);
	jv_free(field);
	*field = take;
	return ERR_OK;
}

enum err_kind conf_set(struct conf *c, struct str key, struct str value, const char *where,
		       struct err *e)
{
	const struct option *o = find_option(key);
	char text[TEXT_MAX + 1];

	if (!str_copy(value, text, sizeof(text)))
		return err_set(e, ERR_INVALID, __func__,
			       "%s: the value is too long or has a NUL in it", where);
	return o ? set_option(c, o, str_of(text), where, e) : no_option(key, where, e);
}

static enum err_kind set_presets(struct conf *c, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(options) && k == ERR_OK; i++)
		k = set_option(c, &options[i], str_of(options[i].preset), "preset", e);
	return k;
}

/* BERTHD_HTTP_MIN_RATE for http.min_rate. */
static void environment_name(const char *key, char buf[static KEY_MAX])
{
	size_t n = (size_t)snprintf(buf, KEY_MAX, "BERTHD_%s", key);

	for (size_t i = 0; i < n; i++) {
		if (buf[i] == '.')
			buf[i] = '_';
		else if (buf[i] >= 'a' && buf[i] <= 'z')
			buf[i] = (char)(buf[i] - 'a' + 'A');
	}
}

static enum err_kind read_environment(struct conf *c, struct err *e)
{
	char name[KEY_MAX];
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < ARRAY_LEN(options) && k == ERR_OK; i++) {
		const char *value;

		environment_name(options[i].key, name);
		value = getenv(name); /* NOLINT(concurrency-mt-unsafe): no thread runs yet */
		if (value)
			k = set_option(c, &options[i], str_of(value), name, e);
	}
	return k;
}

static bool is_flag(struct str key)
{
	const struct option *o = find_option(key);

	return o && o->type == CONF_FLAG;
}

bool conf_takes_value(struct str name)
{
	const struct option *o = find_option(name);

	return (o && o->type != CONF_FLAG) || str_eq(name, STR("config"));
}

struct arg {
	struct str key, value;
};

/* One option of the command line; *i moves past it. */
static enum err_kind next_arg(int n_args, char *const *args, int *i, struct arg *ret, struct err *e)
{
	struct str a = str_of(args[*i]);

	(*i)++;
	if (!str_starts(a, STR("--")) || a.n == 2)
		return err_set(e, ERR_INVALID, __func__, "unexpected argument \"%.80s\"",
			       args[*i - 1]);
	a = (struct str){ a.p + 2, a.n - 2 };
	if (str_cut(a, '=', &ret->key, &ret->value))
		return ERR_OK;
	if (is_flag(ret->key))
		ret->value = STR("true");
	else if (!conf_takes_value(ret->key) && *i < n_args && strncmp(args[*i], "--", 2) == 0)
		ret->value = STR(""); /* there is no such option, and this is not its value */
	else if (*i < n_args)
		ret->value = str_of(args[(*i)++]);
	else
		return err_set(e, ERR_INVALID, __func__, "option %.80s needs a value",
			       args[*i - 1]);
	return ERR_OK;
}

static enum err_kind read_file(struct conf *c, const char *name, struct err *e)
{
	sbuf_clear(&c->file);
	sbuf_init(&c->file, SBUF_MAX);
	sbuf_add_str(&c->file, str_of(name));
	if (c->file.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the name of a file");
	return conf_read_file(c, name, e);
}

/* The file is read before the environment, so it is looked for first. */
static enum err_kind read_args(struct conf *c, int n_args, char *const *args, bool only_file,
			       struct err *e)
{
	enum err_kind k = ERR_OK;

	for (int i = 0; i < n_args && k == ERR_OK;) {
		struct arg a;
		bool is_file;

		k = next_arg(n_args, args, &i, &a, e);
		if (k != ERR_OK)
			return k;
		is_file = str_eq(a.key, STR("config"));
		if (only_file && is_file)
			k = read_file(c, a.value.p, e);
		else if (!only_file && !is_file)
			k = conf_set(c, a.key, a.value, "command line", e);
	}
	return k;
}

enum err_kind conf_load(int n_args, char *const *args, struct conf *ret, struct err *e)
{
	struct conf c = { 0 };
	enum err_kind k = set_presets(&c, e);

	if (k == ERR_OK)
		k = read_args(&c, n_args, args, true, e);
	if (k == ERR_OK)
		k = read_environment(&c, e);
	if (k == ERR_OK)
		k = read_args(&c, n_args, args, false, e);
	if (k != ERR_OK) {
		conf_clear(&c);
		return k;
	}
	*ret = c;
	return ERR_OK;
}

void conf_clear(struct conf *c)
{
	sbuf_clear(&c->file);
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		void *field = (char *)c + options[i].offset;

		if (options[i].type == CONF_TEXT)
			sbuf_clear(field);
		else if (options[i].type == CONF_LIST)
			jv_free(field);
	}
}

/* In YAML's double quotes. */
static void dump_text(struct str text, struct sbuf *b)
{
	sbuf_add(b, "\"", 1);
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < ' ' || c == 0x7f)
			sbuf_addf(b, "\\x%02x", c);
		else
			sbuf_addf(b, c == '"' || c == '\\' ? "\\%c" : "%c", c);
	}
	sbuf_add(b, "\"", 1);
}

/* In YAML's flow style, which is JSON's; lines are not part of the value. */
static void dump_node(const struct jv *v, struct sbuf *b)
{
	const char *key, *comma = "";
	const struct jv *member;
	void *iter = NULL;
	struct str text;

	if (jv_text(v, &text)) {
		dump_text(text, b);
	} else if (jv_is_array(v)) {
		sbuf_add(b, "[", 1);
		for (size_t i = 0; i < jv_count(v); i++) {
			sbuf_addf(b, "%s", i ? ", " : "");
			dump_node(jv_at(v, i), b);
		}
		sbuf_add(b, "]", 1);
	} else {
		sbuf_add(b, "{", 1);
		while (jv_next(v, &iter, &key, &member)) {
			if (strcmp(key, CONF_LINE) == 0)
				continue;
			sbuf_addf(b, "%s", comma);
			dump_text(str_of(key), b);
			sbuf_addf(b, ": ");
			dump_node(member, b);
			comma = ", ";
		}
		sbuf_add(b, "}", 1);
	}
}

static void dump_value(const struct conf *c, const struct option *o, struct sbuf *b)
{
	const void *field = (const char *)c + o->offset;
	struct str word = { "", 0 };
	char text[QUANTITY_TEXT_MAX];

	switch (o->type) {
	case CONF_TEXT:
		dump_text(str_of(((const struct sbuf *)field)->p), b);
		break;
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		sbuf_addf(b, "%s", format_number(o->type, *(const uint64_t *)field, text));
		break;
	case CONF_FLAG:
		sbuf_addf(b, "%s", *(const bool *)field ? "true" : "false");
		break;
	case CONF_CHOICE:
		(void)choice_at(o, *(const unsigned *)field, &word);
		sbuf_add_str(b, word);
		break;
	case CONF_LIST:
		dump_node(*(struct jv *const *)field, b);
		break;
	}
}

static size_t dots(const char *key)
{
	size_t n = 0;

	for (; *key; key++)
		n += *key == '.';
	return n;
}

/* The groups of key that the option before it was not in; returns the rest of its name. */
static const char *dump_groups(const char *before, const char *key, struct sbuf *b)
{
	const char *at = key, *dot;
	int indent = 0;

	for (; (dot = strchr(at, '.')) != NULL; at = dot + 1, indent += 2) {
		size_t n = (size_t)(dot + 1 - key);

		if (strncmp(before, key, n) != 0)
			sbuf_addf(b, "%*s%.*s:\n", indent, "", (int)(dot - at), at);
	}
	return at;
}

void conf_dump(const struct conf *c, struct sbuf *b)
{
	const char *before = "";

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const char *leaf = dump_groups(before, options[i].key, b);
		int indent = (int)(2 * dots(options[i].key));

		before = options[i].key;
		sbuf_addf(b, "%*s# %s", indent, "", options[i].doc);
		if (options[i].choices)
			sbuf_addf(b, " (%s)", options[i].choices);
		sbuf_addf(b, "\n%*s%s: ", indent, "", leaf);
		dump_value(c, &options[i], b);
		sbuf_add(b, "\n", 1);
	}
}

static void describe_values(const struct option *o, struct sbuf *b)
{
	char min[QUANTITY_TEXT_MAX], max[QUANTITY_TEXT_MAX];

	switch (o->type) {
	case CONF_TEXT:
		sbuf_addf(b, o->min ? "text, not empty" : "text");
		break;
	case CONF_COUNT:
	case CONF_PERCENT:
	case CONF_SIZE:
	case CONF_DURATION:
	case CONF_KEEP:
		sbuf_addf(b, "%s from %s to %s", type_text(o->type),
			  format_number(o->type, o->min, min), format_number(o->type, o->max, max));
		break;
	case CONF_FLAG:
		sbuf_addf(b, "true or false");
		break;
	case CONF_CHOICE:
		sbuf_addf(b, "one of %s", o->choices);
		break;
	case CONF_LIST:
		sbuf_addf(b, "a list");
		break;
	}
}

void conf_manual(struct sbuf *b)
{
	char name[KEY_MAX];

	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		const struct option *o = &options[i];

		environment_name(o->key, name);
		sbuf_addf(b, "%s = %s\n    %s\n    ", o->key, *o->preset ? o->preset : "\"\"",
			  o->doc);
		describe_values(o, b);
		sbuf_addf(b, "; %s\n", name);
	}
}
