/*
 * log - lines of one event each, as logfmt (ts=.. level=.. ev=.. key=value ...) or as JSON objects with the same members.
 *
 * The part of an event's name before its first dot is its module, which may have a level of its own.
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

enum log_format { LOG_LOGFMT, LOG_JSON };

/* The names are those of the enum in lower case. */
/* clang-format off */
#define LOG_MODULES(X)                                                                             \
	X(ACCESS, access) X(AUTH, auth) X(CONFIG, config) X(EVENTS, events) X(GC, gc) \
	X(HTTP, http) X(REQUEST, request) X(SCRUB, scrub) X(STORE, store) X(TLS, tls) X(UPLOADS, uploads)
/* clang-format on */
#define X(id, name) LOG_##id,
enum log_module { LOG_MODULES(X) LOG_MODULE_N };
#undef X

/* A line being built on the caller's stack; what does not fit is cut, and a "~" or a member "cut" marks the cut. */
struct log_line {
	enum log_level level;
	bool off;  /* nobody wants it */
	bool json; /* as it was when the line began */
	bool cut;  /* takes no more */
	size_t n;
	char s[LOG_LINE_MAX];
};

void log_set_level(enum log_level max);
/* LOG_LEVEL_N: as log_set_level says. */
void log_set_module(enum log_module m, enum log_level max);
void log_set_format(enum log_format f);
/*
 * If stderr is a stream to the journal of systemd, each line begins with its priority from now on ("<6>"), which the journal
 * takes away.  To be called once, at the start.
 */
void log_find_journal(void);
/* Does any module want lines of this level?  Worth asking where building one is dear. */
bool log_is_on(enum log_level level);
bool log_level_parse(enum log_level *ret, struct str in);

void log_begin(struct log_line *l, enum log_level level, const char *event);
/* The same for what is written whatever the level is. */
void log_begin_always(struct log_line *l, enum log_level level, const char *event);
void log_str(struct log_line *l, const char *key, struct str value);
void log_num(struct log_line *l, const char *key, uint64_t value);
void log_end(struct log_line *l);

/* One event with a message only. */
void log_event(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

MUST_CHECK bool log_start(void); /* false if no thread could be made: the log stays synchronous */
void log_stop(void);
uint64_t log_lost(void); /* lines dropped since start */
