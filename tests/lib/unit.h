/*
 * unit - cmocka with the headers that it wants before it, in an order that no formatter changes; and lists of cases
 * for tests that are tables.
 *
 * Lifecycle  unit_case and UNIT_TABLE in main, then unit_run.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* cmocka.h of Debian 12 includes nothing itself. */
#include <cmocka.h>

#include "base/err.h"
#include "base/str.h"

void unit_case(const char *name, CMUnitTestFunction fn);
/* One case for each row, which begins with its name (const char *); *state is the row. */
#define UNIT_TABLE(what, fn, rows)                                                                 \
	unit_rows(what, fn, rows, sizeof((rows)[0]), sizeof(rows) / sizeof((rows)[0]))
void unit_rows(const char *what, CMUnitTestFunction fn, const void *rows, size_t row_size,
	       size_t n);
/* Runs all in the order they were added; the exit status of main. */
int unit_run(void);

/* A new empty directory, removed at the end of the case however it ends. */
const char *unit_dir(void);
/* The same in a file system that is hardly one in memory. */
const char *unit_disk_dir(void);

/* Runs fn in a child process; true if that one aborted. */
bool unit_aborts(void (*fn)(void *arg), void *arg);

/* Does this thread of ours wait for something? */
bool unit_thread_sleeps(pid_t tid);

#define assert_str(s, lit) unit_assert_str((s), STR(lit), __FILE__, __LINE__)
void unit_assert_str(struct str got, struct str want, const char *file, int line);
/* The call failed with this kind, and the message holds the text. */
#define assert_err(call, want, e, text)                                                            \
	unit_assert_err((call), (want), (e), (text), __FILE__, __LINE__)
void unit_assert_err(enum err_kind got, enum err_kind want, const struct err *e, const char *text,
		     const char *file, int line);
/* The call succeeded; shows the message if not. */
#define assert_ok(call, e) unit_assert_ok((call), (e), __FILE__, __LINE__)
void unit_assert_ok(enum err_kind got, const struct err *e, const char *file, int line);
