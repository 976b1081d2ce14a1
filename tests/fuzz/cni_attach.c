/* What users type for networks, ports and hosts: whatever it is, it is refused or becomes what was checked. */
#include "runtime/net/attach.h"
#include "runtime/net/hosts.h"

#define FUZZ_TEXT_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n }, rest;
	const struct ip_net gateway = { .len = 4, .bytes = { 10, 0, 0, 1 } };
	struct attach_network network;
	struct resolv resolv = { 0 };
	enum attach_kind kind;
	AUTO_WANTS w = { 0 };
	struct ip_net ip;
	AUTO_SBUF out;
	struct err e;

	sbuf_init(&out, FUZZ_TEXT_MAX);
	(void)!attach_parse(in, &kind, &rest, &network, &e);
	wants_clear(&network.wants);
	(void)!wants_port(&w, in, &e);
	(void)!wants_ip(&w, in, &e);
	(void)!wants_mac(&w, in, &e);
	(void)!wants_alias(&w, in, &e);
	(void)!wants_dns_option(&w, in, &e);
	if (hosts_parse_extra(in, &gateway, &rest, &ip, &e) == ERR_OK &&
	    (memchr(rest.p, '\n', rest.n) || memchr(rest.p, ' ', rest.n)))
		abort();
	resolv_read(&resolv, in, false);
	resolv_write(&resolv, &out);
	return 0;
}
