#include "base/clock.h"

#include <pthread.h>

static uint64_t now_us(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t); /* fails only for an unknown clock */
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

uint64_t mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

void sleep_ms(uint64_t ms)
{
	const struct timespec pause = { .tv_sec = (time_t)(ms / 1000),
					.tv_nsec = (long)(ms % 1000) * 1000000 };

	(void)nanosleep(&pause, NULL);
}

uint64_t up_ms(void)
{
	return now_us(CLOCK_BOOTTIME) / 1000;
}

static uint64_t steady_base_ms; /* wall clock less monotonic clock, at the first call */

static void take_base(void)
{
	steady_base_ms = wall_ms() - mono_ms();
}

uint64_t steady_ms(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, take_base);
	return steady_base_ms + mono_ms();
}

const char *time_text(uint64_t t_wall_ms, char buf[static TIME_TEXT_MAX])
{
	time_t s = (time_t)(t_wall_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&s, &tm) || tm.tm_year > 8099) { /* past the year 9999 */
		buf[0] = '\0';
		return buf;
	}
	(void)snprintf(buf, TIME_TEXT_MAX, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		       (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
		       (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100,
		       (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100,
		       (unsigned)(t_wall_ms % 1000));
	return buf;
}

/* Exactly n digits. */
static bool scan_digits(struct str *in, size_t n, int *ret)
{
	struct str head = { in->p, n };
	uint64_t v;

	if (in->n < n || !scan_u64(&head, 9999, &v) || head.n)
		return false;
	*ret = (int)v;
	in->p += n;
	in->n -= n;
	return true;
}

/* ".5" is 500 ms; what is beyond milliseconds does not count. */
static bool scan_fraction(struct str *in, uint64_t *ret_ms)
{
	unsigned scale = 100;
	int digit;

	*ret_ms = 0;
	if (!scan_char(in, '.'))
		return true;
	if (!scan_digits(in, 1, &digit))
		return false;
	do {
		*ret_ms += (unsigned)digit * scale;
		scale /= 10;
	} while (scan_digits(in, 1, &digit));
	return true;
}

bool time_parse(struct str in, uint64_t *ret_wall_ms)
{
	struct tm tm = { .tm_isdst = 0 }, same;
	uint64_t ms = 0;
	time_t s;
	bool ok = scan_digits(&in, 4, &tm.tm_year) && scan_char(&in, '-') &&
		  scan_digits(&in, 2, &tm.tm_mon) && scan_char(&in, '-') &&
		  scan_digits(&in, 2, &tm.tm_mday);

	if (ok && in.n)
		ok = scan_char(&in, 'T') && scan_digits(&in, 2, &tm.tm_hour) &&
		     scan_char(&in, ':') && scan_digits(&in, 2, &tm.tm_min) &&
		     scan_char(&in, ':') && scan_digits(&in, 2, &tm.tm_sec) &&
		     scan_fraction(&in, &ms) && scan_char(&in, 'Z') && scan_end(&in);
	if (!ok)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	same = tm;
	s = timegm(&same); /* which makes March 2 of February 30 */
	if (s < 0 || same.tm_mday != tm.tm_mday || same.tm_mon != tm.tm_mon ||
	    same.tm_hour != tm.tm_hour || same.tm_min != tm.tm_min || same.tm_sec != tm.tm_sec)
		return false;
	*ret_wall_ms = (uint64_t)s * 1000 + ms;
	return true;
}
