#include "auth/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <ldap.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "auth/identity.h"
#include "auth/late_libraries.h"
#include "base/fd.h"
#include "base/lock.h"
#include "base/secret.h"

#define IDLE_MAX 8 /* of each sort */
#define FILTER_MAX 4096
#define TEXT_MAX (64u * 1024)
#define DN_MAX 2048
#define NOBODY                                                                                     \
	"cn=nobody-of-this-name" /* whoever is not found is bound as that: it takes as long */

enum sort { SEARCHER, BINDER, SORT_N }; /* bound with our name; bound with anybody's */

struct directory {
	struct directory_options o;
	struct secret_buf password; /* of bind_dn */
	struct ldap_conncb on_connect;
	struct lock mu;
	size_t n_idle[SORT_N];        /* under mu */
	LDAP *idle[SORT_N][IDLE_MAX]; /* under mu */
};

static enum err_kind away(struct err *e, const char *what, int code)
{
	return err_set(e, ERR_AWAY, __func__, "the directory: %s: %s", what, ldap_err2string(code));
}

static enum err_kind refuse(struct err *e)
{
	return err_set(e, ERR_LOGIN, __func__, "wrong name or password");
}

/* --- filters --- */

/* RFC 4515 section 3. */
static void add_escaped(struct sbuf *b, struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];

		sbuf_addf(b, c < ' ' || c >= 0x7f || strchr("*()\\", c) ? "\\%02x" : "%c", c);
	}
}

bool filter_fill(const char *filter, struct str user, struct str dn, struct sbuf *ret)
{
	struct str rest = str_of(filter), head;

	sbuf_init(ret, FILTER_MAX);
	while (str_cut(rest, '$', &head, &rest)) {
		bool is_user = str_starts(rest, STR("{user}"));
		bool is_dn = str_starts(rest, STR("{dn}"));
		size_t n = is_user ? 6 : (is_dn ? 4 : 0);

		sbuf_add_str(ret, head);
		if (n == 0)
			sbuf_add(ret, "$", 1);
		else
			add_escaped(ret, is_user ? user : dn);
		rest = (struct str){ rest.p + n, rest.n - n };
	}
	sbuf_add_str(ret, head);
	return !ret->failed;
}

/* --- time-outs --- */

/*
 * libldap's own time-outs leave out the handshake of TLS: a server that accepts and says nothing would hold us for ever.  So
 * this layer above the socket waits for it, in either mode, no longer than the time-out; what libraries would take for "try
 * again" is an error then.
 */
static bool may_try_again(Sockbuf_IO_Desc *d, ber_slen_t n, short events)
{
	const struct directory *dir = d->sbiod_pvt;
	struct pollfd p = { .fd = -1, .events = events };

	if (n >= 0 || errno != EAGAIN)
		return false;
	errno = ETIMEDOUT; /* of a socket that blocks: SO_RCVTIMEO, SO_SNDTIMEO */
	if (ber_sockbuf_ctrl(d->sbiod_sb, LBER_SB_OPT_GET_FD, &p.fd) < 0 ||
	    !(fcntl(p.fd, F_GETFL) & O_NONBLOCK))
		return false;
	n = poll(&p, 1, (int)dir->o.timeout_ms);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0;
}

static int timed_setup(Sockbuf_IO_Desc *d, void *arg)
{
	d->sbiod_pvt = arg;
	return 0;
}

static ber_slen_t timed_read(Sockbuf_IO_Desc *d, void *buf, ber_len_t len)
{
	ber_slen_t n = LBER_SBIOD_READ_NEXT(d, buf, len);

	return may_try_again(d, n, POLLIN) ? LBER_SBIOD_READ_NEXT(d, buf, len) : n;
}

static ber_slen_t timed_write(Sockbuf_IO_Desc *d, void *buf, ber_len_t len)
{
	ber_slen_t n = LBER_SBIOD_WRITE_NEXT(d, buf, len);

	return may_try_again(d, n, POLLOUT) ? LBER_SBIOD_WRITE_NEXT(d, buf, len) : n;
}

static int timed_control(Sockbuf_IO_Desc *d, int option, void *arg)
{
	return LBER_SBIOD_CTRL_NEXT(d, option, arg);
}

