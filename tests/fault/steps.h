/*
 * steps - one history of a store, step by step, and what is to be seen after each: the measure of the fault tests.
 *
 * A step that was acknowledged shows its effect for ever; one that failed, or was cut off, shows all of it or nothing.
 */
#pragma once

#include "storage/repo.h"
#include "storage/upload.h"

#define STEPS_N 14

/* Opens the store at root as berthd does with one thread. */
enum err_kind steps_open(const char *root, struct store **ret, struct err *e);

enum err_kind steps_run(struct store *st, unsigned step, struct err *e);
const char *steps_name(unsigned step);

/* A bit for each thing that can be seen; what is seen is read back and hashed.  Aborts the test on damage. */
unsigned long steps_probe(struct store *st);
