/*
 * remote - images in registries that are looked at where they are.
 */
#pragma once

#include "runtime/cli/registry.h"

struct remote_args {
	struct registry_args registry;
	const char *platform;
	bool raw, config;
};

/* Prints what the image docker://NAME is, as one object; the exit status. */
int remote_inspect(const char *name, struct remote_args *a);
