/*
 * network - the commands about networks, for whichever program has them: berth-net, and `berth network`.
 *
 * A command prints to stdout, tells failures on stderr in one line with the program's name in front, and returns the
 * exit status: 0 success, 1 failure, 2 usage.
 * Ownership  the context outlives the call; commands keep nothing.
 * Threads    one thread: options are parsed by getopt_long.
 */
#pragma once

#include "runtime/net/cni.h"

struct network_cli {
	const char *program; /* in front of messages */
	struct cni_options cni;
	const char *conf_dir;  /* of configuration lists */
	const char *netns_dir; /* of namespaces made here */
	bool json;             /* output for programs */
};

/* `network ...`: argv[0] is the name of the command within the group; argv[argc] may be written. */
int network_cli_group(const struct network_cli *preset, int argc, char **argv);
void network_cli_help(const char *program);

/* An attachment as `inspect` shows it; NULL: no memory. */
struct jv *network_cli_attachment(const struct cni_options *o, const struct cache_entry *c);

/* The commands of a bare CNI runtime: add, del, check, gc, status, versions. */
int network_cli_cni(const struct network_cli *c, int argc, char **argv);
bool network_cli_has_cni(const char *name);
void network_cli_help_cni(const char *program);
