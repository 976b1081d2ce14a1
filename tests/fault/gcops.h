/*
 * gcops - what is done to a whole store, each with a store to do it to and a look at what comes of it: the measure of
 * test_crash_gc and test_fault_gc.
 *
 * An operation that fails or is killed leaves a store that opens, that fsck finds nothing wrong with, and that has all
 * that was acknowledged; done again it succeeds.
 */
#pragma once

#include "storage/store.h"

struct gcop {
	const char *name;
	bool is_offline; /* run is given no store */
	void (*prepare)(const char *dir);
	enum err_kind (*run)(struct store *st, const char *dir, struct err *e);
	/* After whatever happened, with no store open: aborts if something is lost. */
	void (*look)(const char *dir);
	/* After run succeeded. */
	void (*check)(const char *dir);
};
extern const struct gcop gcops[];
extern const size_t gcops_n;

/* The store of an operation, as berthd opens it with one thread; *ret is untouched if the operation is offline. */
enum err_kind gcop_open(const struct gcop *op, const char *dir, struct store **ret, struct err *e);
