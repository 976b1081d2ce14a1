/*
 * conf - the options of berthd: one table, three sources (file, environment, command line; strongest last).
 *
 * O1  An option has one dotted name: `gc: {lease: 24h}` in the file, BERTHD_GC_LEASE=24h, --gc.lease=24h.
 * O2  Unknown names and values out of bounds stop the start with a message that says where they stand.
 * O3  After conf_load the struct does not change.
 * O4  Everything that is wrong is found in one go: what cannot be taken is told and left out, and reading goes on.
 * O5  A text "credential:NAME" is the path of that file in $CREDENTIALS_DIRECTORY, where systemd puts secrets.
 * Files  conf_table.c: the options; conf.c: values; conf_file.c: YAML; conf_load.c: the sources; conf_print.c: as text.
 * Units  durations are milliseconds, written with ms s m h d; sizes are bytes, written with K M G T (1024).
 */
#pragma once

#include "base/faults.h"
#include "base/form.h"
#include "base/log.h"
#include "base/str.h"
#include "storage/change.h"

#define LISTEN_MAX 128

struct conf {
	struct sbuf file; /* that it was read from; empty: none */
	char **places;    /* where the value of the i'th option comes from; NULL: its preset */
	struct sbuf root;
	struct sbuf listen;         /* ADDRESS:PORT, [ADDRESS]:PORT for IPv6 */
	struct sbuf metrics_listen; /* the same; empty: none */
	uint64_t health_free_min;
	uint64_t threads, workers;
	uint64_t http_connections, http_connections_per_address;
	uint64_t http_idle_timeout_ms, http_head_timeout_ms, http_drain_ms;
	uint64_t http_min_rate, http_min_rate_grace_ms; /* bytes per second; 0: no minimum */
	uint64_t http_target_max, http_head_max;
	bool http_insecure;
	struct sbuf http_external_url, http_trusted_proxies;
	struct jv *tls_certificates;
	struct sbuf tls_client_ca, tls_client_crl;
	unsigned tls_client_name; /* enum tls_name */
	struct sbuf auth_htpasswd;
	struct jv *auth_groups;
	uint64_t auth_workers, auth_password_cache_ms;
	uint64_t auth_throttle_failures, auth_throttle_wait_ms, auth_throttle_wait_max_ms;
	uint64_t auth_throttle_window_ms;
	struct sbuf auth_directory, auth_tokens_service;
	bool auth_tokens_enabled;
	struct sbuf auth_tokens_realm;
	struct jv *auth_issuers, *auth_oidc;
	struct sbuf auth_ldap_url, auth_ldap_ca, auth_ldap_bind_dn, auth_ldap_bind_password;
	struct sbuf auth_ldap_users, auth_ldap_user_filter, auth_ldap_user_name;
	struct sbuf auth_ldap_groups, auth_ldap_group_filter, auth_ldap_group_name;
	bool auth_ldap_start_tls;
	uint64_t auth_ldap_timeout_ms;
	uint64_t auth_tokens_lifetime_ms, auth_tokens_refresh_ms, auth_tokens_replace_keys_ms;
	struct jv *access;
	uint64_t manifest_size_max, manifest_json_depth_max;
	enum sparse manifest_sparse;
	uint64_t uploads_idle_ms, uploads_sessions_max;
	uint64_t list_page_max, referrers_page_bytes_max;
	uint64_t index_map_size;
	bool gc_enabled;
	uint64_t gc_interval_ms, gc_lease_ms, gc_max_share;
	uint64_t gc_untagged_keep_ms; /* UINT64_MAX: for ever */
	uint64_t trash_keep_ms;
	uint64_t scrub_rate, scrub_interval_ms;
	struct jv *retention;
	struct jv *quotas;
	uint64_t limits_address_requests, limits_address_bytes; /* a second; 0: any number */
	uint64_t limits_identity_requests, limits_identity_bytes, limits_identity_uploads;
	uint64_t limits_burst_ms;
	struct jv *events_endpoints;
	uint64_t events_timeout_ms, events_retry_ms, events_retry_max_ms;
	uint64_t events_keep_ms; /* UINT64_MAX: for ever */
	struct sbuf process_user;
	bool process_confine;
	struct jv *process_writable;
	enum log_level log_level;
	enum log_format log_format;
	unsigned log_levels[LOG_MODULE_N]; /* 0: log_level; otherwise one more than the level */
	bool log_access;
};

/*
 * The value of a list option is an array of objects, lists and texts.  Each object has its line as member CONF_LINE, and those
 * of its members (form.h); no other name has an @.
 */
#define CONF_LINE FORM_LINE

/*
 * args are those after the command: --name=value, --name value, --flag, --config FILE.  ERR_INVALID names the option,
 * where it was given, and what is allowed.
 */
MUST_CHECK enum err_kind conf_load(int n_args, char *const *args, struct conf *ret, struct err *e);
/* The same with all faults told; *ret is to be cleared whatever they are, and has what could be taken. */
void conf_load_all(int n_args, char *const *args, struct conf *ret, struct faults *f);
MUST_CHECK enum err_kind conf_copy(const struct conf *c, struct conf *ret, struct err *e);
void conf_clear(struct conf *c);
/* Is "--name" an option that the next argument belongs to? */
bool conf_takes_value(struct str name);

/* Sets one option; where is what a message says about the place it was given, "FILE:LINE" in a file. */
MUST_CHECK enum err_kind conf_set(struct conf *c, struct str key, struct str value,
				  const char *where, struct err *e);
/* The same for a list, which is consumed. */
MUST_CHECK enum err_kind conf_set_list(struct conf *c, struct str key, struct jv *take,
				       const char *where, struct err *e);
#define CONF_PRESET "preset"
/* That, or what conf_set was told. */
const char *conf_place(const struct conf *c, const char *key);
/* Puts the path that a text stands for (O5), or the text itself, in buf. */
#define CONF_PATH_MAX 4097
MUST_CHECK enum err_kind conf_expand(struct str text, const char *where,
				     char buf[static CONF_PATH_MAX], struct err *e);

/* conf_print.c */
/* Every option with its meaning and value, as a configuration file. */
void conf_dump(const struct conf *c, struct sbuf *b);
/* Every option with its value, secrets masked, and where that comes from: for people, or as a JSON object. */
void conf_show(const struct conf *c, struct sbuf *b);
struct jv *conf_show_json(const struct conf *c);
/* Every option with what it takes, its preset and its other name, three lines each; the manual is made of it. */
void conf_manual(struct sbuf *b);

/* conf_file.c: reads a YAML file into c. */
void conf_read_file(struct conf *c, const char *name, struct faults *f);
/* conf_file.c: a list as YAML or JSON text. */
MUST_CHECK enum err_kind conf_parse_list(struct str text, const char *where, struct jv **ret,
					 struct err *e);
