#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void sbuf_add_base64(struct sbuf *b, struct str bytes)
{
	const uint8_t *p = (const uint8_t *)bytes.p;

	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t n = MIN(bytes.n - i, (size_t)3);
		uint32_t group = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
				 (n > 2 ? (uint32_t)p[i + 2] : 0);
		char out[4] = { alphabet[group >> 18], alphabet[group >> 12 & 63],
				n > 1 ? alphabet[group >> 6 & 63] : '=',
				n > 2 ? alphabet[group & 63] : '=' };

		sbuf_add(b, out, sizeof(out));
	}
}

static bool sextet(char c, uint32_t *ret)
{
	const char *at = c ? strchr(alphabet, c) : NULL;

	if (!at)
		return false;
	*ret = (uint32_t)(at - alphabet);
	return true;
}

/* Four characters, of which the last n_pad are "="; bits that stand for nothing must be zero. */
static bool add_group(struct sbuf *b, const char *p, size_t n_pad)
{
	uint32_t group = 0, part;
	uint8_t out[3];

	for (size_t i = 0; i < 4; i++) {
		part = 0;
		if (i < 4 - n_pad && !sextet(p[i], &part))
			return false;
		group = group << 6 | part;
	}
	if (group & ((1u << (8 * n_pad)) - 1))
		return false;
	out[0] = (uint8_t)(group >> 16);
	out[1] = (uint8_t)(group >> 8);
	out[2] = (uint8_t)group;
	sbuf_add(b, out, 3 - n_pad);
	return true;
}

bool sbuf_add_base64_decoded(struct sbuf *b, struct str text)
{
	size_t before = b->n, n_pad = 0;

	if (text.n % 4 != 0)
		return false;
	while (n_pad < 2 && n_pad < text.n && text.p[text.n - 1 - n_pad] == '=')
		n_pad++;
	for (size_t i = 0; i < text.n; i += 4) {
		if (add_group(b, text.p + i, i + 4 == text.n ? n_pad : 0))
			continue;
		b->n = before;
		if (b->p)
			b->p[b->n] = '\0';
		return false;
	}
	return true;
}
