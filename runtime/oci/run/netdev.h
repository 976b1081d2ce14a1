/*
 * netdev - linux.netDevices: network devices of the host given to a container.
 */
#pragma once

#include "runtime/oci/spec/spec.h"

/*
 * Moves each device into the network namespace of the process, under its new name, with the addresses it had, and
 * switches it on.  A name that is taken there is an error; devices moved before it stay, and go with the namespace.
 */
MUST_CHECK enum err_kind netdev_move(const struct spec *s, pid_t pid, struct err *e);
