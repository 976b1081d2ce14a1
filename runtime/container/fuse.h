/*
 * fuse - a container's root by fuse-overlayfs(1), for kernels that let no ordinary user mount overlayfs.
 *
 * F1  The file system is mounted here and served by the program: like overlay.h's it is shown by no directory, and its
 *     program ends when the last descriptor and mount namespace that hold it are gone.
 * F2  Layers have the form that overlayfs in a user namespace has (user.overlay.*), which the program knows.
 * Threads  no shared state.
 */
#pragma once

#include "runtime/container/overlay.h"

MUST_CHECK enum err_kind fuse_mount(const struct overlay *o, int *ret, struct err *e);
