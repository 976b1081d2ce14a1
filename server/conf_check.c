#include "server/conf_check.h"

#include <errno.h>
#include <pwd.h>

#include "auth/apikey.h"
#include "auth/auth.h"
#include "auth/htpasswd.h"
#include "gc/retention.h"
#include "server/events.h"
#include "server/guard.h"
#include "server/listen.h"
#include "server/origin.h"
#include "server/proxy.h"
#include "storage/quota.h"

struct check {
	const struct conf *c;
	struct faults *faults;
	enum check_depth depth;
};

/* In a file, what is in a list has a line of its own (0: it has none); what nobody gave stands nowhere. */
static void wrong(struct check *ch, const char *key, uint64_t line, struct err *e)
{
	const char *place = conf_place(ch->c, key), *file = ch->c->file.p;

	if (line && file && str_starts(str_of(place), str_of(file)) && place[ch->c->file.n] == ':')
		(void)err_wrap(e, "%s:%llu", file, (unsigned long long)line);
	else if (strcmp(place, CONF_PRESET) != 0)
		(void)err_wrap(e, "%s", place);
	faults_add(ch->faults, e);
}

static void judge(struct check *ch, const char *key, enum err_kind k, struct err *e)
{
	if (k != ERR_OK)
		wrong(ch, key, 0, e);
}

#define CONFLICT(ch, key, ...)                                                                     \
	do {                                                                                       \
		struct err e_;                                                                     \
		judge(ch, key, err_set(&e_, ERR_INVALID, __func__, __VA_ARGS__), &e_);             \
	} while (0)

/* --- lists: each entry by itself, so that one does not hide another, then all together --- */

typedef enum err_kind list_fn(struct check *ch, const struct jv *list, struct faults *all,
			      struct err *e);

/* What an entry has faults of: its members, each with its line, or itself. */
struct entry {
	struct check *check;
	const char *key;
	struct faults faults;
};

static void tell_member(void *arg, const struct err *e)
{
	struct entry *en = arg;
	struct err copy = *e;

	wrong(en->check, en->key, en->faults.line, &copy);
}

static void check_entry(struct check *ch, const char *key, const struct jv *v, list_fn *fn)
{
	AUTO_JV *list = jv_new_array();
	struct entry en = { .check = ch, .key = key };
	uint64_t line = 0;
	struct err e;

	en.faults = (struct faults){ .tell = tell_member, .arg = &en };
	if (!list || !jv_append(list, jv_share(v))) {
		judge(ch, key, err_set(&e, ERR_NO_MEMORY, __func__, "no memory for options"), &e);
		return;
	}
	if (fn(ch, list, &en.faults, &e) == ERR_OK || en.faults.n)
		return;
	(void)jv_uint(jv_member(v, CONF_LINE), &line);
	wrong(ch, key, line, &e);
}

static void check_list(struct check *ch, const char *key, const struct jv *list, list_fn *fn)
{
	unsigned before = ch->faults->n;
	struct err e;

	for (size_t i = 0; i < jv_count(list); i++)
		check_entry(ch, key, jv_at(list, i), fn);
	if (ch->faults->n == before)
		judge(ch, key, fn(ch, list, NULL, &e), &e);
}

static enum err_kind check_access(struct check *ch, const struct jv *list, struct faults *all,
				  struct err *e)
{
	AUTO_RULES *r = NULL;

	(void)ch;
	return rules_parse(list, NULL, all, &r, e);
}

static enum err_kind check_groups(struct check *ch, const struct jv *list, struct faults *all,
				  struct err *e)
{
	AUTO_RULES *r = NULL;

	(void)ch;
	return rules_parse(NULL, list, all, &r, e);
}

static enum err_kind check_retention(struct check *ch, const struct jv *list, struct faults *all,
				     struct err *e)
{
	struct retention *r = NULL;
	enum err_kind k = retention_new(list, all, &r, e);

	(void)ch;
	retention_put(&r);
	return k;
}

static enum err_kind check_quotas(struct check *ch, const struct jv *list, struct faults *all,
				  struct err *e)
{
	struct quotas *q = NULL;
	enum err_kind k = quotas_new(list, all, &q, e);

	(void)ch;
	quotas_put(&q);
	return k;
}

