/* Key sets, which other servers publish. */
#include "auth/jose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_JOSE_KEYS *keys = NULL;
	AUTO_JV *payload = NULL;
	struct err e;

	if (jose_keys_parse((struct str){ (const char *)data, size }, &keys, &e) == ERR_OK)
		(void)!jose_verify(keys, STR("eyJhbGciOiJFUzI1NiJ9.e30.AAAA"), &payload, &e);
	return 0;
}