static Sockbuf_IO timed_io = { .sbi_setup = timed_setup,
			       .sbi_ctrl = timed_control,
			       .sbi_read = timed_read,
			       .sbi_write = timed_write };

static struct timeval time_of(uint64_t ms)
{
	return (struct timeval){ (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };
}

static int on_connect(LDAP *ld, Sockbuf *sb, LDAPURLDesc *url, struct sockaddr *address,
		      struct ldap_conncb *cb)
{
	const struct directory *d = cb->lc_arg;
	const struct timeval t = time_of(d->o.timeout_ms);
	int fd = -1;

	(void)ld, (void)url, (void)address;
	if (ber_sockbuf_ctrl(sb, LBER_SB_OPT_GET_FD, &fd) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) < 0 ||
	    ber_sockbuf_add_io(sb, &timed_io, LBER_SBIOD_LEVEL_PROVIDER + 1, cb->lc_arg) < 0)
		return LDAP_LOCAL_ERROR;
	return LDAP_SUCCESS;
}

static void on_disconnect(LDAP *ld, Sockbuf *sb, struct ldap_conncb *cb)
{
	(void)ld, (void)sb, (void)cb;
}

/* --- options --- */

/* Nobody between us and it can listen. */
static bool is_private(const struct directory_options *o)
{
	LDAPURLDesc *u = NULL;
	bool good;

	if (ldap_url_parse(o->url, &u) != LDAP_SUCCESS)
		return false;
	good = strcmp(u->lud_scheme, "ldaps") == 0 || strcmp(u->lud_scheme, "ldapi") == 0 ||
	       (strcmp(u->lud_scheme, "ldap") == 0 &&
		(o->start_tls || (u->lud_host && (strcmp(u->lud_host, "127.0.0.1") == 0 ||
						  strcmp(u->lud_host, "localhost") == 0 ||
						  strcmp(u->lud_host, "::1") == 0))));
	ldap_free_urldesc(u);
	return good;
}

static enum err_kind check_options(const struct directory_options *o, struct err *e)
{
	const char *wrong = NULL;

	if (!is_private(o))
		wrong =
		    "url must be ldaps://HOST or ldapi://PATH, or ldap://HOST with start_tls or "
		    "on this machine";
	else if (!o->users || !*o->users)
		wrong = "users must say below which entry people are";
	else if (!strstr(o->user_filter, "${user}"))
		wrong = "user_filter must have ${user} in it";
	else if (o->groups && !strstr(o->group_filter, "${dn}") &&
		 !strstr(o->group_filter, "${user}"))
		wrong = "group_filter must have ${dn} or ${user} in it";
	else if ((o->bind_dn == NULL) != (o->bind_password == NULL))
		wrong = "bind_dn and bind_password go together";
	return wrong ? err_set(e, ERR_INVALID, __func__, "auth.ldap.%s", wrong) : ERR_OK;
}

/* The first line of the file. */
static enum err_kind read_password(struct directory *d, struct err *e)
{
	AUTO_SBUF text;
	struct str line, rest;
	enum err_kind k;

	sbuf_init(&text, SECRET_MAX);
	k = fd_read_path(d->o.bind_password, &text, e);
	(void)str_cut((struct str){ text.p ? text.p : "", text.n }, '\n', &line, &rest);
	if (k == ERR_OK && line.n == 0)
		k = err_set(e, ERR_INVALID, __func__, "%.150s: is empty", d->o.bind_password);
	if (k == ERR_OK) {
		memcpy(d->password.p, line.p, line.n);
		d->password.n = line.n;
	}
	if (text.p)
		secret_wipe(text.p, text.cap);
	return k;
}

enum err_kind directory_open(const struct directory_options *o, struct directory **ret,
			     struct err *e)
{
	struct directory *d = calloc(1, sizeof(*d));
	enum err_kind k = late_load(&late_ldap, e);

