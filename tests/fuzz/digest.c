/* Digests: what parses is written back as it was read. */
#include "base/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n };
	char text[DIGEST_TEXT_MAX];
	struct digest d, again;
	enum digest_alg alg;

	if (digest_parse(&d, in)) {
		if (!str_eq(str_of(digest_text(&d, text)), in) || !digest_is_wellformed(in))
			abort();
		if (!digest_parse(&again, str_of(text)) || !digest_eq(&d, &again))
			abort();
	}
	(void)digest_is_wellformed(in);
	if (digest_alg_parse(&alg, in) && !str_eq(str_of(digest_alg_text((uint8_t)alg)), in))
		abort();
	return 0;
}
