/*
 * conflist - network configuration lists (CNI spec 1.1.0 section 1) from a directory.
 *
 * C1  A struct conflist was checked: a name by its grammar, at least one plugin, each plugin's type (and that of its
 *     address management) the name of a file, capabilities booleans, a version that is known here.
 * C2  Lists are found in the order of the reference library: *.conflist by name, the first that bears the name wins;
 *     then *.conf and *.json, single configurations, each taken for a list of one.
 * C3  Unless loadOnlyInlinedPlugins is set, plugins of DIR/NAME/ *.conf follow those of the file.
 * C4  Keys that have no meaning here are kept and reach the plugin.
 * C5  A file that is no configuration hides nothing but itself: it is an error only for the one who asks for a name
 *     that no other file has.
 * Ownership  a list owns all it points to.
 * Threads    one thread at a time per list.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"
#include "runtime/net/name.h"
#include "runtime/net/version.h"

#define CONFLIST_BYTES_MAX (1024u * 1024)
#define CONFLIST_JSON_DEPTH 64
#define CONFLIST_PLUGINS_MAX 64
#define CNI_VERSION_TEXT_MAX 32

struct conflist {
	struct net_name name;
	enum cni_version version;
	char version_text[CNI_VERSION_TEXT_MAX]; /* as plugins are told it */
	bool disable_check, disable_gc;
	struct jv *plugins; /* array of objects */
	struct jv *extra; /* the object "berth" of the list, which other runtimes ignore; or NULL */
	struct sbuf bytes; /* the whole list as text, for the cache */
	char *file;        /* its name in the directory; NULL for a list that came from elsewhere */
};

void conflist_clear(struct conflist *l);
#define AUTO_CONFLIST CLEANUP(conflist_clear) struct conflist

/* *ret is empty on failure, in all functions below. */
MUST_CHECK enum err_kind conflist_parse(struct str text, struct conflist *ret, struct err *e);
/* A single configuration, as *.conf and *.json have it. */
MUST_CHECK enum err_kind conflist_parse_single(struct str text, struct conflist *ret,
					       struct err *e);
/* ERR_NOT_FOUND if no file of dir has a list of that name. */
MUST_CHECK enum err_kind conflist_find(const char *dir, const struct net_name *name,
				       struct conflist *ret, struct err *e);

/*
 * Calls fn for each file that might hold a list, in their order: with the list, or with what is wrong with the file.
 * fn may take the list's contents.  Stops if fn fails.  A directory that is not there has no files.
 */
typedef enum err_kind conflist_fn(void *arg, const char *file, struct conflist *list,
				  const struct err *wrong, struct err *e);
MUST_CHECK enum err_kind conflist_each(const char *dir, conflist_fn *fn, void *arg, struct err *e);

size_t conflist_count(const struct conflist *l);
const struct jv *conflist_plugin(const struct conflist *l, size_t i);
/* The view lives as long as the list. */
struct str plugin_type(const struct jv *plugin);
bool plugin_has_capability(const struct jv *plugin, const char *name);
/* Does any plugin of the list take this capability? */
bool conflist_has_capability(const struct conflist *l, const char *name);