static enum err_kind check_issuers(struct check *ch, const struct jv *list, struct faults *all,
				   struct err *e)
{
	return auth_check_outsiders(list, NULL, ch->depth == CHECK_FILES, all, e);
}

static enum err_kind check_oidc(struct check *ch, const struct jv *list, struct faults *all,
				struct err *e)
{
	return auth_check_outsiders(NULL, list, ch->depth == CHECK_FILES, all, e);
}

static enum err_kind check_certificates(struct check *ch, const struct jv *list, struct faults *all,
					struct err *e)
{
	const struct tls_options o = { .certificates = list };

	return tls_check(&o, ch->depth == CHECK_FILES && jv_count(list) > 0, all, e);
}

static enum err_kind check_endpoints(struct check *ch, const struct jv *list, struct faults *all,
				     struct err *e)
{
	return events_check(list, ch->depth == CHECK_FILES, all, e);
}

static enum err_kind check_writable(struct check *ch, const struct jv *list, struct faults *all,
				    struct err *e)
{
	(void)ch, (void)all;
	for (size_t i = 0; i < jv_count(list); i++) {
		struct str path;

		if (!jv_text(jv_at(list, i), &path) || path.n == 0 || path.p[0] != '/')
			return err_set(e, ERR_INVALID, __func__,
				       "process.writable: each entry must be the absolute path of "
				       "a directory");
	}
	return ERR_OK;
}

static void check_lists(struct check *ch)
{
	const struct conf *c = ch->c;

	check_list(ch, "access", c->access, check_access);
	check_list(ch, "auth.groups", c->auth_groups, check_groups);
	check_list(ch, "retention", c->retention, check_retention);
	check_list(ch, "quotas", c->quotas, check_quotas);
	check_list(ch, "auth.issuers", c->auth_issuers, check_issuers);
	check_list(ch, "auth.oidc", c->auth_oidc, check_oidc);
	check_list(ch, "tls.certificates", c->tls_certificates, check_certificates);
	check_list(ch, "events.endpoints", c->events_endpoints, check_endpoints);
	check_list(ch, "process.writable", c->process_writable, check_writable);
}

/* --- texts that have a form --- */

static enum err_kind check_service(const struct conf *c, struct err *e)
{
	if (name_is_valid(str_of(c->auth_tokens_service.p)))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "auth.tokens.service must be a word of up to %d bytes", NAME_BYTES_MAX);
}

static enum err_kind check_realm(const struct conf *c, struct err *e)
{
	const struct sbuf *realm = &c->auth_tokens_realm;

	for (size_t i = 0; i < realm->n; i++) {
		if (realm->p[i] <= ' ' || realm->p[i] >= 0x7f || strchr("\"\\", realm->p[i]))
			return err_set(e, ERR_INVALID, __func__,
				       "auth.tokens.realm must be an address");
	}
	return ERR_OK;
}

static enum err_kind check_user(const struct conf *c, struct err *e)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else looks for users */
	if (c->process_user.n == 0 || getpwnam(c->process_user.p))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__, "process.user: there is no user %.60s",
		       c->process_user.p);
}

static void check_texts(struct check *ch)
{
	const struct conf *c = ch->c;
	struct origin origin;
	struct proxies proxies;
	struct err e;

	judge(ch, "http.external_url", origin_parse(str_of(c->http_external_url.p), &origin, &e),
	      &e);
	judge(ch, "http.trusted_proxies",
	      proxies_parse(str_of(c->http_trusted_proxies.p), &proxies, &e), &e);
	judge(ch, "auth.tokens.service", check_service(c, &e), &e);
	judge(ch, "auth.tokens.realm", check_realm(c, &e), &e);
	if (ch->depth == CHECK_FILES) { /* while it serves these cannot change, nor be looked up */
		judge(ch, "process.user", check_user(c, &e), &e);
		judge(ch, "listen", listen_check(c->listen.p, false, &e), &e);
		if (c->metrics_listen.n)
			judge(ch, "metrics.listen", listen_check(c->metrics_listen.p, false, &e),
			      &e);
	}
}

/* --- files --- */

