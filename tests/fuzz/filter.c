/* Names in LDAP filters (RFC 4515): whatever they are, the filter's structure is the configuration's. */
#include "auth/directory.h"
#include "auth/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str name = { (const char *)data, size };
	AUTO_SBUF b = { .n = 0 }, encoded;
	size_t n = 0;

	if (filter_fill("(&(uid=${user})(member=${dn}))", name, name, &b)) {
		for (size_t i = 0; i < b.n; i++)
			n += b.p[i] == '(' || b.p[i] == ')' || b.p[i] == '*';
		if (n != 6) /* as many as the configuration wrote */
			abort();
	}
	sbuf_init(&encoded, 4096);
	name_encode(&encoded, name);
	if (!encoded.failed && size > 0 && encoded.n <= NAME_BYTES_MAX &&
	    !name_is_valid((struct str){ encoded.p, encoded.n }))
		abort();
	return 0;
}
