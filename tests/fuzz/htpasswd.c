/* Files of accounts: what is taken must come back by name, and nothing is but bcrypt. */
#include "auth/htpasswd.h"
#include "auth/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_HTPASSWD *h = NULL;
	struct err e;

	if (htpasswd_parse((struct str){ (const char *)data, size }, "file", &h, &e) != ERR_OK)
		return 0;
	for (size_t i = 0; i < htpasswd_count(h); i++) {
		if (!name_is_valid(htpasswd_name(h, i)) ||
		    htpasswd_version(h, htpasswd_name(h, i)) == 0)
			abort();
	}
	return 0;
}
