/* Devices and links of the container's /dev. */
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/oci/plan/build.h"

/* config-linux.md "Default Devices"; /dev/console comes with the terminal, /dev/ptmx as a link. */
static const struct {
	const char *path;
	unsigned major, minor;
} defaults[] = {
	{ "/dev/null", 1, 3 },   { "/dev/zero", 1, 5 },    { "/dev/full", 1, 7 },
	{ "/dev/random", 1, 8 }, { "/dev/urandom", 1, 9 }, { "/dev/tty", 5, 0 },
};

/* runtime-linux.md "Dev symbolic links" */
static const struct {
	const char *path, *text;
} links[] = {
	{ "/dev/fd", "/proc/self/fd" },       { "/dev/stdin", "/proc/self/fd/0" },
	{ "/dev/stdout", "/proc/self/fd/1" }, { "/dev/stderr", "/proc/self/fd/2" },
	{ "/dev/ptmx", "pts/ptmx" },
};

/* True if path is /dev, however it is spelt. */
static bool is_dev(const char *path)
{
	struct str rest = str_of(path), one;
	bool seen = false;

	while (rest.n) {
		(void)str_cut(rest, '/', &one, &rest);
		if (!one.n || str_eq(one, STR(".")))
			continue;
		if (seen || !str_eq(one, STR("dev")))
			return false;
		seen = true;
	}
	return seen;
}

/* The host's own /dev, bound into the container: nothing may be made there. */
static bool dev_is_bound(const struct spec *s)
{
	for (size_t i = 0; i < s->mounts.n; i++) {
		const struct spec_mount *m = &s->mounts.v[i];
		bool is_bind = m->type && strcmp(m->type, "bind") == 0;

		for (size_t j = 0; j < m->options.n; j++)
			is_bind = is_bind || strcmp(m->options.v[j], "bind") == 0 ||
				  strcmp(m->options.v[j], "rbind") == 0;
		if (is_bind && is_dev(m->destination))
			return true;
	}
	return false;
}

static enum err_kind add_device(struct plan *p, const struct device_op *d, struct err *e)
{
	struct device_op *copy = arena_get(p->arena, sizeof(*copy));

	if (!copy)
		return plan_no_memory(e);
	*copy = *d;
	return plan_put(p, STEP(DEVICE, d->path, .device = copy), e);
}

static bool is_listed(const struct spec *s, const char *path)
{
	for (size_t i = 0; i < s->linux_.devices.n; i++) {
		if (strcmp(s->linux_.devices.v[i].path, path) == 0)
			return true;
	}
	return false;
}

static enum err_kind add_defaults(struct plan *p, const struct spec *s, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(defaults); i++) {
		const struct device_op d = { .path = defaults[i].path,
					     .mode = S_IFCHR | 0666,
					     .number =
						 makedev(defaults[i].major, defaults[i].minor),
					     .binds = p->in_userns };

		if (!is_listed(s, d.path))
			k = add_device(p, &d, e);
	}
	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(links); i++) {
		if (!is_listed(s, links[i].path))
			k = plan_put(p, STEP(LINK, links[i].path, .text = links[i].text), e);
	}
	return k;
}

static mode_t type_of(char type)
{
	switch (type) {
	case 'b':
		return S_IFBLK;
	case 'p':
		return S_IFIFO;
	default:
		return S_IFCHR; /* c, and u: unbuffered */
	}
}

enum err_kind plan_devices(struct plan *p, const struct spec *s, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (!dev_is_bound(s))
		k = add_defaults(p, s, e);
	for (size_t i = 0; k == ERR_OK && i < s->linux_.devices.n; i++) {
		const struct spec_device *d = &s->linux_.devices.v[i];
		const struct device_op op = {
			.path = d->path,
			.mode = type_of(d->type[0]) |
				(d->file_mode.set ? d->file_mode.v & 07777 : 0666),
			.number =
			    d->type[0] == 'p' ? 0 : makedev((unsigned)d->major, (unsigned)d->minor),
			.uid = d->uid.v,
			.gid = d->gid.v,
			.binds = p->in_userns && d->type[0] != 'p',
		};

		k = add_device(p, &op, e);
	}
	return k;
}
