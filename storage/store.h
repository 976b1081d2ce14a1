/*
 * store - one directory that holds a registry's content: opening, closing, and what keeps two daemons apart.
 *
 * S1  Everything a 201 promised is found again by the next store_open, whatever ended the last process.
 * S2  One process at a time: a second store_open of the same root fails and names the first one's pid.
 * S3  A root that is not ours, or of another version, is refused with nothing in it changed.
 * S4  A manifest that the index holds the bytes of is durable with the index.  Its file is written before the answer and
 *     synced by the next store_settle; what a power cut takes of it is written again by the next store_open.
 * Lifecycle  store_open -> operations of blob.h, upload.h, repo.h, reads of index.h -> store_close.
 * Ownership  the store owns its index; store_index lends it for reads.
 * Threads    open and close by one thread while no other uses the store.
 */
#pragma once

#include "storage/commit.h"
#include "storage/index.h"

struct store;

#define STORE_VERSION 1

struct store_options {
	const char *root;      /* made if its parent exists */
	bool must_exist;       /* a root that is no store yet is ERR_NOT_FOUND */
	uint64_t map_bytes;    /* first size of the index's map; it grows by itself */
	struct quotas *quotas; /* borrowed for store_open; NULL: none */
	bool single_thread;    /* no thread of our own: callers commit by themselves */
	/* What store_set_limits can change. */
	_Atomic uint64_t uploads_max;     /* open upload sessions */
	_Atomic uint64_t uploads_idle_ms; /* after which a session is given up */
	_Atomic uint64_t lease_ms;        /* how long unreferenced content is safe from gc */
	_Atomic uint64_t
	    trash_keep_ms; /* how long what was removed can be restored; 0: not at all */
	_Atomic unsigned json_depth_max;
	_Atomic enum sparse sparse; /* which manifests may name what is absent */
};

/* What store_open found left over from a process that was killed. */
struct store_recovery {
	uint64_t resumable; /* upload sessions that can go on */
	uint64_t discarded; /* files that no acknowledged change refers to */
	uint64_t rewritten; /* manifests whose files had not reached the disk */
};

MUST_CHECK enum err_kind store_open(const struct store_options *o, struct store **ret,
				    struct store_recovery *ret_found, struct err *e);
void store_close(struct store **st);

/*
 * Makes durable the files of manifests put since the last time.  To be called every second or so, by one thread; costs
 * one syncfs if there is anything to do, and may wait for whatever else the file system has to write.
 */
MUST_CHECK enum err_kind store_settle(struct store *st, struct err *e);

/* A tag was pulled; its time reaches the index with the next store_flush_pulls.  Never blocks for long. */
void store_note_pull(struct store *st, uint64_t repo, const struct tag_name *tag);
MUST_CHECK enum err_kind store_flush_pulls(struct store *st, struct err *e);

/* Forgets leases that are over; to be called now and then. */
void store_expire_leases(struct store *st);
uint64_t store_leases(struct store *st);
/* Bytes that the file system has left for us. */
MUST_CHECK enum err_kind store_free_bytes(struct store *st, uint64_t *ret, struct err *e);

/* Of what is open; root and quotas are not for others. */
const struct store_options *store_limits(const struct store *st);
/* Takes over the limits in o; a lease that was given out stays as long as it was. */
void store_set_limits(struct store *st, const struct store_options *o);
/* A reference, or NULL: none. */
struct quotas *store_quotas(struct store *st);
/* Others from now on, which are counted first; NULL: none. */
MUST_CHECK enum err_kind store_set_quotas(struct store *st, struct quotas *q, struct err *e);

/* Grows with each look-up and change for a client: background work gives way while it does. */
uint64_t store_client_work(struct store *st);

struct index *store_index(struct store *st);
struct commit_stats store_commit_stats(struct store *st);
