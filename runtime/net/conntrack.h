/*
 * conntrack - connections that the kernel tracks for addresses which are given back.
 *
 * An entry outlives its container by minutes or days, and would send what comes for a port to the address of old.
 * Threads  any.
 */
#pragma once

#include "runtime/net/result.h"

/*
 * Forgets every connection that one of the result's addresses takes part in, in our own namespace.  What does not work
 * is left to the kernel's time-outs: not every kernel tracks connections.
 */
void conntrack_forget(const struct result *r);
