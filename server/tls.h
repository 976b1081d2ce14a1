/*
 * tls - our certificates and those of clients; the only file that includes GnuTLS.
 *
 * L1  A connection uses the certificates that were newest when it came; a reload breaks none.
 * L2  What is not whole, a key that does not fit its certificate above all, leaves the old in force.
 * L3  A client's certificate counts only if it is for clients, is no authority's, leads to one of tls.client_ca, holds now, is
 *     not in tls.client_crl, and has a name that can be one.  Anything else shown is worse than nothing.
 * Lifecycle  tls_open -> tls_begin .. tls_end for each connection -> tls_close.
 * Ownership  the list of certificates is shared, other options are borrowed; the session is the HTTP library's.
 * Threads    any; tls_tend and tls_take_over by one at a time.
 */
#pragma once

#include "auth/auth.h"

struct tls;
struct tls_conn;

/* Where the name in a client's certificate is looked for; SAN: the first URI, else e-mail address, else DNS name. */
enum tls_name { TLS_NAME_SAN, TLS_NAME_URI, TLS_NAME_EMAIL, TLS_NAME_DNS, TLS_NAME_CN };

struct tls_options {
	const struct jv *certificates; /* of the configuration: {certificate: FILE, key: FILE} */
	const char *client_ca, *client_crl; /* files, or NULL */
	enum tls_name client_name;
};

MUST_CHECK enum err_kind tls_open(const struct tls_options *o, struct tls **ret, struct err *e);
/* Could it be opened?  files: they are read as well; all: NULL, or who hears of each fault. */
MUST_CHECK enum err_kind tls_check(const struct tls_options *o, bool files, struct faults *all,
				   struct err *e);
/* t goes on with what *take has, which is consumed; client_ca and client_crl must be the same. */
void tls_take_over(struct tls *t, struct tls **take);
void tls_close(struct tls **t);
void tls_tend(struct tls *t, bool at_once, auth_note_fn *note, void *arg);

/* Is it a name that one of our certificates is for? */
bool tls_has_name(struct tls *t, const char *host);

/* TLS 1.2 and 1.3, forward secrecy and authenticated encryption only: a GnuTLS priority string. */
extern const char tls_priorities[];
/* For a library that wants a gnutls_certificate_retrieve_function3: never called once tls_begin was. */
typedef void tls_callback(void);
tls_callback *tls_retrieve(void);

/* Before the handshake.  NULL without memory: then the connection is to be closed. */
struct tls_conn *tls_begin(struct tls *t, void *session);
/* After the session is gone. */
void tls_end(struct tls_conn **take);
/*
 * Who the client's certificate says it is: *ret is a reference, or NULL if it showed none.  ERR_LOGIN: it showed one that
 * does not count.
 */
MUST_CHECK enum err_kind tls_identity(struct tls_conn *c, struct identity **ret, struct err *e);
