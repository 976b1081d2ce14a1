/*
 * self - the runtime's own binary, kept out of the container's reach (CVE-2019-5736).
 *
 * A process of the container can open /proc/PID/exe of whoever enters it, and could write to the program that root
 * runs next time.  So before anything of a container is touched the runtime executes itself again from a copy that
 * cannot be written to: its file by way of a detached overlay without an upper layer, which no path leads to, or a
 * sealed memfd where it may not mount (ADR 0020).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Returns in the protected program; an error if there is no way to protect it. */
MUST_CHECK enum err_kind self_protect(char **argv, struct err *e);

/* Where berth-runtime-systemd is: beside the program that was started, or in libexec. */
const char *self_helper_path(struct arena *a);
