#include "server/tls.h"

#include <fcntl.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/filewatch.h"
#include "base/form.h"
#include "base/lock.h"
#include "base/secret.h"
#include "server/late_gnutls.h"

#define PEM_MAX (4u * 1024 * 1024)
#define CHAIN_MAX 16
#define JUDGED_AGAIN_MS 60000 /* a certificate may end while its connection goes on */
#define PAIRS_MAX 256
#define FILES_MAX (2 * PAIRS_MAX + 2)

const char tls_priorities[] =
    "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA:+ECDHE-RSA:-CIPHER-ALL:"
    "+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:-MAC-ALL:+AEAD:%SERVER_PRECEDENCE";

/* The pairs for a name with a star, which GnuTLS does not find by itself. */
struct wildcard {
	char name[256]; /* "*.example.org" */
	gnutls_certificate_credentials_t credentials;
};

/* Everything that was read from the files at one time. */
struct set {
	_Atomic unsigned refs;
	gnutls_certificate_credentials_t credentials; /* all pairs */
	size_t n_wildcards;
	struct wildcard *wildcards;
	gnutls_x509_trust_list_t trust; /* NULL: clients show no certificates */
	size_t n_leaves;
	gnutls_x509_crt_t *leaves;
};

struct pair {
	const char *certificate, *key;
};

struct tls {
	struct tls_options o;
	struct jv *certificates; /* o's */
	size_t n_pairs;
	struct pair *pairs; /* texts of the configuration */
	size_t n_files;
	struct filewatch *files;
	struct lock mu;
	struct set *newest; /* under mu */
};

struct tls_conn {
	struct tls *tls;
	gnutls_session_t session;
	struct set *set;
	/* What was made of the client's certificate, and by which set's authorities. */
	struct set *judged_by;
	uint64_t judged_mono_ms;
	struct identity *identity;
	enum err_kind failed;
	struct err failure;
};

/* --- sets --- */

static enum err_kind refuse(const char *file, int code, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "%.150s: %s", file, gnutls_strerror(code));
}

static enum err_kind read_pem(const char *file, struct sbuf *b, struct err *e)
{
	sbuf_init(b, PEM_MAX);
	return fd_read_path(file, b, e);
}

static gnutls_datum_t datum(const struct sbuf *b)
{
	return (gnutls_datum_t){ (unsigned char *)b->p, (unsigned)b->n };
}

static void wipe(struct sbuf *b)
{
	if (b->p)
		secret_wipe(b->p, b->cap);
	sbuf_clear(b);
}

/* The first certificate of a file, which is ours; the rest leads to an authority. */
static enum err_kind keep_leaf(struct set *s, const struct pair *p, const struct sbuf *pem,
			       struct err *e)
{
	gnutls_datum_t d = datum(pem);
	int r = gnutls_x509_crt_init(&s->leaves[s->n_leaves]);

	if (r < 0)
		return refuse(p->certificate, r, e);
	s->n_leaves++;
	r = gnutls_x509_crt_import(s->leaves[s->n_leaves - 1], &d, GNUTLS_X509_FMT_PEM);
	return r < 0 ? refuse(p->certificate, r, e) : ERR_OK;
}

static enum err_kind add_pair(gnutls_certificate_credentials_t to, const struct pair *p,
			      const struct sbuf *certificate, const struct sbuf *key, struct err *e)
{
	gnutls_datum_t c = datum(certificate), d = datum(key);
	int r = gnutls_certificate_set_x509_key_mem(to, &c, &d, GNUTLS_X509_FMT_PEM);

	return r < 0 ? err_set(e, ERR_INVALID, __func__, "%.100s with %.100s: %s", p->certificate,
			       p->key, gnutls_strerror(r))
		     : ERR_OK;
}

static struct wildcard *wildcard_of(struct set *s, struct str name)
{
	for (size_t i = 0; i < s->n_wildcards; i++) {
		if (str_eq_nocase(str_of(s->wildcards[i].name), name))
			return &s->wildcards[i];
	}
	return NULL;
}

