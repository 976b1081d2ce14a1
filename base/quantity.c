#include "base/quantity.h"

#define SECOND ((uint64_t)1000)
#define K ((uint64_t)1024)

struct unit {
	const char *suffix;
	uint64_t factor;
};
static const struct unit durations[] = {
	{ "ms", 1 },
	{ "s", SECOND },
	{ "m", 60 * SECOND },
	{ "h", 3600 * SECOND },
	{ "d", 24 * 3600 * SECOND },
};
static const struct unit sizes[] = {
	{ "", 1 }, { "K", K }, { "M", K *K }, { "G", K *K *K }, { "T", K *K *K *K },
};
#define UNITS 5
_Static_assert(ARRAY_LEN(durations) == UNITS && ARRAY_LEN(sizes) == UNITS, "walked alike");

static bool parse(const struct unit *units, struct str in, uint64_t *ret)
{
	uint64_t v;

	if (!scan_u64(&in, UINT64_MAX, &v))
		return false;
	if (v == 0 && in.n == 0) { /* nothing is nothing in any unit */
		*ret = 0;
		return true;
	}
	for (size_t i = 0; i < UNITS; i++) {
		if (str_eq(in, str_of(units[i].suffix)))
			return !__builtin_mul_overflow(v, units[i].factor, ret);
	}
	return false;
}

static const char *text(const struct unit *units, uint64_t v, char *buf)
{
	size_t i = UNITS - 1;

	while (i && (v == 0 || v % units[i].factor))
		i--;
	(void)snprintf(buf, QUANTITY_TEXT_MAX, "%llu%s", (unsigned long long)(v / units[i].factor),
		       units[i].suffix);
	return buf;
}

bool duration_parse(struct str in, uint64_t *ret_ms)
{
	return parse(durations, in, ret_ms);
}

bool size_parse(struct str in, uint64_t *ret)
{
	return parse(sizes, in, ret);
}

const char *duration_text(uint64_t ms, char buf[static QUANTITY_TEXT_MAX])
{
	return text(durations, ms, buf);
}

const char *size_text(uint64_t bytes, char buf[static QUANTITY_TEXT_MAX])
{
	return text(sizes, bytes, buf);
}
