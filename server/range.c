#include "server/range.h"

/* in is digits only. */
static bool parse_suffix(struct str in, uint64_t size, uint64_t *first, uint64_t *last)
{
	uint64_t n;

	if (!scan_u64(&in, UINT64_MAX, &n))
		n = UINT64_MAX; /* longer than everything, so everything is meant */
	if (n == 0 || size == 0)
		return false;
	*first = n < size ? size - n : 0;
	*last = size - 1;
	return true;
}

static bool only_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n > 0;
}

enum range_result range_parse(struct str field, uint64_t size, uint64_t *ret_first,
			      uint64_t *ret_last)
{
	struct str unit, spec, from, to;
	uint64_t first, last = UINT64_MAX;

	if (!str_cut(str_trim(field), '=', &unit, &spec) || !str_eq_nocase(unit, STR("bytes")))
		return RANGE_WHOLE;
	spec = str_trim(spec);
	if (!str_cut(spec, '-', &from, &to) || memchr(to.p, ',', to.n))
		return RANGE_WHOLE;
	if (from.n == 0 && only_digits(to))
		return parse_suffix(to, size, ret_first, ret_last) ? RANGE_PART
								   : RANGE_UNSATISFIABLE;
	if (!only_digits(from) || (to.n && !only_digits(to)))
		return RANGE_WHOLE;
	if (!scan_u64(&from, UINT64_MAX, &first))
		return RANGE_UNSATISFIABLE; /* beyond 2^64 is beyond every size */
	if (to.n && scan_u64(&to, UINT64_MAX, &last) && last < first)
		return RANGE_UNSATISFIABLE; /* RFC 9110 14.2: invalid, may be ignored or refused */
	if (first >= size)
		return RANGE_UNSATISFIABLE;
	*ret_first = first;
	*ret_last = MIN(last, size - 1);
	return RANGE_PART;
}

bool content_range_parse(struct str field, uint64_t *ret_first, uint64_t *ret_last)
{
	struct str in = str_trim(field), rest;
	uint64_t first, last, total;

	if (in.n > 6 && str_eq_nocase((struct str){ in.p, 6 }, STR("bytes ")))
		in = str_trim((struct str){ in.p + 6, in.n - 6 });
	if (!scan_u64(&in, INT64_MAX, &first) || !scan_char(&in, '-') ||
	    !scan_u64(&in, INT64_MAX, &last) || last < first)
		return false;
	rest = in;
	if (scan_char(&rest, '/') &&
	    (scan_char(&rest, '*') || (scan_u64(&rest, INT64_MAX, &total) && total > last)))
		in = rest;
	if (!scan_end(&in))
		return false;
	*ret_first = first;
	*ret_last = last;
	return true;
}

bool etag_list_has(struct str field, struct str etag)
{
	struct str item;

	while (field.n) {
		(void)str_cut(field, ',', &item, &field);
		item = str_trim(item);
		if (str_eq(item, STR("*")))
			return true;
		if (str_starts(item, STR("W/")))
			item = (struct str){ item.p + 2, item.n - 2 };
		if (str_eq(item, etag))
			return true;
	}
	return false;
}
