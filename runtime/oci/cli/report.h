/*
 * report - errors and warnings the way runc writes them: engines parse both forms.
 *
 * With --log FILE a line goes there (--log-format text or json), and the bare text to stderr; without it the line goes
 * to stderr.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define PROGRAM "berth-runtime"

/* path NULL: no file.  ERR_INVALID for an unknown format. */
MUST_CHECK enum err_kind report_open(const char *path, const char *format, bool debug,
				     struct err *e);
/* Text for a terminal: control characters as \n, \t and \x1b. */
void report_printable(const char *text, struct sbuf *out);
void report_error(const char *text);
void report_warning(const char *text);
void report_debug(const char *text);
