/*
 * cni_box - a place for tests of networks: a namespace that plays the host, one that plays a container, and plugins that
 * are scripts and tell what they were asked.
 *
 * A plugin appends "TYPE COMMAND" to the calls, and leaves its input in in.1, in.2, ...  It does what the file
 * TYPE.COMMAND says, a piece of shell that may exit; otherwise ADD answers with one address.
 * Threads  one.
 */
#pragma once

#include "runtime/net/cni.h"

struct cni_box {
	const char *dir; /* of everything; a unit_dir() */
	char plugins[200], cache[200], state[200], netns[200];
	const char *plugin_dirs[1];
	struct cni_options options;
	struct cni cni;
	struct jv *args, *capabilities;
	struct attachment attachment; /* container c1, eth0, the namespace */
};

/* Programs are watched by pidfd_open(2), which valgrind 3.19 does not know: nothing that starts plugins runs under it. */
bool cni_box_can_run(void);
/* Once, before any test: moves the process into namespaces of its own.  False if that is not allowed. */
bool cni_box_enter(void);
/* Skips the case if cni_box_enter failed. */
void cni_box_open(struct cni_box *b);
void cni_box_close(struct cni_box *b);
#define AUTO_CNI_BOX CLEANUP(cni_box_close) struct cni_box

void cni_box_plugin(const struct cni_box *b, const char *type);
void cni_box_behaviour(const struct cni_box *b, const char *type, const char *command,
		       const char *shell);
/* What was called since the last look, "a ADD, b ADD"; the caller's until the next call. */
const char *cni_box_calls(struct cni_box *b);
/* The input of the n'th call since the last look. */
struct jv *cni_box_input(const struct cni_box *b, unsigned n);
/* A list of plugins "a b" with more members of the list ("" or "\"x\":1,"), in place of what *ret had. */
void cni_box_list(const char *name, const char *version, const char *plugins, const char *more,
		  struct conflist *ret);
unsigned cni_box_cached(const struct cni_box *b);

/* The member of the n'th call's input is this JSON; want NULL: it is not there. */
void cni_box_assert_input(const struct cni_box *b, unsigned n, const char *key, const char *want);
void cni_box_assert_env(const struct cni_box *b, unsigned n, const char *want);
void cni_box_add_ok(struct cni_box *b, const struct conflist *l);
/* Opens, adds the container to a list "net" of these plugins, and forgets what was called. */
void cni_box_open_added(struct cni_box *b, const char *version, const char *plugins,
			struct conflist *ret);
void cni_box_del_ok(struct cni_box *b, const struct conflist *l);

/* What ADD answers with, unless a plugin does otherwise. */
#define CNI_BOX_ADDED CNI_BOX_ADDED_IN("1.0.0")
#define CNI_BOX_ADDED_IN(v)                                                                        \
	"{\"cniVersion\":\"" v "\",\"interfaces\":[{\"name\":\"eth0\",\"sandbox\":\"/x\"}],"       \
	"\"ips\":[{\"address\":\"10.9.8.7/24\",\"interface\":0}]}"
