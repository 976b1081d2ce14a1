/*
 * faults - everything that is wrong with something, told as it is found, for those who want to hear all of it at once.
 *
 * Lifecycle  a struct of zeros (or with tell set) -> faults_add for each -> n, and first for who can use one only.
 * Threads    one at a time per object.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct faults {
	void (*tell)(void *arg, const struct err *e); /* may be NULL */
	void *arg;
	uint64_t line; /* for tell: where the one that it hears of stands; 0: not known */
	unsigned n;
	struct err first;
};

void faults_add(struct faults *f, const struct err *e);
/* ERR_OK if there were none, or the first one. */
MUST_CHECK enum err_kind faults_first(const struct faults *f, struct err *e);
