#include "runtime/cli/cli.h"

void text_show(struct sbuf *b, struct str s)
{
	while (s.n > 0) {
		size_t n = utf8_len(s);
		unsigned char c = (unsigned char)s.p[0];

		/* C1 controls are two bytes in UTF-8: 0xc2 0x80 to 0x9f. */
		if (n == 0 || c < ' ' || c == 0x7f || (c == 0xc2 && (unsigned char)s.p[1] < 0xa0)) {
			sbuf_addf(b, "\\x%02x", c);
			n = 1;
		} else {
			sbuf_add(b, s.p, n);
		}
		s.p += n;
		s.n -= n;
	}
}

const char *text_size(uint64_t bytes, char buf[static TEXT_SIZE_MAX])
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;

	for (; v >= 999.5 && i + 1 < ARRAY_LEN(units); i++)
		v /= 1000;
	(void)snprintf(buf, TEXT_SIZE_MAX, i > 0 && v < 9.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
	return buf;
}
