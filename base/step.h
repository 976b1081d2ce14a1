/*
 * step - named points at which tests stop a thread, to force one order of events among several.
 *
 * Without BERTH_FAULT a step costs nothing.  The names are those of gc/PROTOCOL.md.
 */
#pragma once

#ifdef BERTH_FAULT
typedef void step_fn(const char *name);
/* Called by every thread that reaches a step, from now on; NULL ends it.  Set while no other thread runs. */
void step_observe(step_fn *fn);
void step_reached(const char *name);
#define STEP(name) step_reached(name)
#else
#define STEP(name) ((void)0)
#endif