static enum err_kind add_wildcard(struct set *s, struct str name, struct wildcard **ret,
				  struct err *e)
{
	struct wildcard *more = reallocarray(s->wildcards, s->n_wildcards + 1, sizeof(*more)), *w;

	if (!more)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	s->wildcards = more;
	w = &more[s->n_wildcards];
	memset(w, 0, sizeof(*w));
	if (!str_copy(name, w->name, sizeof(w->name)))
		return err_set(e, ERR_INVALID, __func__, "a name in a certificate has a NUL");
	if (gnutls_certificate_allocate_credentials(&w->credentials) < 0)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	s->n_wildcards++;
	*ret = w;
	return ERR_OK;
}

/* The names with a star of the pair that was read last. */
static enum err_kind keep_wildcards(struct set *s, const struct pair *p,
				    const struct sbuf *certificate, const struct sbuf *key,
				    struct err *e)
{
	gnutls_x509_crt_t leaf = s->leaves[s->n_leaves - 1];
	enum err_kind k = ERR_OK;

	for (unsigned i = 0; k == ERR_OK; i++) {
		char name[256];
		size_t n = sizeof(name);
		struct wildcard *w;
		int type = gnutls_x509_crt_get_subject_alt_name(leaf, i, name, &n, NULL);

		if (type < 0 && type != GNUTLS_E_SHORT_MEMORY_BUFFER)
			break;
		if (type != GNUTLS_SAN_DNSNAME || n < 2 || memcmp(name, "*.", 2) != 0)
			continue;
		w = wildcard_of(s, (struct str){ name, n });
		if (!w)
			k = add_wildcard(s, (struct str){ name, n }, &w, e);
		if (k == ERR_OK)
			k = add_pair(w->credentials, p, certificate, key, e);
	}
	return k;
}

static enum err_kind load_pair(struct set *s, const struct pair *p, struct err *e)
{
	struct sbuf certificate = { .p = NULL }, key = { .p = NULL };
	enum err_kind k = read_pem(p->certificate, &certificate, e);

	if (k == ERR_OK)
		k = read_pem(p->key, &key, e);
	if (k ==
	    ERR_OK) /* first: what GnuTLS (3.7.9) makes of half a certificate with a key, it loses */
		k = keep_leaf(s, p, &certificate, e);
	if (k == ERR_OK)
		k = add_pair(s->credentials, p, &certificate, &key, e);
	if (k == ERR_OK)
		k = keep_wildcards(s, p, &certificate, &key, e);
	sbuf_clear(&certificate);
	wipe(&key);
	return k;
}

static enum err_kind load_authorities(struct set *s, const char *file, struct err *e)
{
	AUTO_SBUF pem;
	gnutls_datum_t d;
	enum err_kind k = read_pem(file, &pem, e);
	int r;

	if (k != ERR_OK)
		return k;
	d = datum(&pem);
	r = gnutls_x509_trust_list_init(&s->trust, 0);
	if (r >= 0)
		r = gnutls_x509_trust_list_add_trust_mem(s->trust, &d, NULL, GNUTLS_X509_FMT_PEM,
							 GNUTLS_TL_NO_DUPLICATES, 0);
	if (r == 0)
		return err_set(e, ERR_INVALID, __func__, "%.150s has no certificate in it", file);
	return r < 0 ? refuse(file, r, e) : ERR_OK;
}

static enum err_kind load_revocations(struct set *s, const char *file, struct err *e)
{
	AUTO_SBUF pem;
	gnutls_datum_t d;
	enum err_kind k = read_pem(file, &pem, e);
	int r;

	if (k != ERR_OK)
		return k;
	d = datum(&pem);
	/* a list that no authority of ours signed is not one */
	r = gnutls_x509_trust_list_add_trust_mem(s->trust, NULL, &d, GNUTLS_X509_FMT_PEM,
						 GNUTLS_TL_VERIFY_CRL, 0);
	if (r == 0)
		return err_set(e, ERR_INVALID, __func__,
			       "%.150s has no revocation list of an authority in tls.client_ca",
			       file);
	return r < 0 ? refuse(file, r, e) : ERR_OK;
}

