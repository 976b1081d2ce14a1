/*
 * steps - one history of a store, step by step, and what is to be seen after each: the measure of the fault tests.
 *
 * A step that was acknowledged shows its effect for ever; one that failed, or was cut off, shows all of it or nothing.
 */
#pragma once

#include "storage/repo.h"
#include "storage/upload.h"

enum step {
	STEP_CONFIG,
	STEP_LAYER,
	STEP_CHUNKED,
	STEP_CANCEL,
	STEP_MANIFEST,
	STEP_MOUNT,
	STEP_SETTLE,
	STEP_SECOND,
	STEP_TAG_MOVE,
	STEP_TAG_ADD,
	STEP_LAYER_AGAIN,
	STEP_TAG_DELETE,
	STEP_MANIFEST_DELETE,
	STEP_BLOB_DELETE,
	STEP_MOUNT_DELETE,
	STEP_SETTLE_AGAIN,
	STEPS_N
};

/* Opens the store at root as berthd does with one thread. */
enum err_kind steps_open(const char *root, struct store **ret, struct err *e);

enum err_kind steps_run(struct store *st, unsigned step, struct err *e);
const char *steps_name(unsigned step);

/* A bit for each thing that can be seen; what is seen is read back and hashed.  Aborts the test on damage. */
unsigned long steps_probe(struct store *st);

/* What is to be seen before the first step and after each, from a run in which nothing fails. */
void steps_golden(unsigned long ret[STEPS_N + 1]);
