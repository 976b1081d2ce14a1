/*
 * expo - the text that monitoring reads: Prometheus exposition format 0.0.4 and OpenMetrics 1.0.0.
 *
 * A family is named once and then has its samples.  Counters get the suffix _total, as both formats want it.
 * Threads  no shared state.
 */
#pragma once

#include "base/histogram.h"
#include "base/str.h"

struct expo {
	struct sbuf *b;
	bool is_openmetrics;
	const char *name; /* of the family under way */
	enum expo_type { EXPO_COUNTER, EXPO_GAUGE, EXPO_HISTOGRAM } type;
};

/* name without suffix; help is one line. */
void expo_family(struct expo *x, enum expo_type type, const char *name, const char *help);
/* labels is `a="b",c="d"`, or "". */
void expo_sample(struct expo *x, const char *labels, uint64_t v);
/* Seconds, of milliseconds or microseconds. */
void expo_ms(struct expo *x, const char *labels, uint64_t ms);
void expo_us(struct expo *x, const char *labels, uint64_t us);
void expo_histogram(struct expo *x, const char *labels, const struct histogram *h);
void expo_end(struct expo *x);
/* A family of one sample without labels. */
void expo_one(struct expo *x, enum expo_type type, const char *name, const char *help, uint64_t v);
