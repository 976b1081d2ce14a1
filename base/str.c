#include "base/str.h"

#include <stdarg.h>

struct str str_of(const char *z)
{
	return (struct str){ z ? z : "", z ? strlen(z) : 0 };
}

bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static int lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str str_trim(struct str s)
{
	while (s.n && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool str_cut(struct str s, char c, struct str *head, struct str *rest)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	if (!at) {
		*head = s;
		*rest = (struct str){ s.p + s.n, 0 };
		return false;
	}
	*head = (struct str){ s.p, (size_t)(at - s.p) };
	*rest = (struct str){ at + 1, s.n - head->n - 1 };
	return true;
}

bool str_copy(struct str s, char *buf, size_t cap)
{
	if (s.n >= cap || (s.n && memchr(s.p, '\0', s.n)))
		return false;
	if (s.n)
		memcpy(buf, s.p, s.n);
	buf[s.n] = '\0';
	return true;
}

bool scan_u64(struct str *in, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	for (; i < in->n && in->p[i] >= '0' && in->p[i] <= '9'; i++) {
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(in->p[i] - '0'), &v))
			return false;
	}
	if (i == 0 || v > max)
		return false;
	in->p += i;
	in->n -= i;
	*ret = v;
	return true;
}

bool scan_char(struct str *in, char c)
{
	if (in->n == 0 || in->p[0] != c)
		return false;
	in->p++;
	in->n--;
	return true;
}

bool scan_end(const struct str *in)
{
	return in->n == 0;
}

int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void hex_lower(const uint8_t *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
}

bool percent_decode(struct str in, bool plus_is_space, char *buf, size_t cap, size_t *ret_n)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (c == '%') {
			int hi = i + 2 < in.n ? hex_value(in.p[i + 1]) : -1;
			int lo = i + 2 < in.n ? hex_value(in.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '+' && plus_is_space) {
			c = ' ';
		}
		if (n == cap)
			return false;
		buf[n++] = c;
	}
	*ret_n = n;
	return true;
}

size_t utf8_len(struct str s)
{
	const uint8_t *p = (const uint8_t *)s.p;
	uint8_t low = 0x80,
		high = 0xbf; /* bounds of the second byte: no overlong form, no surrogate */
	size_t n;

	if (s.n == 0 || p[0] < 0x80)
		return s.n > 0;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	n = p[0] < 0xe0 ? 2 : (p[0] < 0xf0 ? 3 : 4);
	if (p[0] == 0xe0)
		low = 0xa0;
	else if (p[0] == 0xed)
		high = 0x9f;
	else if (p[0] == 0xf0)
		low = 0x90;
	else if (p[0] == 0xf4)
		high = 0x8f;
	if (s.n < n || p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++) {
		if (p[i] < 0x80 || p[i] > 0xbf)
			return 0;
	}
	return n;
}

void sbuf_init(struct sbuf *b, size_t max)
{
	*b = (struct sbuf){ .max = MIN(max, SBUF_MAX) };
}

void sbuf_clear(struct sbuf *b)
{
	free(b->p);
	*b = (struct sbuf){ .max = b->max };
}

bool sbuf_reserve(struct sbuf *b, size_t n)
{
	size_t need, cap;
	char *p;

	if (b->failed || n > b->max - b->n) {
		b->failed = true;
		return false;
	}
	need = b->n + n + 1; /* SBUF_MAX leaves room */
	if (need <= b->cap)
		return true;
	cap = b->cap ? b->cap : 64;
	while (cap < need)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void sbuf_add(struct sbuf *b, const void *p, size_t n)
{
	if (!sbuf_reserve(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void sbuf_add_str(struct sbuf *b, struct str s)
{
	sbuf_add(b, s.p, s.n);
}

void sbuf_add_percent(struct sbuf *b, struct str s, const char *also)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && (strchr("-._~", c) || strchr(also, c))))
			sbuf_add(b, &c, 1);
		else
			sbuf_addf(b, "%%%02X", c);
	}
}

void sbuf_addf(struct sbuf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		b->failed = true;
	else if (sbuf_reserve(b, (size_t)n)) {
		(void)vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

char *sbuf_take(struct sbuf *b)
{
	char *p = TAKE(b->p);

	b->n = b->cap = 0;
	return p;
}

void free_ptr(void *pp)
{
	free(*(void **)pp);
}
