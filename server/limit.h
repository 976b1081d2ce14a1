/*
 * limit - how much one address and one identity may ask for: requests and bytes a second, and uploads at once.
 *
 * M1  What comes in in burst_ms may be used at once; then it goes by the rate.
 * M2  The bytes of a request are taken when they are known, which is after it was let in; who has taken more than there was is
 *     let in again when that is made up for, after DEBT_MS_MAX at the latest.
 * M3  Memory is bounded: of those that ask for nothing at the moment, who asked longest ago is forgotten, and begins anew.  An
 *     upload of somebody for whom there is no place is let in.
 * M4  Who is refused hears of it after HOLD_MS, so that asking again at once is no flood of refusals: a connection is worth two
 *     of them a second.
 * Addresses of IPv6 count by their first 64 bits.
 * Threads  any; none blocks.
 */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"

struct limits;

#define LIMIT_DEBT_MS_MAX 60000
#define LIMIT_HOLD_MS 500
#define LIMIT_HELD_MAX 1024 /* more hear of it at once */

/* Whose, and of what.  0: no limit. */
struct limit_rates {
	uint64_t requests, bytes; /* a second */
};
struct limit_options {
	size_t entries_max;
	uint64_t burst_ms;
	struct limit_rates address, identity;
	uint64_t uploads;
};
enum limit_subject { LIMIT_ADDRESS, LIMIT_IDENTITY, LIMIT_SUBJECT_N };

MUST_CHECK enum err_kind limits_new(const struct limit_options *o, struct limits **ret,
				    struct err *e);
/* Other rates from now on; what was taken at the old ones is given back at those. */
void limits_set(struct limits *l, const struct limit_options *o);
/* What is held is let go first. */
void limits_free(struct limits **take);

/* A request begins.  ERR_TOO_MANY: it may not, and none may for *ret_wait_ms. */
MUST_CHECK enum err_kind limits_request(struct limits *l, enum limit_subject s, struct str who,
					uint64_t now_mono_us, uint64_t *ret_wait_ms, struct err *e);
void limits_bytes(struct limits *l, enum limit_subject s, struct str who, uint64_t n,
		  uint64_t now_mono_us);
/* An upload begins; with a ticket other than 0 its end is to be told. */
MUST_CHECK enum err_kind limits_upload(struct limits *l, enum limit_subject s, struct str who,
				       uint64_t now_mono_us, uint64_t *ret_ticket, struct err *e);
void limits_upload_end(struct limits *l, uint64_t ticket);

/* Belongs to the caller; not touched any more once wake has been called, which is soon. */
struct limit_hold {
	struct limit_hold *next;
	uint64_t due_mono_ms;
	void (*wake)(struct limit_hold *h);
};
/* Reserves a place; false if there is none.  Then limits_hold is to follow. */
MUST_CHECK bool limits_may_hold(struct limits *l);
void limits_hold(struct limits *l, struct limit_hold *h);

struct limit_stats {
	uint64_t requests[LIMIT_SUBJECT_N], bytes[LIMIT_SUBJECT_N], uploads; /* refused for */
	uint64_t held;                                                       /* now */
};
struct limit_stats limits_stats(struct limits *l);
