#include "base/digest.h"

static const struct {
	const char *name;
	size_t bytes;
} algs[] = {
	[DIGEST_SHA256] = { "sha256", 32 },
	[DIGEST_SHA512] = { "sha512", 64 },
};

bool digest_alg_parse(enum digest_alg *ret, struct str in)
{
	for (unsigned a = DIGEST_SHA256; a < ARRAY_LEN(algs); a++) {
		if (str_eq(in, str_of(algs[a].name))) {
			*ret = (enum digest_alg)a;
			return true;
		}
	}
	return false;
}

const char *digest_alg_text(uint8_t alg)
{
	return alg < ARRAY_LEN(algs) && algs[alg].name ? algs[alg].name : "?";
}

size_t digest_size(uint8_t alg)
{
	return alg < ARRAY_LEN(algs) ? algs[alg].bytes : 0;
}

bool digest_parse(struct digest *ret, struct str in)
{
	struct digest d = { 0 };
	struct str name, hex;
	enum digest_alg alg;

	if (!str_cut(in, ':', &name, &hex) || !digest_alg_parse(&alg, name) ||
	    hex.n != 2 * digest_size(alg))
		return false;
	for (size_t i = 0; i < hex.n; i++) {
		int v = hex_value(hex.p[i]);

		if (v < 0 || (hex.p[i] >= 'A' && hex.p[i] <= 'F'))
			return false;
		d.bytes[i / 2] = (uint8_t)(d.bytes[i / 2] << 4 | v);
	}
	d.alg = (uint8_t)alg;
	*ret = d;
	return true;
}

static bool is_lower_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool digest_is_wellformed(struct str in)
{
	struct str alg, enc;
	bool sep = true; /* a component must follow */

	if (!str_cut(in, ':', &alg, &enc) || enc.n == 0)
		return false;
	for (size_t i = 0; i < alg.n; i++) {
		bool is_sep = memchr("+._-", alg.p[i], 4) != NULL;

		if ((is_sep && sep) || (!is_sep && !is_lower_alnum(alg.p[i])))
			return false;
		sep = is_sep;
	}
	for (size_t i = 0; i < enc.n; i++) {
		char c = enc.p[i];

		if (!is_lower_alnum(c) && !(c >= 'A' && c <= 'Z') && !memchr("=_-", c, 3))
			return false;
	}
	return !sep;
}

const char *digest_hex(const struct digest *d, char buf[static DIGEST_HEX_MAX + 1])
{
	size_t n = digest_size(d->alg);

	hex_lower(d->bytes, n, buf);
	buf[2 * n] = '\0';
	return buf;
}

const char *digest_text(const struct digest *d, char buf[static DIGEST_TEXT_MAX])
{
	const char *alg = digest_alg_text(d->alg);
	size_t n = strlen(alg);

	memcpy(buf, alg, n);
	buf[n] = ':';
	hex_lower(d->bytes, digest_size(d->alg), buf + n + 1);
	buf[n + 1 + 2 * digest_size(d->alg)] = '\0';
	return buf;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}
