/*
 * log - logfmt lines, one event each: ts=.. level=.. ev=.. key=value ...
 *
 * G1  Values from outside are quoted and escaped: a line never holds a raw control byte, one event is one line.
 * G2  A log that cannot be written loses lines and counts them; it never stops or slows the caller for long.
 * Lifecycle  usable at once, synchronously; log_start() adds a writer thread, log_stop() flushes and ends it.
 * Threads    start and stop by one thread; all else from any, at any time.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_N };

#define LOG_LINE_MAX 2048

/* A line being built on the caller's stack; what does not fit is cut, and a "~" marks the cut. */
struct log_line {
	enum log_level level;
	bool always; /* written whatever the level of the log is */
	bool cut;    /* takes no more */
	size_t n;
	char s[LOG_LINE_MAX];
};

void log_set_level(enum log_level max);
bool log_is_on(enum log_level level);
bool log_level_parse(enum log_level *ret, struct str in);

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key, struct str value);
void log_num(struct log_line *l, const char *key, uint64_t value);
void log_end(struct log_line *l);

/* One event with a message only. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

MUST_CHECK bool log_start(void); /* false if no thread could be made: the log stays synchronous */
void log_stop(void);
uint64_t log_lost(void); /* lines dropped since start */
