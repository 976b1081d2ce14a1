/*
 * note - text put together without memory or stdio, for what is said between clone and exec.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define NOTE_MAX 200

struct note {
	size_t n;
	char s[NOTE_MAX]; /* always NUL-terminated; cut if it does not fit */
};

/* Texts up to a NULL; note_set starts anew. */
void note_set(struct note *note, ...) __attribute__((sentinel));
void note_add(struct note *note, const char *text);

/* Decimal text; the result points into buf. */
#define DECIMAL_MAX 24
const char *decimal(uint64_t v, char buf[static DECIMAL_MAX]);

/* "/proc/self/fd/N" */
#define FD_PATH_MAX 32
const char *fd_path(int fd, char buf[static FD_PATH_MAX]);
