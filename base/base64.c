#include "base/base64.h"

#include <limits.h>
#include <openssl/evp.h>

/* OpenSSL counts in int, and ends what it writes with a NUL. */
#define BYTES_MAX (INT_MAX / 2)

void sbuf_add_base64(struct sbuf *b, struct str bytes)
{
	size_t n = (bytes.n + 2) / 3 * 4;

	if (bytes.n > BYTES_MAX || !sbuf_reserve(b, n)) {
		b->failed = true;
		return;
	}
	(void)EVP_EncodeBlock((uint8_t *)b->p + b->n, (const uint8_t *)bytes.p, (int)bytes.n);
	b->n += n;
}

static size_t padding(struct str text)
{
	size_t n = 0;

	while (n < 2 && n < text.n && text.p[text.n - 1 - n] == '=')
		n++;
	return n;
}

/* OpenSSL takes more than one text for the same bytes (blanks, bits that stand for nothing). */
static bool is_what_we_write(struct str text, struct str bytes)
{
	AUTO_SBUF again;

	sbuf_init(&again, text.n + 1);
	sbuf_add_base64(&again, bytes);
	return !again.failed && str_eq((struct str){ again.p ? again.p : "", again.n }, text);
}

bool sbuf_add_base64_decoded(struct sbuf *b, struct str text)
{
	size_t n = text.n / 4 * 3;
	struct str bytes;
	bool ok;

	if (text.n % 4 || text.n > BYTES_MAX)
		return false;
	if (text.n == 0 || !sbuf_reserve(b, n))
		return true; /* b says whether it failed */
	ok =
	    EVP_DecodeBlock((uint8_t *)b->p + b->n, (const uint8_t *)text.p, (int)text.n) == (int)n;
	bytes = (struct str){ b->p + b->n, n - padding(text) };
	ok = ok && is_what_we_write(text, bytes);
	b->n += ok ? bytes.n : 0;
	b->p[b->n] = '\0';
	return ok;
}
