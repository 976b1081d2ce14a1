#include "base/netaddr.h"

#include <arpa/inet.h>
#include <string.h>

#define PREFIX6_BYTES 8

struct str address_network(struct str address, char buf[static INET6_ADDRSTRLEN])
{
	uint8_t bytes[16];

	if (!str_copy(address, buf, INET6_ADDRSTRLEN) || inet_pton(AF_INET6, buf, bytes) != 1)
		return address;
	if (memcmp(bytes, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
		return address;
	memset(bytes + PREFIX6_BYTES, 0, sizeof(bytes) - PREFIX6_BYTES);
	if (!inet_ntop(AF_INET6, bytes, buf, INET6_ADDRSTRLEN))
		return address;
	return str_of(buf);
}
