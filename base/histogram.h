/*
 * histogram - how long things took, in buckets that suit anything from a look in memory to a slow disk.
 *
 * Threads  any, without locks: a reader may see a sum that is a moment behind the counts.
 */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/* Upper bounds in microseconds; the last bucket has none. */
static const uint64_t histogram_bounds_us[] = { 250,     1000,    2500,    5000,    10000,
						25000,   50000,   100000,  250000,  500000,
						1000000, 2500000, 5000000, 10000000 };
#define HISTOGRAM_BUCKETS (ARRAY_LEN(histogram_bounds_us) + 1)

struct histogram {
	_Atomic uint64_t counts[HISTOGRAM_BUCKETS];
	_Atomic uint64_t sum_us;
};

static inline void histogram_add(struct histogram *h, uint64_t us)
{
	size_t i = 0;

	while (i + 1 < HISTOGRAM_BUCKETS && us > histogram_bounds_us[i])
		i++;
	(void)atomic_fetch_add_explicit(&h->counts[i], 1, memory_order_relaxed);
	(void)atomic_fetch_add_explicit(&h->sum_us, us, memory_order_relaxed);
}
