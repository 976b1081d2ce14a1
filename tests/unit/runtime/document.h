/*
 * document - a config.json that sets every property, and what spec_parse() says to changes of it.
 */
#pragma once

#include "base/jv.h"
#include "base/str.h"

/* tests/fuzz/corpus/spec/everything.json */
const struct jv *document(void);

/* A copy in which the value at path ("process.rlimits[1].type") is `take`, or is gone if that is NULL. */
struct jv *document_with(const char *path, struct jv *take);
/* The value at path, NULL without one. */
const struct jv *document_at(const char *path);

/* What spec_parse() says to it; "" if it takes it.  Consumes `take`; the text lives until the next call. */
const char *document_refusal(struct jv *take);
/* The same for a value given as JSON. */
const char *document_refusal_of(const char *path, const char *json);
