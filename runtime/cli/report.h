/*
 * report - what a command says it has done: lines for people, or with --json a document for programs.
 *
 * Z1  Who was told one thing prints an object; who was told several prints a list with an object for each, in order:
 *     "name" (and "id", where it has one), what else is known, and "error" if it failed.  Lists that were asked for (ps,
 *     images, ...) are lists, and what goes on until it is ended (events, logs) prints an object a line.
 * Z2  Errors are lines on stderr, and show in the exit status, with --json and without.  What failed as a whole prints
 *     nothing.
 * Z3  Where standard output is the container's (run, exec, start and attach in the foreground) or an archive (save, cp),
 *     --json is refused.
 * Lifecycle  report_begin -> report_add for each -> report_end.
 */
#pragma once

#include "runtime/cli/cli.h"

/* Prints the value with --json, else the line (NULL: none); consumes the value, which may be NULL without --json. */
int report_one(const struct cli *c, struct jv **take, const char *line);

struct report {
	struct cli *c;
	struct jv *list; /* NULL without --json */
	int status;
};
void report_begin(struct report *r, struct cli *c);
/*
 * Of one of several: with --json "name" and the members of the value (NULL: no more), else the name as a line if it is
 * to be shown.  why: it failed, which is told; NULL: it did not.
 */
void report_add(struct report *r, const char *name, struct jv **take, bool shown,
		const struct err *why);
/* The exit status. */
int report_end(struct report *r);

/* EXIT_USAGE, for Z3. */
#define REPORT_NOT_OURS "standard output is the container's"
int report_refuse(const struct cli *c, const char *command, const char *instead);