	*ret = NULL;
	if (k == ERR_OK)
		k = check_options(o, e);
	if (!d)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a directory");
	d->o = *o;
	d->on_connect = (struct ldap_conncb){ on_connect, on_disconnect, d };
	lock_init(&d->mu, LOCK_AUTH);
	if (k == ERR_OK && o->bind_password)
		k = read_password(d, e);
	if (k == ERR_OK)
		*ret = TAKE(d);
	directory_close(&d);
	return k;
}

void directory_close(struct directory **take)
{
	struct directory *d = TAKE(*take);

	if (!d)
		return;
	for (int sort = 0; sort < SORT_N; sort++) {
		while (d->n_idle[sort])
			(void)ldap_unbind_ext_s(d->idle[sort][--d->n_idle[sort]], NULL, NULL);
	}
	secret_clear(&d->password);
	lock_clear(&d->mu);
	free(d);
}

/* --- connections --- */

static bool set_options(LDAP *ld, const struct directory_options *o)
{
	const struct timeval t = time_of(o->timeout_ms);
	const int version = LDAP_VERSION3, hard = LDAP_OPT_X_TLS_HARD, client = 0;
	const int tls_min = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2;

	return ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &t) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(ld, LDAP_OPT_TIMEOUT, &t) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &hard) == LDAP_OPT_SUCCESS &&
	       ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &tls_min) == LDAP_OPT_SUCCESS &&
	       (!o->ca ||
		ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, o->ca) == LDAP_OPT_SUCCESS) &&
	       ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) == LDAP_OPT_SUCCESS;
}

static int bind_as(LDAP *ld, const char *dn, struct str password)
{
	struct berval secret = { .bv_len = password.n, .bv_val = (char *)(uintptr_t)password.p };

	return ldap_sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
}

static enum err_kind connect_new(struct directory *d, enum sort sort, LDAP **ret, struct err *e)
{
	const struct str password = { d->password.p, d->password.n };
	LDAP *ld = NULL;
	const char *what = "connect";
	int code = ldap_initialize(&ld, d->o.url);

	if (code == LDAP_SUCCESS &&
	    (!set_options(ld, &d->o) ||
	     ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &d->on_connect) != LDAP_OPT_SUCCESS))
		code = LDAP_LOCAL_ERROR;
	if (code == LDAP_SUCCESS && d->o.start_tls) {
		what = "StartTLS";
		code = ldap_start_tls_s(ld, NULL, NULL);
	}
	if (code == LDAP_SUCCESS && sort == SEARCHER && d->o.bind_dn) {
		what = "bind with auth.ldap.bind_dn";
		code = bind_as(ld, d->o.bind_dn, password);
	}
	if (code == LDAP_SUCCESS) {
		*ret = ld;
		return ERR_OK;
	}
	if (ld)
		(void)ldap_unbind_ext_s(ld, NULL, NULL);
	return away(e, what, code);
}

/* NULL: none is idle. */
static LDAP *take_idle(struct directory *d, enum sort sort)
{
	LDAP *ld = NULL;

	lock_get(&d->mu);
	if (d->n_idle[sort])
		ld = d->idle[sort][--d->n_idle[sort]];
	lock_put(&d->mu);
	return ld;
}

static void give_back(struct directory *d, enum sort sort, LDAP *take)
{
	lock_get(&d->mu);
	if (d->n_idle[sort] < IDLE_MAX)
		d->idle[sort][d->n_idle[sort]++] = TAKE(take);
	lock_put(&d->mu);
	if (take)
		(void)ldap_unbind_ext_s(take, NULL, NULL);
}

/* Something to be done on a connection.  The code is libldap's. */
typedef int talk_fn(const struct directory *d, LDAP *ld, void *arg);

/* The server closed the connection while it was idle, or answers on none. */
static bool has_died(int code)
{
	return code == LDAP_SERVER_DOWN || code == LDAP_UNAVAILABLE || code == LDAP_CONNECT_ERROR;
}

static bool is_answer(int code)
{
	return code == LDAP_SUCCESS || code == LDAP_NO_SUCH_OBJECT ||
	       code == LDAP_SIZELIMIT_EXCEEDED || code == LDAP_INVALID_CREDENTIALS ||
	       code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_UNWILLING_TO_PERFORM ||
	       code == LDAP_CONSTRAINT_VIOLATION || code == LDAP_INVALID_DN_SYNTAX;
}

