#include "runtime/cli/network/place.h"

#include "runtime/net/user_mode.h"

static const char *or_env(const char *name, const char *preset)
{
	const char *v = getenv(name); /* one thread */

	return v && *v ? v : preset;
}

static void tell_log(void *arg, const char *plugin, struct str text)
{
	(void)arg, (void)plugin;
	(void)fwrite(text.p, 1, text.n, stderr);
}

static void choose_dirs(struct network_place *p)
{
	p->cli.cni.cache_dir = CNI_CACHE_DIR;
	p->cli.cni.state_dir = "/run/berth-net";
	if (!user_mode_is_needed())
		return;
	(void)snprintf(p->cache, sizeof(p->cache), "%s/berth-cni",
		       or_env("XDG_DATA_HOME", or_env("HOME", "/")));
	(void)snprintf(p->state, sizeof(p->state), "%s/berth-net",
		       or_env("XDG_RUNTIME_DIR", or_env("HOME", "/")));
	p->cli.cni.cache_dir = p->cache;
	p->cli.cni.state_dir = p->state;
}

bool network_place_plugins(struct network_place *p, const char *path)
{
	size_t n = 0;

	if (!str_copy(str_of(path), p->plugins, sizeof(p->plugins)))
		return false;
	for (char *at = p->plugins; at && n < PLACE_DIRS_MAX;) {
		char *next = strchr(at, ':');

		if (next)
			*next++ = '\0';
		if (*at)
			p->dirs[n++] = at;
		at = next;
	}
	p->cli.cni.plugin_dirs = p->dirs;
	p->cli.cni.n_plugin_dirs = n;
	return true;
}

void network_place_init(struct network_place *p, const char *program)
{
	*p = (struct network_place){ .cli = { .program = program,
					      .cni = { .log = tell_log },
					      .conf_dir = or_env("NETCONFPATH", "/etc/cni/net.d"),
					      .netns_dir = "/run/netns" } };
	choose_dirs(p);
	if (!network_place_plugins(p, or_env("CNI_PATH", PLACE_PLUGIN_DIRS)))
		(void)!network_place_plugins(p, PLACE_PLUGIN_DIRS); /* that is too long */
}
