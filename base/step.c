#include "base/step.h"

#ifdef BERTH_FAULT
#include <stddef.h>

static step_fn *observer;

void step_observe(step_fn *fn)
{
	observer = fn;
}

void step_reached(const char *name)
{
	if (observer)
		observer(name);
}
#else
typedef int step_is_nothing; /* ISO C wants a declaration in each file */
#endif
