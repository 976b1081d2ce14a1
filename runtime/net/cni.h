/*
 * cni - the operations of a container runtime on networks (CNI spec 1.1.0 section 3).
 *
 * I1  Nothing is started, and no file made, before every name was checked, every plugin found, and the namespace seen to
 *     be one, and not the host's.
 * I2  ADD of what is attached already, or of an interface name that the container has, is refused without touching it.
 * I3  An ADD that fails undoes itself: every plugin of the list is called with DEL, in reverse, whatever the others say.
 *     What could not be undone stays in the cache, marked incomplete, for the next DEL or garbage collection.
 * I4  The same holds for an ADD whose runtime died at any moment: the cache knows of it (cache.h H1), and the lock
 *     waits for plugins that outlived it (lock.h O3).
 * I5  DEL takes configuration and arguments from the cache, as they were for ADD; what is gone already (namespace,
 *     interface, cache entry) is no failure.  It may be repeated.
 * I6  DEL removes an interface only from the network that it belongs to.
 * I7  When DEL has succeeded the kernel tracks no connection of the attachment's addresses any more.
 * I8  A port of the host that another container has published is not published again (ports.h).
 * Lifecycle  cni_init -> operations -> cni_clear.
 * Ownership  the options, and what they point to, outlive the struct cni.
 * Threads    one thread at a time per struct cni; operations of several processes or threads wait for each other as
 *            lock.h says.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"
#include "runtime/net/cache.h"
#include "runtime/net/conflist.h"
#include "runtime/net/name.h"
#include "runtime/net/plugin.h"
#include "runtime/net/result.h"

#define CNI_TIMEOUT_MS 60000u
#define CNI_WAIT_MS 120000u
#define CNI_CACHE_DIR "/var/lib/cni"

/* What a plugin wrote to stderr. */
typedef void cni_log_fn(void *arg, const char *plugin, struct str text);

struct cni_options {
	const char *const *plugin_dirs;
	size_t n_plugin_dirs;
	const char *cache_dir; /* CNI_CACHE_DIR, unless users have their own */
	const char *state_dir; /* for the lock; gone after a reboot */
	uint64_t timeout_ms;   /* of one plugin; 0: CNI_TIMEOUT_MS */
	uint64_t wait_ms;      /* for an operation under way; 0: CNI_WAIT_MS */
	cni_log_fn *log;       /* may be NULL */
	void *log_arg;
};

struct cni {
	const struct cni_options *options;
	struct sbuf search_path;       /* CNI_PATH */
	struct plugin_failure failure; /* of the plugin that failed last */
};

void cni_init(struct cni *c, const struct cni_options *o);
void cni_clear(struct cni *c);
#define AUTO_CNI CLEANUP(cni_clear) struct cni

struct attachment {
	struct container_id container;
	struct if_name ifname;
	const char *netns;             /* path; NULL where it is not needed or not known */
	const struct jv *args;         /* as of net_args_parse; NULL: none */
	const struct jv *capabilities; /* object; NULL: none */
};

/*
 * Attaches; *ret is what the last plugin said.  ERR_EXISTS: it is attached, or the container has that interface;
 * ERR_IN_USE: another operation is under way, or a plugin says to try again later.
 */
MUST_CHECK enum err_kind cni_add(struct cni *c, const struct conflist *l,
				 const struct attachment *a, struct result *ret, struct err *e);
/*
 * Detaches.  l is for an attachment that is not in the cache, and may be NULL: then that is success.
 * The namespace may be left out; it is known from the cache.
 */
MUST_CHECK enum err_kind cni_del(struct cni *c, const struct net_name *network,
				 const struct conflist *l, const struct attachment *a,
				 struct err *e);
/* ERR_NOT_FOUND: not attached; ERR_UNSUPPORTED: the list's version has no CHECK.  Nothing is done under disableCheck. */
MUST_CHECK enum err_kind cni_check(struct cni *c, const struct conflist *l,
				   const struct attachment *a, struct err *e);
/* ERR_IN_USE with code 50 or 51 if the network cannot take containers.  Nothing is done below 1.1.0. */
MUST_CHECK enum err_kind cni_status(struct cni *c, const struct conflist *l, struct err *e);

/* Is this attachment still wanted?  Called under the lock, so that no ADD comes between the answer and the deed. */
typedef bool cni_valid_fn(void *arg, const struct cache_entry *c);

/* DEL of one attachment unless it is valid by now. */
MUST_CHECK enum err_kind cni_del_stale(struct cni *c, const struct net_name *network,
				       const struct attachment *a, cni_valid_fn *valid, void *arg,
				       bool *ret_removed, struct err *e);

struct cni_gc_report {
	unsigned removed; /* stale attachments */
	unsigned failed;  /* attachments and plugins; the error is that of the first */
};

/*
 * Detaches what is in the cache and not valid, or was never completed; then tells the plugins what is left.  Goes on
 * after failures.  Nothing is done under disableGC.
 */
MUST_CHECK enum err_kind cni_gc(struct cni *c, const struct conflist *l, cni_valid_fn *valid,
				void *arg, struct cni_gc_report *ret, struct err *e);

MUST_CHECK enum err_kind cni_versions(struct cni *c, struct str type, struct cni_versions *ret,
				      struct err *e);
/* Every plugin is there and speaks the list's version. */
MUST_CHECK enum err_kind cni_validate(struct cni *c, const struct conflist *l, struct err *e);
