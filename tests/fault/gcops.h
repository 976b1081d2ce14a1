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

/*
 * The counted calls that run makes, in their order and from fault_arm on, but for those that failed; and in a run of
 * openat, such as of the 512 directories of blobs/, but for those in the middle.
 */
struct gccall {
	const char *name;
	unsigned long n; /* its number */
	bool is_last;    /* of a run of calls of its name */
};
#define GCCALLS_MAX 256
size_t gcop_calls(const struct gcop *op, struct gccall ret[static GCCALLS_MAX]);