static void set_put(struct set **take)
{
	struct set *s = TAKE(*take);

	if (!s || --s->refs)
		return;
	for (size_t i = 0; i < s->n_leaves; i++)
		gnutls_x509_crt_deinit(s->leaves[i]);
	free(s->leaves);
	if (s->trust)
		gnutls_x509_trust_list_deinit(s->trust, 1);
	if (s->credentials)
		gnutls_certificate_free_credentials(s->credentials);
	for (size_t i = 0; i < s->n_wildcards; i++)
		gnutls_certificate_free_credentials(s->wildcards[i].credentials);
	free(s->wildcards);
	free(s);
}

static struct set *set_get(struct set *s)
{
	s->refs++;
	return s;
}

static struct set *newest(struct tls *t)
{
	struct set *s;

	lock_get(&t->mu);
	s = set_get(t->newest);
	lock_put(&t->mu);
	return s;
}

static enum err_kind load_set(const struct tls *t, struct set **ret, struct err *e)
{
	struct set *s = calloc(1, sizeof(*s));
	enum err_kind k = ERR_OK;

	if (s) {
		s->refs = 1;
		s->leaves = calloc(t->n_pairs + 1, sizeof(gnutls_x509_crt_t));
	}
	if (!s || !s->leaves || gnutls_certificate_allocate_credentials(&s->credentials) < 0)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	for (size_t i = 0; i < t->n_pairs && k == ERR_OK; i++)
		k = load_pair(s, &t->pairs[i], e);
	if (k == ERR_OK && t->o.client_ca)
		k = load_authorities(s, t->o.client_ca, e);
	if (k == ERR_OK && t->o.client_crl)
		k = load_revocations(s, t->o.client_crl, e);
	if (k == ERR_OK)
		*ret = TAKE(s);
	set_put(&s);
	return k;
}

static enum err_kind load(struct tls *t, struct err *e)
{
	struct set *new = NULL, *old;
	enum err_kind k = late_load(&late_gnutls, e);

	for (size_t i = 0; i < t->n_files; i++)
		filewatch_mark(&t->files[i]);
	if (k == ERR_OK)
		k = load_set(t, &new, e);
	if (k != ERR_OK)
		return k;
	lock_get(&t->mu);
	old = t->newest;
	t->newest = new;
	lock_put(&t->mu);
	set_put(&old);
	return ERR_OK;
}

/* --- start and end --- */

static void add_file(struct tls *t, const char *path)
{
	if (path)
		filewatch_init(&t->files[t->n_files++], path);
}

static enum err_kind read_pairs(struct tls *t, struct faults *all, struct err *e)
{
	size_t n = jv_count(t->o.certificates);
	enum err_kind k = ERR_OK;

	if (n > PAIRS_MAX)
		return err_set(e, ERR_INVALID, __func__,
			       "tls.certificates has more than %d entries", PAIRS_MAX);
	t->pairs = calloc(n ? n : 1, sizeof(*t->pairs));
	t->files = calloc(FILES_MAX, sizeof(*t->files));
	if (!t->pairs || !t->files)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	for (; t->n_pairs < n && k == ERR_OK; t->n_pairs++) {
		struct pair *p = &t->pairs[t->n_pairs];
		struct form f;

		form_open(&f, "tls.certificates", jv_at(t->o.certificates, t->n_pairs), all);
		p->certificate = form_z(&f, "certificate", true);
		p->key = form_z(&f, "key", true);
		k = form_close(&f, e);
		add_file(t, p->certificate);
		add_file(t, p->key);
	}
	add_file(t, t->o.client_ca);
	add_file(t, t->o.client_crl);
	if (k == ERR_OK && t->o.client_crl && !t->o.client_ca)
		k = err_set(e, ERR_INVALID, __func__,
			    "tls.client_crl is of no use without tls.client_ca");
	return k;
}

static enum err_kind make(const struct tls_options *o, bool files, struct faults *all,
			  struct tls **ret, struct err *e)
{
	struct tls *t = calloc(1, sizeof(*t));
	enum err_kind k;

