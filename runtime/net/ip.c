#include "runtime/net/ip.h"

#include <arpa/inet.h>

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

/* An IPv4 address in the clothes of IPv6 is the IPv4 address. */
static void unmap(struct ip_net *ip)
{
	if (ip->len != 16 || ip->prefix < 96 ||
	    memcmp(ip->bytes, mapped_prefix, sizeof(mapped_prefix)) != 0)
		return;
	memmove(ip->bytes, ip->bytes + 12, 4);
	memset(ip->bytes + 4, 0, 12);
	ip->len = 4;
	ip->prefix = (uint8_t)(ip->prefix - 96);
}

static bool parse_address(struct str in, struct ip_net *ip)
{
	char text[INET6_ADDRSTRLEN];

	*ip = (struct ip_net){ 0 };
	if (!str_copy(in, text, sizeof(text)))
		return false;
	if (inet_pton(AF_INET, text, ip->bytes) == 1)
		ip->len = 4;
	else if (inet_pton(AF_INET6, text, ip->bytes) == 1)
		ip->len = 16;
	ip->prefix = (uint8_t)(8 * ip->len);
	return ip->len > 0;
}

bool ip_parse(struct str in, struct ip_net *ret)
{
	struct ip_net ip;

	if (!parse_address(in, &ip))
		return false;
	unmap(&ip);
	*ret = ip;
	return true;
}

bool ip_net_parse(struct str in, struct ip_net *ret)
{
	struct str address, bits;
	struct ip_net ip;
	uint64_t prefix;

	if (!str_cut(in, '/', &address, &bits) || !parse_address(address, &ip))
		return false;
	if (bits.n > 3 || (bits.n > 1 && bits.p[0] == '0') ||
	    !scan_u64(&bits, ip.prefix, &prefix) || !scan_end(&bits))
		return false;
	ip.prefix = (uint8_t)prefix;
	unmap(&ip);
	*ret = ip;
	return true;
}

const char *ip_text(const struct ip_net *ip, char buf[static IP_TEXT_MAX])
{
	int family = ip->len == 4 ? AF_INET : AF_INET6;

	if (ip->len == 0 || !inet_ntop(family, ip->bytes, buf, IP_TEXT_MAX))
		buf[0] = '\0';
	return buf;
}

const char *ip_net_text(const struct ip_net *ip, char buf[static IP_TEXT_MAX])
{
	char address[IP_TEXT_MAX];

	(void)snprintf(buf, IP_TEXT_MAX, "%.50s/%u", ip_text(ip, address), ip->prefix);
	return buf;
}

bool ip_eq(const struct ip_net *a, const struct ip_net *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

/* Bits of byte i that belong to the prefix. */
static uint8_t mask_of(uint8_t prefix, size_t i)
{
	if (prefix >= 8 * (i + 1))
		return 0xff;
	if (prefix <= 8 * i)
		return 0;
	return (uint8_t)(0xff00 >> (prefix - 8 * i));
}

struct ip_net ip_network(const struct ip_net *ip)
{
	struct ip_net n = *ip;

	for (size_t i = 0; i < n.len; i++)
		n.bytes[i] &= mask_of(n.prefix, i);
	return n;
}

bool ip_net_has(const struct ip_net *network, const struct ip_net *ip)
{
	if (network->len != ip->len)
		return false;
	for (size_t i = 0; i < ip->len; i++) {
		if ((network->bytes[i] ^ ip->bytes[i]) & mask_of(network->prefix, i))
			return false;
	}
	return true;
}

bool ip_net_overlaps(const struct ip_net *a, const struct ip_net *b)
{
	return a->prefix <= b->prefix ? ip_net_has(a, b) : ip_net_has(b, a);
}

struct ip_net ip_nth(const struct ip_net *network, uint64_t n)
{
	struct ip_net ip = ip_network(network);

	for (size_t i = ip.len; i-- > 0 && n;) {
		n += ip.bytes[i];
		ip.bytes[i] = (uint8_t)n;
		n >>= 8;
	}
	return ip;
}

struct ip_net ip_last(const struct ip_net *network)
{
	struct ip_net ip = *network;

	for (size_t i = 0; i < ip.len; i++)
		ip.bytes[i] |= (uint8_t)~mask_of(ip.prefix, i);
	return ip;
}
