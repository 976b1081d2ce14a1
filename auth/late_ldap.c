#include "auth/late_libraries.h"

/* Those of liblber are found through libldap, which needs it. */
#define FUNCTIONS(X)                                                                               \
	X(ber_sockbuf_add_io)                                                                      \
	X(ber_sockbuf_ctrl)                                                                        \
	X(ldap_err2string)                                                                         \
	X(ldap_first_entry)                                                                        \
	X(ldap_free_urldesc)                                                                       \
	X(ldap_get_dn)                                                                             \
	X(ldap_get_values_len)                                                                     \
	X(ldap_initialize)                                                                         \
	X(ldap_memfree)                                                                            \
	X(ldap_msgfree)                                                                            \
	X(ldap_next_entry)                                                                         \
	X(ldap_sasl_bind_s)                                                                        \
	X(ldap_search_ext_s)                                                                       \
	X(ldap_set_option)                                                                         \
	X(ldap_start_tls_s)                                                                        \
	X(ldap_unbind_ext_s)                                                                       \
	X(ldap_url_parse)                                                                          \
	X(ldap_value_free_len)

LATE_LIBRARY(ldap, LATE_FILE, FUNCTIONS);
