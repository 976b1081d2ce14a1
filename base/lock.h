/*
 * lock - mutexes with a rank: a thread takes them in increasing order of rank only.
 *
 * K1  Taking a lock of equal or lower rank than one held aborts at once, in every build: a dead-lock that
 *     needs luck becomes a crash that needs none.
 * K2  Nothing blocking, no callback and no log line under a lock.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

/* Outermost first. */
#define LOCKS(X)                                                                                   \
	X(ADMIN, 3)                                                                                \
	X(GC, 5)                                                                                   \
	X(SCRUBBER, 6)                                                                             \
	X(EVENTS, 8)                                                                               \
	X(SESSIONS, 10)                                                                            \
	X(PUBLISHERS, 15)                                                                          \
	X(COMMITTER, 20)                                                                           \
	X(LEASES, 25)                                                                              \
	X(CONNECTIONS, 30)                                                                         \
	X(REQUEST, 40)                                                                             \
	X(WORK, 50)                                                                                \
	X(PULLS, 55)                                                                               \
	X(READERS, 60)                                                                             \
	X(QUOTAS, 62)                                                                              \
	X(LIMITS, 65)                                                                              \
	X(AUTH, 70) /* each lock of auth/ and of TLS: none is held while another is taken */       \
	X(LAYERS, 72)                                                                              \
	X(TRANSFER, 75)                                                                            \
	X(PIPE, 80)                                                                                \
	X(LIVE, 85)                                                                                \
	X(LOG, 90)
#define X(name, rank) LOCK_##name = (rank),
enum lock_rank { LOCK_NONE, LOCKS(X) };
#undef X

struct TSA(capability("mutex")) lock {
	pthread_mutex_t mu;
	unsigned rank, outer;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_clear(struct lock *l);
void lock_get(struct lock *l) TSA(acquire_capability(*l)) TSA(no_thread_safety_analysis);
void lock_put(struct lock *l) TSA(release_capability(*l)) TSA(no_thread_safety_analysis);

/* pthread_cond_wait with the rank kept right.  deadline_mono_ms 0 waits for ever; false on time-out. */
bool lock_wait(struct lock *l, pthread_cond_t *c, uint64_t deadline_mono_ms)
    TSA(requires_capability(*l)) TSA(no_thread_safety_analysis);
void cond_init(pthread_cond_t *c); /* on the monotonic clock */