	*ret = NULL;
	if (!t)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	t->o = *o;
	if (o->certificates)
		t->o.certificates = t->certificates = jv_share(o->certificates);
	lock_init(&t->mu, LOCK_AUTH);
	k = read_pairs(t, all, e);
	if (k == ERR_OK && files)
		k = load(t, e);
	if (k == ERR_OK)
		*ret = TAKE(t);
	tls_close(&t);
	return k;
}

enum err_kind tls_open(const struct tls_options *o, struct tls **ret, struct err *e)
{
	return make(o, true, NULL, ret, e);
}

enum err_kind tls_check(const struct tls_options *o, bool files, struct faults *all, struct err *e)
{
	struct tls *t;
	enum err_kind k = make(o, files, all, &t, e);

	tls_close(&t);
	return k;
}

void tls_close(struct tls **take)
{
	struct tls *t = TAKE(*take);

	if (!t)
		return;
	set_put(&t->newest);
	lock_clear(&t->mu);
	jv_free(&t->certificates);
	free(t->pairs);
	free(t->files);
	free(t);
}

void tls_take_over(struct tls *t, struct tls **take)
{
	struct tls *other = *take,
		   was = { .certificates = t->certificates, .pairs = t->pairs, .files = t->files };
	struct set *set;

	t->o.certificates = t->certificates = other->certificates;
	t->n_pairs = other->n_pairs;
	t->pairs = other->pairs;
	t->n_files = other->n_files;
	t->files = other->files;
	other->certificates = was.certificates;
	other->pairs = was.pairs;
	other->files = was.files;
	lock_get(&t->mu);
	set = t->newest;
	t->newest = other->newest;
	lock_put(&t->mu);
	other->newest = set;
	tls_close(take);
}

void tls_tend(struct tls *t, bool at_once, auth_note_fn *note, void *arg)
{
	bool changed = at_once, bad;
	struct err e;

	for (size_t i = 0; i < t->n_files; i++)
		changed = filewatch_changed(&t->files[i]) || changed;
	if (!changed)
		return;
	bad = load(t, &e) != ERR_OK;
	note(arg, bad, "tls.certificates", bad ? e.msg : "read");
}

bool tls_has_name(struct tls *t, const char *host)
{
	struct set *s = newest(t);
	bool found = false;

	for (size_t i = 0; i < s->n_leaves && !found; i++)
		found = gnutls_x509_crt_check_hostname(s->leaves[i], host) != 0;
	set_put(&s);
	return found;
}

/* --- connections --- */

/* NOLINTBEGIN(readability-non-const-parameter): the type is the library's */
static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
		    gnutls_pcert_st **certificates, unsigned *n_certificates,
		    gnutls_ocsp_data_st **ocsp, unsigned *n_ocsp, gnutls_privkey_t *key,
		    unsigned *flags)
{
	(void)session, (void)info, (void)certificates, (void)n_certificates;
	(void)ocsp, (void)n_ocsp, (void)key, (void)flags;
	return -1;
}
/* NOLINTEND(readability-non-const-parameter) */

tls_callback *tls_retrieve(void)
{
	gnutls_certificate_retrieve_function3 *fn = retrieve;

	return (tls_callback *)fn;
}

/* Has some certificate this very name? */
static bool has_exactly(const struct set *s, const char *name)
{
	for (size_t i = 0; i < s->n_leaves; i++) {
		if (gnutls_x509_crt_check_hostname2(s->leaves[i], name,
						    GNUTLS_VERIFY_DO_NOT_ALLOW_WILDCARDS))
			return true;
	}
	return false;
}

/* The client's name for us has been read, and no certificate chosen. */
static int after_hello(gnutls_session_t session)
{
	struct tls_conn *c = gnutls_session_get_ptr(session);
	char name[256], pattern[256];
	size_t n = sizeof(name);
	unsigned type;
	const char *dot;
	const struct wildcard *w;

	if (gnutls_server_name_get(session, name, &n, &type, 0) < 0 || type != GNUTLS_NAME_DNS)
		return 0;
	dot = strchr(name, '.');
	if (!dot || dot == name || has_exactly(c->set, name))
		return 0;
	(void)snprintf(pattern, sizeof(pattern), "*%s", dot);
	w = wildcard_of(c->set, str_of(pattern));
	return w ? gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, w->credentials) : 0;
}

