/*
 * throttle - slows down who guesses: failed logins count against the address, and against the account from that address.
 *
 * H1  After `free` failures within the window, each further one doubles the wait before the next try, up to wait_ms_max.
 * H2  An account that is guessed at from many addresses gives each of them one try without a wait, where it would give
 *     more, but always that one: nobody is locked out of an account by others.
 * H3  Tries under way count as failures until they end, so trying many at once gains nothing.
 * H4  Memory is bounded: what has failed least and longest ago is forgotten first.
 * Addresses of IPv6 count by their first 64 bits.
 * Threads  any.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct throttle;

struct throttle_options {
	size_t entries_max;
	/* Failures without a wait: of an account from an address, of an account from all, of an address. */
	unsigned free_account, free_everywhere, free_address;
	uint64_t wait_ms_min, wait_ms_max;
	uint64_t window_ms; /* failures older than this are forgotten */
};

MUST_CHECK enum err_kind throttle_new(const struct throttle_options *o, struct throttle **ret,
				      struct err *e);
void throttle_free(struct throttle **t);
/* Others from now on, but for entries_max; waits that have begun stay as they are. */
void throttle_set(struct throttle *t, const struct throttle_options *o);

/* Before a try.  ERR_TOO_MANY: it may not be made before *ret_wait_ms; otherwise throttle_end is to be called. */
MUST_CHECK enum err_kind throttle_begin(struct throttle *t, struct str account, struct str address,
					uint64_t now_mono_ms, uint64_t *ret_wait_ms, struct err *e);
enum throttle_result { THROTTLE_RIGHT, THROTTLE_WRONG, THROTTLE_UNDECIDED };
void throttle_end(struct throttle *t, struct str account, struct str address, uint64_t now_mono_ms,
		  enum throttle_result r);
