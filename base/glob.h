/*
 * glob - patterns for names made of components with slashes between them, such as repositories; and for tags.
 *
 *   *    any characters within a component, none included
 *   ?    one character within a component
 *   **   as a whole component: any number of components, none included; at the end at least one
 *
 * So, after "team/", one star has team/a and neither team nor team/a/b; two have team/a and team/a/b, and not team; two by
 * themselves have everything.  All else stands for itself, case counts, and nothing escapes.
 *
 * P1  A pattern matches a whole name or not at all.
 * P2  Time is at most the product of both lengths: there is nothing to recurse into.
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

#define GLOB_MAX 512 /* bytes of a pattern */

/* False, and *ret_why is a sentence's end, for a pattern that could match nothing or not what it seems to say. */
MUST_CHECK bool glob_is_valid(struct str pattern, const char **ret_why);
/* The pattern is valid. */
bool glob_match(struct str pattern, struct str name);
/* How many bytes at the start of the pattern stand for themselves: every name that matches begins with them. */
size_t glob_literal(struct str pattern);