struct tls_conn *tls_begin(struct tls *t, void *session)
{
	struct tls_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->tls = t;
	c->session = session;
	c->set = newest(t);
	if (gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE, c->set->credentials) < 0) {
		tls_end(&c);
		return NULL;
	}
	/* the library wants its pointer back for pre-shared keys only, which we do not have */
	gnutls_session_set_ptr(c->session, c);
	if (c->set->n_wildcards)
		gnutls_handshake_set_post_client_hello_function(c->session, after_hello);
	if (c->set->trust) {
		/* which authorities we know is nobody's business, and clients choose better without */
		gnutls_certificate_send_x509_rdn_sequence(c->session, 1);
		gnutls_certificate_server_set_request(c->session, GNUTLS_CERT_REQUEST);
	}
	return c;
}

void tls_end(struct tls_conn **take)
{
	struct tls_conn *c = TAKE(*take);

	if (!c)
		return;
	set_put(&c->set);
	set_put(&c->judged_by);
	identity_put(&c->identity);
	free(c);
}

/* --- clients' certificates --- */

static enum err_kind no_login(struct err *e, const char *why)
{
	return err_set(e, ERR_LOGIN, __func__, "client certificate: %s", why);
}

static bool is_for_clients(gnutls_x509_crt_t leaf)
{
	for (unsigned i = 0;; i++) {
		char oid[128];
		size_t n = sizeof(oid);
		int r = gnutls_x509_crt_get_key_purpose_oid(leaf, i, oid, &n, NULL);

		if (r < 0)
			return false;
		if (strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0)
			return true;
	}
}

static enum err_kind check_chain(struct set *by, gnutls_x509_crt_t *chain, unsigned n,
				 struct err *e)
{
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT
	};
	unsigned status = 0;
	int r;

	if (gnutls_x509_crt_get_ca_status(chain[0], NULL) > 0)
		return no_login(e, "it is an authority's");
	if (!is_for_clients(chain[0]))
		return no_login(e, "it is not for clients (extended key usage)");
	r = gnutls_x509_trust_list_verify_crt2(by->trust, chain, n, &purpose, 1, 0, &status, NULL);
	if (r < 0 || status & GNUTLS_CERT_SIGNER_NOT_FOUND)
		return no_login(e, "it leads to no authority in tls.client_ca");
	if (status & GNUTLS_CERT_REVOKED)
		return no_login(e, "it was revoked");
	if (status & (GNUTLS_CERT_EXPIRED | GNUTLS_CERT_NOT_ACTIVATED))
		return no_login(e, "it does not hold now");
	if (status & GNUTLS_CERT_INVALID)
		return no_login(e, "it is not valid");
	return ERR_OK;
}

static gnutls_x509_subject_alt_name_t san_of(enum tls_name n)
{
	return n == TLS_NAME_URI
		   ? GNUTLS_SAN_URI
		   : (n == TLS_NAME_EMAIL ? GNUTLS_SAN_RFC822NAME : GNUTLS_SAN_DNSNAME);
}

/* Of bytes that a certificate holds: a name that can be one, and stands for one client only. */
static bool is_good_name(const char *p, size_t n, bool is_dns)
{
	struct str s = { p, n };

	if (!name_is_valid(s)) /* no NUL either */
		return false;
	return !is_dns || !memchr(p, '*', n);
}

/* The first name of a sort.  ERR_NOT_FOUND: there is none; ERR_LOGIN: it cannot be one. */
static enum err_kind find_san(gnutls_x509_crt_t leaf, enum tls_name sort, char buf[static 256],
			      size_t *ret_n, struct err *e)
{
	for (unsigned i = 0;; i++) {
		size_t n = 256;
		int type = gnutls_x509_crt_get_subject_alt_name(leaf, i, buf, &n, NULL);

		if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
			return no_login(e, "a name in it is too long");
		if (type < 0)
			return ERR_NOT_FOUND;
		if (type != (int)san_of(sort))
			continue;
		*ret_n = n;
		if (is_good_name(buf, n, sort == TLS_NAME_DNS))
			return ERR_OK;
		return no_login(e, "the name in it cannot be one");
	}
}

