#include "base/trace.h"

#include "base/hash.h"

static _Thread_local const struct trace *current;

/* n digits of lower case that are not all zero, or with zero allowed; moves past them. */
static bool take_hex(struct str *in, size_t n, bool may_be_zero, char *ret)
{
	bool zero = true;

	if (in->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char c = in->p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
		zero = zero && c == '0';
	}
	if (zero && !may_be_zero)
		return false;
	memcpy(ret, in->p, n);
	ret[n] = '\0';
	*in = (struct str){ in->p + n, in->n - n };
	return true;
}

static void make_span(char ret[static SPAN_ID_MAX])
{
	uint8_t bytes[(SPAN_ID_MAX - 1) / 2];

	random_bytes(bytes, sizeof(bytes));
	bytes[0] |= 1; /* all zero is none */
	hex_lower(bytes, sizeof(bytes), ret);
	ret[SPAN_ID_MAX - 1] = '\0';
}

bool trace_parse(struct str field, struct trace *ret)
{
	struct trace t = { .id = "" };
	char version[3];

	*ret = t;
	if (!take_hex(&field, 2, true, version) || strcmp(version, "ff") == 0 ||
	    !scan_char(&field, '-') || !take_hex(&field, TRACE_ID_MAX - 1, false, t.id) ||
	    !scan_char(&field, '-') || !take_hex(&field, SPAN_ID_MAX - 1, false, t.parent) ||
	    !scan_char(&field, '-') || !take_hex(&field, 2, true, t.flags))
		return false;
	/* later versions may have more after a dash */
	if (field.n && (strcmp(version, "00") == 0 || field.p[0] != '-'))
		return false;
	make_span(t.span);
	*ret = t;
	return true;
}

const char *trace_text(const struct trace *t, char buf[static TRACE_TEXT_MAX])
{
	bool sampled = hex_value(t->flags[1]) & 1; /* of the flags only this one is known to us */

	(void)snprintf(buf, TRACE_TEXT_MAX, "00-%s-%s-%s", t->id, t->span, sampled ? "01" : "00");
	return buf;
}

void trace_enter(const struct trace *t)
{
	current = t && t->id[0] ? t : NULL;
}

void trace_leave(void)
{
	current = NULL;
}

const struct trace *trace_current(void)
{
	return current;
}
