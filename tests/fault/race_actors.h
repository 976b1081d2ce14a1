/*
 * race_actors - who takes part in the interleavings of gc/PROTOCOL.md: pushers, clients that ask, collectors, restorers.
 *
 * The scene is one store, in repository "a" unless an actor says otherwise.  An actor runs in a thread of its own
 * (actor_start) or at once (actor_run); its results are read when it has ended.
 */
#pragma once

#include "storage/blob.h"
#include "tests/fault/race.h"
#include "tests/lib/gc_fixture.h"

#define RACE_CONFIG "config"
#define RACE_LAYER "layer" /* what the collector is after */

struct actor {
	struct racer racer;
	const char *repo;      /* NULL: "a" */
	const char *tag;       /* of a manifest; NULL: none */
	const char *text;      /* of a blob; NULL: RACE_LAYER */
	struct str body;       /* of a manifest */
	struct digest digest;  /* of a manifest that is asked for or deleted */
	const char *from;      /* of a mount; NULL: any */
	bool only_content;     /* a collector that leaves entries alone */
	uint64_t trash_id;     /* of a restorer */
	struct digest watched; /* a collector tells its verdict; alg 0: that of RACE_LAYER */

	enum err_kind k; /* results */
	struct err e;
	struct digest missing; /* the only one; alg 0: none, or more */
	enum verdict verdict;
};

/* The scene. */
extern struct store *scene;
void scene_open(const char *root, uint64_t trash_keep_ms);
/* Nothing is wrong with what is left. */
void scene_close(void);

typedef void actor_fn(void *actor);
actor_fn act_push, act_put, act_ask_blob, act_ask_manifest, act_collect, act_mount, act_restore;
actor_fn act_delete_blob, act_delete_manifest, act_move_tag, act_delete_tag;

void actor_start(struct actor *a, actor_fn *fn, const char *stop);
/* Starts it and returns when it stands there. */
void actor_stop_at(struct actor *a, actor_fn *fn, const char *stop);
void actor_end(struct actor *a);
enum err_kind actor_run(struct actor *a, actor_fn *fn);

/* The image of RACE_CONFIG and RACE_LAYER; and a tagged one that holds RACE_CONFIG, so that only the layer is free. */
struct sbuf race_image(const char *note);
void push_free_layer(void);
/* Puts the image and looks at it: NULL if it was accepted and is whole. */
const char *why_not_accepted(void);
/* Removes all rows of the trash; *ret how many. */
size_t expire_trash(void);
