/*
 * watch - closes connections that hold on to us without moving: heads that never end, bodies that crawl, readers that
 * do not read, clients that are gone.  libmicrohttpd's own time-out sees only connections on which nothing moves at all,
 * and it misses the end of a stream that comes together with its last bytes.
 *
 * What moved is read from the kernel (TCP_INFO), so no poll thread counts anything.
 * Threads  enter, leave and phase by the connection's poll thread; tick by one thread.
 */
#pragma once

#include "base/lock.h"

enum watch_phase {
	WATCH_HEAD, /* between requests, or within the head of one */
	WATCH_BODY, /* the client is to send */
	WATCH_WORK, /* we are to act */
	WATCH_SEND, /* the client is to read */
};

struct watch {
	struct lock mu;
	struct watched *first; /* under mu */
	_Atomic uint64_t head_timeout_ms, grace_ms, min_rate;
};

/* One connection, embedded by the caller. */
struct watched {
	struct watched *prev, *next;
	int fd;
	_Atomic unsigned phase; /* enum watch_phase in the low two bits, a counter above */
	/* The ticking thread's. */
	unsigned seen_phase;
	uint64_t since_ms, received, acked;
	bool ended; /* at the last look the client had ended its side, and all it sent was read */
};

void watch_init(struct watch *w, uint64_t head_timeout_ms, uint64_t grace_ms, uint64_t min_rate);
/* Other limits from the next tick on. */
void watch_set(struct watch *w, uint64_t head_timeout_ms, uint64_t grace_ms, uint64_t min_rate);
void watch_clear(struct watch *w);
void watch_enter(struct watch *w, struct watched *c, int fd);
/* Before the descriptor is closed. */
void watch_leave(struct watch *w, struct watched *c);
void watch_phase(struct watched *c, enum watch_phase phase);

/* Has the client sent something, and got nothing? */
bool watch_was_silent(const struct watched *c);

/* To be called every second or so. */
void watch_tick(struct watch *w, uint64_t now_mono_ms);
/* Ends all connections at once. */
void watch_shutdown_all(struct watch *w);
