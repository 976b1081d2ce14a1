/*
 * race - threads that stop at the named steps of gc/PROTOCOL.md, so that a test forces one order of events.
 *
 * A racer stops at one step at a time and goes on when the test says so.  Nothing waits for longer than RACE_WAIT_MS:
 * who does ends the test program with what it waited for.
 * Lifecycle  race_begin once, before any thread; race_start -> (race_at -> race_go)* -> race_end.
 * Threads    the test's calls by one thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#define RACE_WAIT_MS 30000

struct racer {
	void (*fn)(void *arg);
	void *arg;
	const char *stop; /* as all below: under race.c's lock */
	const char *met;  /* the step it stands at, or met without stopping */
	bool stands, done;
	pthread_t thread;
};

void race_begin(void);
/* Runs fn(arg) in a thread that stops at the step (NULL: nowhere). */
void race_start(struct racer *r, void (*fn)(void *arg), void *arg, const char *stop);
/* Returns when the racer stands at the step that it was to stop at. */
void race_at(struct racer *r);
/* Returns when it has met a step at which it does not stop. */
void race_met(struct racer *r, const char *step);
/* Lets it go on to another step, or to its end (NULL). */
void race_go(struct racer *r, const char *stop);
/* Lets it go on and waits for its end. */
void race_end(struct racer *r);
