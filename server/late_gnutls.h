/*
 * late_gnutls - GnuTLS, which tls.c calls, and libmicrohttpd when it is told to speak TLS: most of what berthd would have in
 * memory without it.
 *
 * Sequence  late_load (base/late.h) -> what its own header declares, and MHD_USE_TLS.
 */
#pragma once

#include "base/late.h"

extern struct late late_gnutls;
