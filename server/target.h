/*
 * target - a request-target (RFC 9112 3.2) taken apart: raw path and decoded query.
 *
 * Q1  The path stays as sent; path.h decodes it component by component, so that an escaped slash never splits one.
 * Q2  Query keys and values are percent-decoded; "+" stands for itself, since media types hold it.
 * Ownership  views point into the raw text and into the buffer given.
 * Threads    no shared state.
 */
#pragma once

#include "base/str.h"

#define QUERY_ITEMS_MAX 64

struct query_item {
	struct str key, value;
};

struct target {
	struct str path; /* starts with "/" */
	size_t n_query;
	struct query_item query[QUERY_ITEMS_MAX];
};

/* Decodes into buf, which is to hold raw.n bytes.  False: not a target of ours, or a bad escape in the query. */
MUST_CHECK bool target_parse(struct str raw, char *buf, struct target *ret);

/* The i'th value of key, false if there are not so many. */
bool target_query(const struct target *t, struct str key, size_t i, struct str *ret);