/* On an idle connection, and if that has died on a new one. */
static enum err_kind talk(struct directory *d, enum sort sort, talk_fn *fn, void *arg,
			  int *ret_code, struct err *e)
{
	LDAP *ld = take_idle(d, sort);

	if (ld) {
		*ret_code = fn(d, ld, arg);
		if (is_answer(*ret_code)) {
			give_back(d, sort, ld);
			return ERR_OK;
		}
		(void)ldap_unbind_ext_s(ld, NULL, NULL);
		if (!has_died(*ret_code))
			return away(e, "ask", *ret_code);
	}
	if (connect_new(d, sort, &ld, e) != ERR_OK)
		return e->kind;
	*ret_code = fn(d, ld, arg);
	if (is_answer(*ret_code)) {
		give_back(d, sort, ld);
		return ERR_OK;
	}
	(void)ldap_unbind_ext_s(ld, NULL, NULL);
	return away(e, "ask", *ret_code);
}

/* --- people --- */

struct search {
	const char *base, *filter, *attribute;
	int limit;
	/* Gets the attribute's values of each entry. */
	bool (*found)(void *arg, const char *dn, struct berval *const *values);
	void *arg;
	bool failed;
};

static void read_entry(LDAP *ld, LDAPMessage *entry, struct search *s)
{
	char *dn = ldap_get_dn(ld, entry);
	struct berval **values = ldap_get_values_len(ld, entry, s->attribute);

	if (!dn || !s->found(s->arg, dn, values))
		s->failed = true;
	ldap_memfree(dn);
	ldap_value_free_len(values);
}

static int run_search(const struct directory *d, LDAP *ld, void *arg)
{
	struct search *s = arg;
	char attribute[256], *attributes[] = { attribute, NULL };
	LDAPMessage *answer = NULL;
	int code;

	(void)d;
	(void)snprintf(attribute, sizeof(attribute), "%s", s->attribute);
	code = ldap_search_ext_s(ld, s->base, LDAP_SCOPE_SUBTREE, s->filter, attributes, 0, NULL,
				 NULL, NULL, s->limit, &answer);
	if (code == LDAP_SUCCESS) {
		for (LDAPMessage *m = ldap_first_entry(ld, answer); m; m = ldap_next_entry(ld, m))
			read_entry(ld, m, s);
	}
	(void)ldap_msgfree(answer);
	return code;
}

struct found {
	size_t n;
	char dn[DN_MAX];
	struct person *person;
	size_t name_n;
};

static bool on_person(void *arg, const char *dn, struct berval *const *values)
{
	struct found *f = arg;
	struct sbuf *b = &f->person->text;

	f->n++;
	if (!values || !values[0] || !str_copy(str_of(dn), f->dn, sizeof(f->dn)))
		return false;
	b->n = 0;
	sbuf_add(b, values[0]->bv_val, values[0]->bv_len);
	f->name_n = b->n;
	sbuf_add(b, "", 1);
	return !b->failed;
}

/* ERR_LOGIN unless there is exactly one. */
static enum err_kind find_person(struct directory *d, struct str name, struct found *f,
				 struct err *e)
{
	AUTO_SBUF filter = { .n = 0 };
	struct search s = { .base = d->o.users,
			    .attribute = d->o.user_name,
			    .limit = 2,
			    .found = on_person,
			    .arg = f };
	int code = LDAP_SUCCESS;
	enum err_kind k;

	if (!filter_fill(d->o.user_filter, name, (struct str){ "", 0 }, &filter))
		return refuse(e);
	s.filter = filter.p;
	k = talk(d, SEARCHER, run_search, &s, &code, e);
	if (k != ERR_OK)
		return k;
	if (code == LDAP_SIZELIMIT_EXCEEDED || f->n > 1)
		return err_set(e, ERR_LOGIN, __func__, "several entries of the directory match");
	if (code != LDAP_SUCCESS || f->n == 0)
		return refuse(e);
	if (s.failed || !name_is_valid((struct str){ f->person->text.p, f->name_n }))
		return err_set(e, ERR_LOGIN, __func__, "an entry without a name that can be one");
	return ERR_OK;
}

