/*
 * caps - names of capabilities.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define CAP_NAMES_MAX 64

/* False for a name that is not known; case and the prefix "CAP_" do not matter. */
bool cap_parse(const char *name, unsigned *ret);
/* NULL behind the last. */
const char *cap_name(unsigned cap);
/* The ones that this kernel has. */
uint64_t caps_of_kernel(int proc);
