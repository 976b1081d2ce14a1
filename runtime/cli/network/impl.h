/*
 * impl - what the files of the commands about networks share.
 */
#pragma once

#include "runtime/cli/network/network.h"

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

struct network_verb {
	const char *name;
	int (*run)(const struct network_cli *c, int argc, char **argv);
	const char *usage; /* behind the name */
	const char *doc;
};

/* Tells the failure, whole if it is a plugin's; cni may be NULL. */
int network_cli_fail(const struct network_cli *c, const struct cni *cni, const struct err *e);
int network_cli_usage(const struct network_cli *c, const char *group, const struct network_verb *v);
/* Writes a document to stdout. */
int network_cli_print(const struct jv *v);
/* What was done: the value for programs, or a line (NULL: none); consumes the value. */
int network_cli_done(const struct network_cli *c, struct jv **take, const char *line);
/* One of several: a line, or for programs a member of the list, with the reason if it failed (NULL: it did not). */
void network_cli_note(const struct network_cli *c, struct jv *list, struct jv **take,
		      const char *line, const struct err *why);
const struct network_verb *network_cli_find(const struct network_verb *table, size_t n,
					    const char *name);
void network_cli_list(const struct network_verb *table, size_t n, const char *program,
		      const char *group);
/* The list of a network by its name, the default one made on first use. */
MUST_CHECK enum err_kind network_cli_open(const struct network_cli *c, struct cni *cni,
					  const char *name, struct conflist *ret, struct err *e);

/* Somebody came to a network, or left it (container; NULL: nobody): files of names follow, or it is told. */
void network_cli_names(const struct network_cli *c, const struct net_name *network,
		       const struct container_id *left);

/* Commands of the group. */
int network_cli_create(const struct network_cli *c, int argc, char **argv);
int network_cli_rm(const struct network_cli *c, int argc, char **argv);
int network_cli_ls(const struct network_cli *c, int argc, char **argv);
int network_cli_inspect(const struct network_cli *c, int argc, char **argv);
int network_cli_up(const struct network_cli *c, int argc, char **argv);
int network_cli_down(const struct network_cli *c, int argc, char **argv);
int network_cli_connect(const struct network_cli *c, int argc, char **argv);
int network_cli_disconnect(const struct network_cli *c, int argc, char **argv);
int network_cli_reload(const struct network_cli *c, int argc, char **argv);
int network_cli_check(const struct network_cli *c, int argc, char **argv);
int network_cli_gc(const struct network_cli *c, int argc, char **argv);
