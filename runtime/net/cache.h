/*
 * cache - what was attached to what, on disk, in the format of the reference library ("cniCacheV1"), so that its users
 * (cnitool, podman, nerdctl, CRI-O) understand ours and we understand theirs.
 *
 * DIR/results/NETWORK-CONTAINER-INTERFACE, mode 0600 in a directory of mode 0700, one JSON object:
 *
 *   kind            "cniCacheV1"
 *   containerId     text
 *   config          base64 of the network configuration list
 *   ifName          text
 *   networkName     text
 *   netns           text, absent if empty
 *   cniArgs         [["K","V"],...], absent if empty
 *   capabilityArgs  object, absent if empty
 *   result          object: what ADD gave
 *   berth           {"incomplete":true} while an ADD is under way, absent otherwise; others ignore it
 *
 * H1  An entry is there from before the first plugin of an ADD runs, with the latest result, until the last plugin of
 *     a DEL succeeded: whatever dies in between, somebody can find and undo it.
 * H2  An entry is replaced as a whole; readers see the old one or the new one.  enum cache_care is for power cuts, after
 *     which nothing of an attachment is left but an address that is taken.
 * H3  A file that is no entry, whoever wrote it, is ERR_CORRUPT for those who ask for it and skipped by the others.
 * Ownership  an entry owns all it points to.
 * Threads    any; one at a time per entry.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"
#include "runtime/net/name.h"

#define CACHE_BYTES_MAX (8u * 1024 * 1024)
#define CACHE_JSON_DEPTH 64

struct cache_entry {
	struct net_name network;
	struct container_id container;
	struct if_name ifname;
	char *netns;             /* NULL if there was none */
	struct jv *args;         /* as of net_args_parse; NULL if none */
	struct jv *capabilities; /* object; NULL if none */
	struct jv *result;       /* object; NULL if none */
	struct sbuf config;      /* the list's text */
	bool incomplete;
};

void cache_entry_clear(struct cache_entry *c);
#define AUTO_CACHE_ENTRY CLEANUP(cache_entry_clear) struct cache_entry

/* Text to entry and back; *ret is empty on failure. */
MUST_CHECK enum err_kind cache_parse(struct str text, struct cache_entry *ret, struct err *e);
void cache_format(const struct cache_entry *c, struct sbuf *out);

/* ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_CHECK enum err_kind cache_read(const char *dir, const struct net_name *network,
				    const struct container_id *container,
				    const struct if_name *ifname, struct cache_entry *ret,
				    struct err *e);
/* What a power cut may do to an entry; each costs a write to the disk more than the one before. */
enum cache_care {
	CACHE_QUICK,   /* it may be torn */
	CACHE_WHOLE,   /* it is this one, or the one before */
	CACHE_LASTING, /* it is this one; for an entry that is new */
};

/* Makes the directories that are missing. */
MUST_CHECK enum err_kind cache_write(const char *dir, const struct cache_entry *c,
				     enum cache_care care, struct err *e);
/* No entry is success. */
MUST_CHECK enum err_kind cache_remove(const char *dir, const struct net_name *network,
				      const struct container_id *container,
				      const struct if_name *ifname, struct err *e);

/* Calls fn for each entry, by file name, until it fails; fn may take the contents.  No directory, no entries. */
typedef enum err_kind cache_fn(void *arg, struct cache_entry *c, struct err *e);
MUST_CHECK enum err_kind cache_each(const char *dir, cache_fn *fn, void *arg, struct err *e);
