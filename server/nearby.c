#include "server/nearby.h"

#include <arpa/inet.h>

#include "server/request.h"

bool address_is_loopback(struct str address)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char z[INET6_ADDRSTRLEN];
	uint8_t b[16] = { 0 };

	if (!str_copy(address, z, sizeof(z)))
		return false;
	if (inet_pton(AF_INET, z, b) == 1)
		return b[0] == 127;
	if (inet_pton(AF_INET6, z, b) != 1)
		return false;
	return memcmp(b, mapped, sizeof(mapped)) == 0
		   ? b[12] == 127
		   : IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)(const void *)b);
}

static bool is_port(struct str in)
{
	uint64_t port;

	return in.n == 0 ||
	       (scan_char(&in, ':') && scan_u64(&in, UINT16_MAX, &port) && scan_end(&in));
}

bool host_is_loopback(struct str host)
{
	struct str name, port = { "", 0 };
	const char *colon, *bracket = host.n ? memchr(host.p, ']', host.n) : NULL;

	if (bracket) {
		if (!scan_char(&host, '['))
			return false;
		name = (struct str){ host.p, (size_t)(bracket - host.p) };
		port = (struct str){ bracket + 1, host.n - name.n - 1 };
		return is_port(port) && memchr(name.p, ':', name.n) && address_is_loopback(name);
	}
	colon = host.n ? memchr(host.p, ':', host.n) : NULL;
	name = (struct str){ host.p, colon ? (size_t)(colon - host.p) : host.n };
	if (colon)
		port = (struct str){ colon, host.n - name.n };
	return is_port(port) &&
	       (str_eq_nocase(name, STR("localhost")) || address_is_loopback(name));
}

bool request_is_nearby(const struct request *rq)
{
	static const char *const by_proxies[] = { "Forwarded", "X-Forwarded-For",
						  "X-Forwarded-Host", "X-Real-IP", "Via" };
	char local[64] = "";

	rq->host.local(rq->host.arg, local, sizeof(local));
	for (size_t i = 0; i < ARRAY_LEN(by_proxies); i++) {
		if (request_header(rq, by_proxies[i]))
			return false;
	}
	return !request_header(rq, "Origin") && host_is_loopback(str_of(local)) &&
	       address_is_loopback(str_of(rq->host.peer)) &&
	       host_is_loopback(str_of(request_header(rq, "Host")));
}
