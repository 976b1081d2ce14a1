/*
 * result - what a network was made of (CNI spec 1.1.0 section 5, and its forms since 0.1.0), as typed values.
 *
 * L1  Every address, route and name server in a result was parsed; text that is none is ERR_INVALID.
 * L2  A result is written as the reference library writes it: known members only, empty ones left out.
 * L3  Conversion between any two versions keeps what the other version has a place for.
 * Ownership  a result owns all it points to; result_clear frees it.
 * Threads    one thread at a time per result.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/jv.h"
#include "runtime/net/ip.h"
#include "runtime/net/version.h"

#define RESULT_JSON_DEPTH 32
#define RESULT_BYTES_MAX (1024u * 1024) /* of a result's text */

struct result_interface {
	const char *name, *mac, *sandbox, *socket_path, *pci_id; /* "" if absent */
	int64_t mtu;
};

struct result_ip {
	char family;        /* '4', '6' or 0: what the versions before 1.0.0 say it is */
	bool has_interface; /* index into interfaces */
	int64_t interface;
	struct ip_net address, gateway;
};

struct result_route {
	char family; /* as of an address; only 0.1.0 and 0.2.0 have it */
	struct ip_net dst, gw;
	int64_t mtu, advmss, priority;
	bool has_table, has_scope;
	int64_t table, scope;
};

struct result_dns {
	const char *domain; /* "" if absent */
	const char **nameservers, **search, **options;
	size_t n_nameservers, n_search, n_options;
};

struct result {
	enum cni_version version;
	struct result_interface *interfaces;
	struct result_ip *ips;
	struct result_route *routes;
	size_t n_interfaces, n_ips, n_routes;
	struct result_dns dns;
	struct arena arena;
};

void result_init(struct result *r);
void result_clear(struct result *r);
#define AUTO_RESULT CLEANUP(result_clear) struct result

/*
 * Reads the answer of a plugin to ADD.  A result that does not say its version has that of the request.
 * ERR_UNSUPPORTED for a version not known here.  *ret is empty on failure.
 */
MUST_CHECK enum err_kind result_parse(struct str text, enum cni_version requested,
				      struct result *ret, struct err *e);
MUST_CHECK enum err_kind result_read(const struct jv *object, enum cni_version requested,
				     struct result *ret, struct err *e);
/* The container's interface of that name; NULL: the result names none. */
const struct result_interface *result_own_interface(const struct result *r, const char *name);
/* The one of the host that leads to it: that which is not the bridge; NULL: the result names none. */
const struct result_interface *result_outer_interface(const struct result *r, const char *bridge);
/* In place.  ERR_INVALID if the older form would need an address and there is none. */
MUST_CHECK enum err_kind result_convert(struct result *r, enum cni_version to, struct err *e);
/* A new value, NULL without memory. */
struct jv *result_write(const struct result *r);

/* Reads the object of name servers and domains, which configurations have as well. */
MUST_CHECK enum err_kind result_dns_read(const struct jv *object, struct arena *a,
					 struct result_dns *ret, struct err *e);
