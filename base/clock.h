/*
 * clock - three kinds of time that must not be mixed up.
 *
 * wall_ms    milliseconds since 1970, for people and for disk; may jump.
 * mono_ms    milliseconds since some start, for durations and deadlines; never goes back.
 * steady_ms  what the wall clock said when the process first asked, and the time since: for times on disk that are
 *            compared with each other, which a clock that is set must neither shorten nor stretch.
 * Threads    any.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

uint64_t wall_ms(void);
uint64_t mono_ms(void);
uint64_t mono_us(void);
uint64_t steady_ms(void);
void sleep_ms(uint64_t ms); /* a signal may end it early */
uint64_t up_ms(void);       /* since the machine was started, sleep included */

#define TIME_TEXT_MAX sizeof("2026-01-01T00:00:00.000Z")
/* RFC 3339 in UTC with milliseconds. */
const char *time_text(uint64_t t_wall_ms, char buf[static TIME_TEXT_MAX]);
/* The other way: a date (2026-01-01), or one with a time of day (2026-01-01T00:00:00Z) and a fraction; no other zone. */
MUST_CHECK bool time_parse(struct str in, uint64_t *ret_wall_ms);
