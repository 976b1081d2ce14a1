/*
 * foreground - waits for a process of the container as if it were our own program: passes signals on to it, and, with
 * a terminal, input and output and the window's size.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"

/* Before the process is made: from here on signals wait until foreground_wait() looks at them. */
MUST_CHECK enum err_kind foreground_begin(struct err *e);
/* A socket pair for --console-socket's place: one end for the runtime, one for foreground_wait(). */
MUST_CHECK enum err_kind foreground_console(int *ret_runtime, int *ret_own, struct err *e);
/* console: our end, or -1.  *ret is the exit status as a shell gives it: 128 and more for a signal. */
MUST_CHECK enum err_kind foreground_wait(pid_t pid, int console, int *ret, struct err *e);