static enum err_kind find_cn(gnutls_x509_crt_t leaf, char buf[static 256], size_t *ret_n,
			     struct err *e)
{
	int r;

	*ret_n = 256;
	r = gnutls_x509_crt_get_dn_by_oid(leaf, GNUTLS_OID_X520_COMMON_NAME, 0, 0, buf, ret_n);
	if (r < 0)
		return no_login(e, "it has no common name");
	return is_good_name(buf, *ret_n, true) ? ERR_OK
					       : no_login(e, "the name in it cannot be one");
}

static enum err_kind find_name(gnutls_x509_crt_t leaf, enum tls_name sort, char buf[static 256],
			       size_t *ret_n, struct err *e)
{
	static const enum tls_name all[] = { TLS_NAME_URI, TLS_NAME_EMAIL, TLS_NAME_DNS };
	enum err_kind k = ERR_NOT_FOUND;

	if (sort == TLS_NAME_CN)
		return find_cn(leaf, buf, ret_n, e);
	if (sort != TLS_NAME_SAN)
		k = find_san(leaf, sort, buf, ret_n, e);
	for (size_t i = 0; sort == TLS_NAME_SAN && i < ARRAY_LEN(all) && k == ERR_NOT_FOUND; i++)
		k = find_san(leaf, all[i], buf, ret_n, e);
	return k == ERR_NOT_FOUND ? no_login(e, "it has no name of the kind that is asked for") : k;
}

static enum err_kind judge_chain(struct tls_conn *c, struct set *by, gnutls_x509_crt_t *chain,
				 unsigned n, struct err *e)
{
	char name[256];
	struct identity who = { .kind = IDENTITY_CERT };
	size_t n_name = 0;
	enum err_kind k = check_chain(by, chain, n, e);

	if (k == ERR_OK)
		k = find_name(chain[0], c->tls->o.client_name, name, &n_name, e);
	if (k != ERR_OK)
		return k;
	who.name = (struct str){ name, n_name };
	return identity_new(&who, &c->identity, e);
}

static enum err_kind judge(struct tls_conn *c, struct set *by, struct err *e)
{
	gnutls_x509_crt_t chain[CHAIN_MAX];
	unsigned n_raw = 0, n = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(c->session, &n_raw);
	enum err_kind k = ERR_OK;

	if (!raw || n_raw == 0 || !by->trust)
		return ERR_OK; /* it showed none, or nobody asked */
	if (n_raw > CHAIN_MAX)
		return no_login(e, "there are too many in its chain");
	while (n < n_raw && k == ERR_OK) {
		if (gnutls_x509_crt_init(&chain[n]) < 0)
			k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a certificate");
		else if (gnutls_x509_crt_import(chain[n], &raw[n], GNUTLS_X509_FMT_DER) < 0)
			k = no_login(e, "it cannot be read"), n++;
		else
			n++;
	}
	if (k == ERR_OK)
		k = judge_chain(c, by, chain, n, e);
	while (n)
		gnutls_x509_crt_deinit(chain[--n]);
	return k;
}

enum err_kind tls_identity(struct tls_conn *c, struct identity **ret, struct err *e)
{
	struct set *by = newest(c->tls);

	*ret = NULL;
	if (by != c->judged_by || mono_ms() - c->judged_mono_ms > JUDGED_AGAIN_MS) {
		identity_put(&c->identity);
		c->judged_mono_ms = mono_ms();
		c->failed = judge(c, by, &c->failure);
		set_put(&c->judged_by);
		c->judged_by = set_get(by);
	}
	set_put(&by);
	if (c->failed != ERR_OK) {
		*e = c->failure;
		return c->failed;
	}
	*ret = c->identity ? identity_get(c->identity) : NULL;
	return ERR_OK;
}
