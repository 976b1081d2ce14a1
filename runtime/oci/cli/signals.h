/*
 * signals - their names.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"

/* "9", "KILL", "SIGKILL", "SIGRTMIN+3", in any case. */
bool signal_parse(const char *text, int *ret);