struct group_ends {
	struct person *person;
	size_t ends[PERSON_GROUPS_MAX];
};

static bool on_group(void *arg, const char *dn, struct berval *const *values)
{
	struct group_ends *g = arg;
	struct sbuf *b = &g->person->text;

	(void)dn;
	if (!values || !values[0])
		return true; /* one without a name cannot be meant */
	if (g->person->n_groups == PERSON_GROUPS_MAX)
		return false;
	name_encode(b, (struct str){ values[0]->bv_val, values[0]->bv_len });
	g->ends[g->person->n_groups++] = b->n;
	sbuf_add(b, "", 1);
	return !b->failed;
}

/* Less than all groups could be more rights, so that is no answer. */
static enum err_kind find_groups(struct directory *d, const struct found *f, struct group_ends *g,
				 struct err *e)
{
	AUTO_SBUF filter = { .n = 0 };
	struct search s = {
		.base = d->o.groups, .attribute = d->o.group_name, .found = on_group, .arg = g
	};
	struct str name = { f->person->text.p, f->name_n };
	int code = LDAP_SUCCESS;
	enum err_kind k;

	if (!d->o.groups)
		return ERR_OK;
	if (!filter_fill(d->o.group_filter, name, str_of(f->dn), &filter))
		return err_set(e, ERR_AWAY, __func__, "the directory: a name is too long");
	s.filter = filter.p;
	k = talk(d, SEARCHER, run_search, &s, &code, e);
	if (k == ERR_OK && (code != LDAP_SUCCESS || s.failed))
		k = away(e, "groups", code == LDAP_SUCCESS ? LDAP_SIZELIMIT_EXCEEDED : code);
	return k;
}

static enum err_kind complete(struct directory *d, const struct found *f, struct err *e)
{
	struct group_ends g = { .person = f->person };
	struct person *p = f->person;
	enum err_kind k = find_groups(d, f, &g, e);
	size_t from = f->name_n + 1;

	if (k != ERR_OK)
		return k;
	p->name = (struct str){ p->text.p, f->name_n };
	for (size_t i = 0; i < p->n_groups; i++) {
		p->groups[i] = (struct str){ p->text.p + from, g.ends[i] - from };
		from = g.ends[i] + 1;
	}
	return ERR_OK;
}

struct binding {
	const char *dn;
	struct str password;
};

static int run_bind(const struct directory *d, LDAP *ld, void *arg)
{
	const struct binding *b = arg;

	(void)d;
	return bind_as(ld, b->dn, b->password);
}

static enum err_kind bind_person(struct directory *d, const char *dn, struct str password,
				 struct err *e)
{
	struct binding b = { dn, password };
	int code = LDAP_SUCCESS;
	enum err_kind k = talk(d, BINDER, run_bind, &b, &code, e);

	return k == ERR_OK && code != LDAP_SUCCESS ? refuse(e) : k;
}

void person_clear(struct person *p)
{
	sbuf_clear(&p->text);
}

enum err_kind directory_check(struct directory *d, struct str name, struct str password,
			      struct person *ret, struct err *e)
{
	struct found f = { .person = ret };
	char nobody[DN_MAX];
	struct err ignored;
	enum err_kind k;

	sbuf_init(&ret->text, TEXT_MAX);
	ret->n_groups = 0;
	if (password.n == 0)
		return refuse(e);
	k = find_person(d, name, &f, e);
	if (k == ERR_LOGIN) {
		(void)snprintf(nobody, sizeof(nobody), NOBODY ",%s", d->o.users);
		(void)!bind_person(d, nobody, password, &ignored);
		return k;
	}
	if (k == ERR_OK)
		k = bind_person(d, f.dn, password, e);
	return k == ERR_OK ? complete(d, &f, e) : k;
}

enum err_kind directory_find(struct directory *d, struct str name, struct person *ret,
			     struct err *e)
{
	struct found f = { .person = ret };
	enum err_kind k;

	sbuf_init(&ret->text, TEXT_MAX);
	ret->n_groups = 0;
	k = find_person(d, name, &f, e);
	return k == ERR_OK ? complete(d, &f, e) : k;
}
