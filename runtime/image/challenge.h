/*
 * challenge - what a registry asks for: WWW-Authenticate (RFC 9110 11.6.1; distribution-spec, token authentication).
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

#define CHALLENGE_TEXT_MAX 2048

struct challenge {
	enum challenge_kind kind;
	char realm[CHALLENGE_TEXT_MAX]; /* of Bearer: a URL */
	char service[256], scope[CHALLENGE_TEXT_MAX];
};

/*
 * The strongest challenge in a field's value that we can answer: Bearer before Basic.  False if there is none; other
 * schemes and parameters are passed over.
 */
MUST_CHECK bool challenge_parse(struct str field, struct challenge *ret);
