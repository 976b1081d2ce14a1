/*
 * trace - which of others' requests ours belong to: the trace context of the W3C (traceparent), taken over, and passed on to
 * whom we ask while we serve.
 *
 * C1  What is not exactly as the recommendation says is no trace.
 * Threads  trace_enter, trace_leave and trace_current are about the calling thread.
 */
#pragma once

#include "base/str.h"

#define TRACE_ID_MAX 33
#define SPAN_ID_MAX 17

struct trace {
	char id[TRACE_ID_MAX];    /* "": none */
	char parent[SPAN_ID_MAX]; /* who asked us */
	char span[SPAN_ID_MAX];   /* ours */
	char flags[3];
};

/* Of a field traceparent, with a span of our own.  False, and no trace, if it is not one. */
bool trace_parse(struct str field, struct trace *ret);

/* The field to pass on. */
#define TRACE_TEXT_MAX 56
const char *trace_text(const struct trace *t, char buf[static TRACE_TEXT_MAX]);

/* What this thread does from here on is for t, which stays until trace_leave; NULL or no trace: for nobody. */
void trace_enter(const struct trace *t);
void trace_leave(void);
/* NULL: none. */
const struct trace *trace_current(void);
