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

/* --- Docker's and Go's --- */

#define PART_MAX 1000000 /* of a unit: smaller parts are lost, so that 2^40 times a part fits */

/* 1.5 is whole 1 and part 5 of 10. */
struct decimal {
	uint64_t whole, part, of;
};

static bool scan_decimal(struct str *in, struct decimal *ret)
{
	struct str at = *in;
	struct decimal d = { .of = 1 };

	if (!scan_u64(&at, UINT64_MAX, &d.whole))
		return false;
	if (scan_char(&at, '.')) {
		if (!at.n || *at.p < '0' || *at.p > '9')
			return false;
		for (; at.n && *at.p >= '0' && *at.p <= '9'; at.p++, at.n--) {
			if (d.of == PART_MAX)
				continue;
			d.part = d.part * 10 + (uint64_t)(*at.p - '0');
			d.of *= 10;
		}
	}
	*in = at;
	*ret = d;
	return true;
}

static bool scale(const struct decimal *d, uint64_t factor, uint64_t *ret)
{
	uint64_t whole;

	return !__builtin_mul_overflow(d->whole, factor, &whole) &&
	       !__builtin_add_overflow(whole, d->part * factor / d->of, ret);
}

bool size_parse_docker(struct str in, uint64_t *ret)
{
	static const char letters[] = "kmgt"; /* as in sizes */
	struct decimal d;
	size_t unit = 0;

	if (!scan_decimal(&in, &d))
		return false;
	for (size_t i = 0; in.n && letters[i]; i++) {
		if ((*in.p | 0x20) == letters[i])
			unit = i + 1;
	}
	if (unit)
		in = (struct str){ in.p + 1, in.n - 1 };
	if (in.n && !str_eq_nocase(in, STR("b")) && !(unit && str_eq_nocase(in, STR("ib"))))
		return false;
	return scale(&d, sizes[unit].factor, ret);
}

static bool scan_go_unit(struct str *in, struct decimal *d, uint64_t *ret_ms)
{
	static const struct {
		struct str suffix;
		uint64_t per_ms; /* of units less than one */
	} small[] = { { STR("ns"), 1000000 }, { STR("us"), 1000 }, { STR("\u00b5s"), 1000 } };

	for (size_t i = 0; i < ARRAY_LEN(small); i++) {
		if (str_starts(*in, small[i].suffix)) {
			in->p += small[i].suffix.n;
			in->n -= small[i].suffix.n;
			*ret_ms = d->whole / small[i].per_ms;
			return true;
		}
	}
	for (size_t i = 0; i < UNITS; i++) { /* "ms" comes before "m" */
		struct str suffix = str_of(durations[i].suffix);

		if (str_starts(*in, suffix)) {
			in->p += suffix.n;
			in->n -= suffix.n;
			return scale(d, durations[i].factor, ret_ms);
		}
	}
	return false;
}

bool duration_parse_go(struct str in, uint64_t *ret_ms)
{
	uint64_t all = 0, one;
	struct decimal d;

	if (str_eq(in, STR("0"))) {
		*ret_ms = 0;
		return true;
	}
	do {
		if (!scan_decimal(&in, &d) || !scan_go_unit(&in, &d, &one) ||
		    __builtin_add_overflow(all, one, &all))
			return false;
	} while (in.n);
	*ret_ms = all;
	return true;
}

/* --- Back into text --- */

const char *duration_text(uint64_t ms, char buf[static QUANTITY_TEXT_MAX])
{
	return text(durations, ms, buf);
}

const char *size_text(uint64_t bytes, char buf[static QUANTITY_TEXT_MAX])
{
	return text(sizes, bytes, buf);
}
