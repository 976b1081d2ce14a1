#include "server/late_gnutls.h"

/* What libmicrohttpd calls, and tls.c. */
#define FUNCTIONS(X)                                                                               \
	X(gnutls_alpn_set_protocols)                                                               \
	X(gnutls_bye)                                                                              \
	X(gnutls_certificate_allocate_credentials)                                                 \
	X(gnutls_certificate_free_credentials)                                                     \
	X(gnutls_certificate_get_peers)                                                            \
	X(gnutls_certificate_send_x509_rdn_sequence)                                               \
	X(gnutls_certificate_server_set_request)                                                   \
	X(gnutls_certificate_set_dh_params)                                                        \
	X(gnutls_certificate_set_retrieve_function2)                                               \
	X(gnutls_certificate_set_retrieve_function3)                                               \
	X(gnutls_certificate_set_x509_key_mem)                                                     \
	X(gnutls_certificate_set_x509_key_mem2)                                                    \
	X(gnutls_certificate_set_x509_trust_mem)                                                   \
	X(gnutls_cipher_get)                                                                       \
	X(gnutls_credentials_set)                                                                  \
	X(gnutls_deinit)                                                                           \
	X(gnutls_dh_params_deinit)                                                                 \
	X(gnutls_dh_params_import_pkcs3)                                                           \
	X(gnutls_dh_params_init)                                                                   \
	X(gnutls_handshake)                                                                        \
	X(gnutls_handshake_set_post_client_hello_function)                                         \
	X(gnutls_init)                                                                             \
	X(gnutls_priority_deinit)                                                                  \
	X(gnutls_priority_init)                                                                    \
	X(gnutls_priority_init2)                                                                   \
	X(gnutls_priority_set)                                                                     \
	X(gnutls_protocol_get_version)                                                             \
	X(gnutls_psk_allocate_server_credentials)                                                  \
	X(gnutls_psk_free_server_credentials)                                                      \
	X(gnutls_psk_set_server_credentials_function)                                              \
	X(gnutls_record_check_pending)                                                             \
	X(gnutls_record_get_direction)                                                             \
	X(gnutls_record_recv)                                                                      \
	X(gnutls_record_send)                                                                      \
	X(gnutls_server_name_get)                                                                  \
	X(gnutls_session_get_ptr)                                                                  \
	X(gnutls_session_set_ptr)                                                                  \
	X(gnutls_strerror)                                                                         \
	X(gnutls_transport_set_int2)                                                               \
	X(gnutls_x509_crt_check_hostname)                                                          \
	X(gnutls_x509_crt_check_hostname2)                                                         \
	X(gnutls_x509_crt_deinit)                                                                  \
	X(gnutls_x509_crt_get_ca_status)                                                           \
	X(gnutls_x509_crt_get_dn_by_oid)                                                           \
	X(gnutls_x509_crt_get_key_purpose_oid)                                                     \
	X(gnutls_x509_crt_get_subject_alt_name)                                                    \
	X(gnutls_x509_crt_import)                                                                  \
	X(gnutls_x509_crt_init)                                                                    \
	X(gnutls_x509_trust_list_add_trust_mem)                                                    \
	X(gnutls_x509_trust_list_deinit)                                                           \
	X(gnutls_x509_trust_list_init)                                                             \
	X(gnutls_x509_trust_list_verify_crt2)

LATE_LIBRARY(gnutls, LATE_FILE, FUNCTIONS);

/*
 * libmicrohttpd begins and ends the library with the program, where it may not be there yet, or never.  Its own constructor
 * and destructor do that as well.
 */
int gnutls_global_init(void);
void gnutls_global_deinit(void);

int gnutls_global_init(void)
{
	return 0;
}

void gnutls_global_deinit(void)
{
}

/* Its allocator, which libmicrohttpd takes keys from that are shared in advance: there are none. */
void *(*gnutls_malloc)(size_t n) = malloc;
