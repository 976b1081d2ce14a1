/*
 * quantity - durations and sizes as people write them: 90s, 24h, 30d; 4M, 1G (powers of 1024).  0 needs no unit.
 *
 * Threads  no shared state.
 */
#pragma once

#include "base/str.h"

#define QUANTITY_TEXT_MAX 32

/* Milliseconds: ms s m h d.  False for anything else; *ret is untouched then. */
MUST_CHECK bool duration_parse(struct str in, uint64_t *ret_ms);
/* Bytes: a number, or one with K M G T. */
MUST_CHECK bool size_parse(struct str in, uint64_t *ret);

/* As docker and podman take them: 64m, 1.5GiB, 100b, 4096. */
MUST_CHECK bool size_parse_docker(struct str in, uint64_t *ret);
/* As Go has them: 1m30s, 1.5h, 250ms; or with d.  What is less than a millisecond is lost. */
MUST_CHECK bool duration_parse_go(struct str in, uint64_t *ret_ms);

/* In the largest unit that leaves no remainder; NUL-terminated text into buf, which is returned. */
const char *duration_text(uint64_t ms, char buf[static QUANTITY_TEXT_MAX]);
const char *size_text(uint64_t bytes, char buf[static QUANTITY_TEXT_MAX]);
