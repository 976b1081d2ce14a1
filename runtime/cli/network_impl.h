/*
 * network_impl - what the files of network share.
 */
#pragma once

#include "runtime/cli/network.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct network_verb {
	const char *name;
	int (*run)(const struct network_cli *c, int argc, char **argv);
	const char *usage; /* behind the name */
	const char *doc;
};

/* Tells the failure, whole if it is a plugin's. */
int network_fail(const struct network_cli *c, const struct cni *cni, const struct err *e);
int network_usage(const struct network_cli *c, const struct network_verb *v);
/* Writes to stdout, with a newline. */
int network_print(const struct network_cli *c, const struct jv *v);
const struct network_verb *network_find(const struct network_verb *table, size_t n,
					const char *name);
void network_list(const struct network_verb *table, size_t n, const char *program,
		  const char *group);