static void check_client_authorities(struct check *ch)
{
	struct tls_options o = guard_tls_options(ch->c);
	struct err e;

	o.certificates = NULL;
	if (o.client_ca)
		judge(ch, o.client_crl ? "tls.client_crl" : "tls.client_ca",
		      tls_check(&o, true, NULL, &e), &e);
}

static void check_files(struct check *ch)
{
	const struct conf *c = ch->c;
	AUTO_HTPASSWD *accounts = NULL;
	AUTO_APIKEYS *keys = NULL;
	struct directory_options ldap;
	struct directory *d = NULL;
	char path[GUARD_PATH_MAX];
	struct err e;

	if (c->auth_htpasswd.n)
		judge(ch, "auth.htpasswd", htpasswd_load(c->auth_htpasswd.p, &accounts, &e), &e);
	judge(ch, "auth.directory", apikeys_load(guard_path(c, GUARD_KEYS, path), &keys, &e), &e);
	if (guard_ldap_options(c, &ldap)) {
		judge(ch, "auth.ldap.url", directory_open(&ldap, &d, &e), &e);
		directory_close(&d);
	}
	check_client_authorities(ch);
}

/* --- options against each other --- */

/* Accounts that nothing is allowed to are a mistake that would look like wrong passwords. */
enum err_kind conf_check_rules(const struct conf *c, struct err *e)
{
	AUTO_RULES *r = NULL;

	if (!guard_has_names(c) || jv_count(c->access) > 0)
		return rules_parse(c->access, c->auth_groups, NULL, &r, e);
	return err_set(
	    e, ERR_INVALID, __func__,
	    "there are accounts, but no rule of access lets them do anything; for example "
	    "access: [{who: authenticated, repositories: \"**\", allow: [pull, push, delete]}]");
}

static bool same_address(const char *a, const char *b)
{
	size_t n = strlen(a);

	return strcmp(a, b) == 0 && !(n > 2 && strcmp(a + n - 2, ":0") == 0);
}

static void check_listening(struct check *ch)
{
	const struct conf *c = ch->c;
	bool loopback_only = !c->http_insecure && !guard_is_closed(c);
	struct err e;

	if (ch->depth == CHECK_FILES)
		judge(ch, "listen", listen_check(c->listen.p, loopback_only, &e), &e);
	if (same_address(c->listen.p, c->metrics_listen.p))
		CONFLICT(ch, "metrics.listen", "metrics.listen is the address of listen");
}

static void check_conflicts(struct check *ch)
{
	const struct conf *c = ch->c;
	bool tls = jv_count(c->tls_certificates) > 0;
	struct err e;

	judge(ch, "access", conf_check_rules(c, &e), &e);
	check_listening(ch);
	if (!tls && c->tls_client_ca.n)
		CONFLICT(ch, "tls.client_ca", "tls.client_ca needs tls.certificates");
	if (c->tls_client_crl.n && !c->tls_client_ca.n)
		CONFLICT(ch, "tls.client_crl", "tls.client_crl is of no use without tls.client_ca");
	if (c->auth_tokens_realm.n && jv_count(c->auth_issuers) == 0)
		CONFLICT(ch, "auth.tokens.realm",
			 "auth.tokens.realm sends clients to another token server: auth.issuers "
			 "must say how its tokens are checked");
	if (c->auth_throttle_wait_ms > c->auth_throttle_wait_max_ms)
		CONFLICT(ch, "auth.throttle.wait",
			 "auth.throttle.wait is longer than auth.throttle.wait_max");
	if (c->events_retry_ms > c->events_retry_max_ms)
		CONFLICT(ch, "events.retry", "events.retry is longer than events.retry_max");
	if (c->auth_tokens_refresh_ms < c->auth_tokens_lifetime_ms)
		CONFLICT(ch, "auth.tokens.refresh",
			 "auth.tokens.refresh is shorter than auth.tokens.lifetime");
}

void conf_check(const struct conf *c, enum check_depth depth, struct faults *f)
{
	struct check ch = { .c = c, .faults = f, .depth = depth };
	bool was_read = f->n == 0;

	check_lists(&ch);
	check_texts(&ch);
	if (depth == CHECK_FILES)
		check_files(&ch);
	if (was_read && f->n == 0)
		check_conflicts(&ch);
}
