/*
 * regconf - what this machine knows of registries: mirrors, places for tokens, plain HTTP (etc/registries.json.example).
 *
 * One JSON file, the first that is there of: the one named; $XDG_CONFIG_HOME/berth/registries.json (~/.config);
 * /etc/berth/registries.json.  Unknown members are errors.
 * Ownership  texts live as long as the configuration.
 * Threads    any once it is loaded.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct registry_conf {
	const char *host;
	bool insecure; /* HTTPS without verification, or plain HTTP */
	const char *
	    *mirrors; /* "HOST[:PORT][/PREFIX]" or a URL, tried in order before the registry */
	size_t n_mirrors;
	const char **realms; /* hosts that may be told this registry's passwords */
	size_t n_realms;
};

struct regconf {
	struct arena arena;
	struct registry_conf *registries;
	size_t n;
};

/* path NULL: the files above; none of them is an empty configuration. */
MUST_CHECK enum err_kind regconf_load(const char *path, struct regconf *ret, struct err *e);
MUST_CHECK enum err_kind regconf_parse(struct str text, struct regconf *ret, struct err *e);
void regconf_clear(struct regconf *c);
#define AUTO_REGCONF CLEANUP(regconf_clear) struct regconf

/* NULL if nothing is said of it. */
const struct registry_conf *regconf_find(const struct regconf *c, const char *host);
