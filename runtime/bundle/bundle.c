#include "runtime/bundle/bundle_impl.h"

#include <limits.h>
#include <unistd.h>

#define OCI_VERSION "1.2.0"
#define HOSTNAME_LEN 12
#define KEEPS_GROUPS "run.oci.keep_original_groups" /* crun's word for it, and podman's */

enum err_kind making_no_memory(struct err *e)
{
	return err_set(e, ERR_INVALID, __func__,
		       "no memory for config.json, or a text that is no UTF-8");
}

bool making_is_mapped(const struct making *m)
{
	return m->place->ids && idmaps_are_set(m->place->ids);
}

const char *making_value(const char *pair)
{
	const char *eq = strchr(pair, '=');

	return eq ? eq + 1 : NULL;
}

void bundle_clear(struct bundle *b)
{
	jv_free(&b->config);
}

/* --- linux --- */

static bool is_host(const char *mode)
{
	return mode && strcmp(mode, "host") == 0;
}

static enum err_kind add_namespace(struct jv *list, const char *type, const char *mode,
				   struct err *e)
{
	struct jv *one;

	if (is_host(mode))
		return ERR_OK;
	if (!mode || strcmp(mode, "private") == 0 || strcmp(mode, "none") == 0)
		one = jv_pack("{s:s}", "type", type);
	else if (str_starts(str_of(mode), STR("ns:")))
		one = jv_pack("{s:s, s:s}", "type", type, "path", mode + 3);
	else
		return err_set(e, ERR_INVALID, __func__,
			       "%s: \"%.60s\" is not host, private or ns:PATH", type, mode);
	return jv_append(list, one) ? ERR_OK : making_no_memory(e);
}

static enum err_kind namespaces_json(const struct making *m, struct jv **ret, struct err *e)
{
	const struct bundle_options *o = m->o;
	AUTO_JV *list = jv_new_array();
	enum err_kind k = list ? ERR_OK : making_no_memory(e);

	if (k == ERR_OK)
		k = add_namespace(list, "mount", NULL, e);
	if (k == ERR_OK)
		k = add_namespace(list, "user", making_is_mapped(m) ? NULL : "host", e);
	if (k == ERR_OK)
		k = add_namespace(list, "pid", o->pid, e);
	if (k == ERR_OK)
		k = add_namespace(list, "network", o->network, e);
	if (k == ERR_OK)
		k = add_namespace(list, "ipc", o->ipc, e);
	if (k == ERR_OK)
		k = add_namespace(list, "uts", o->uts, e);
	if (k == ERR_OK)
		k = add_namespace(list, "cgroup", o->cgroupns, e);
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}

/*
 * Unprivileged programs may ping and listen below 1024: the ports are the container's own.  The kernel takes only groups
 * that the user namespace has.
 */
static bool add_network_sysctls(const struct making *m, struct jv *sysctls)
{
	if (m->o->network && strcmp(m->o->network, "none") != 0 &&
	    strcmp(m->o->network, "private") != 0)
		return true;
	return jv_set(sysctls, "net.ipv4.ip_unprivileged_port_start", jv_pack("s", "0")) &&
	       jv_set(sysctls, "net.ipv4.ping_group_range",
		      jv_pack("s",
			      m->place->in_userns || making_is_mapped(m) ? "0 0" : "0 2147483647"));
}

static enum err_kind sysctls_json(const struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *v = jv_pack("{}");

	if (!v || !add_network_sysctls(m, v))
		return making_no_memory(e);
	for (size_t i = 0; i < m->o->sysctls.n; i++) {
		const char *pair = m->o->sysctls.v[i], *value = making_value(pair);
		char *key = arena_text(m->arena, (struct str){ pair, strcspn(pair, "=") });

		if (!value)
			return err_set(e, ERR_INVALID, __func__, "--sysctl wants NAME=VALUE");
		if (!key || !jv_set(v, key, jv_pack("s", value)))
			return making_no_memory(e);
	}
	*ret = TAKE(v);
	return ERR_OK;
}

static enum err_kind add_confinement(const struct making *m, struct jv *v, struct err *e)
{
	AUTO_JV *seccomp = NULL;
	enum err_kind k = security_add_paths(m, v, e);

	if (k == ERR_OK)
		k = seccomp_json(m, &seccomp, e);
	if (k == ERR_OK && seccomp && !jv_set(v, "seccomp", TAKE(seccomp)))
		return making_no_memory(e);
	return k;
}

/* Without path and limits the runtime does without a cgroup where none can be made. */
static bool add_cgroup(const struct making *m, struct jv *v, struct jv *resources)
{
	AUTO_JV *owned = resources;

	if (m->place->in_userns)
		return !jv_has_members(owned) || jv_set(v, "resources", TAKE(owned));
	return jv_set(v, "resources", TAKE(owned)) &&
	       jv_set(v, "cgroupsPath",
		      jv_pack("s", arena_printf(m->arena, "/berth/%s", m->place->id)));
}

static bool add_map(struct jv *v, const char *key, const struct idmap *map)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < map->n; i++) {
		const struct idmap_piece *p = &map->v[i];

		if (!jv_append(list,
			       jv_pack("{s:I, s:I, s:I}", "containerID", (long long)p->inside,
				       "hostID", (long long)p->outside, "size", (long long)p->n)))
			return false;
	}
	return jv_set(v, key, TAKE(list));
}

static bool add_maps(const struct making *m, struct jv *v)
{
	return !making_is_mapped(m) || (add_map(v, "uidMappings", &m->place->ids->uids) &&
					add_map(v, "gidMappings", &m->place->ids->gids));
}

static enum err_kind linux_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *resources = NULL;
	AUTO_JV *devices = NULL;
	AUTO_JV *namespaces = NULL;
	AUTO_JV *sysctls = NULL;
	AUTO_JV *v = NULL;
	enum err_kind k = limits_json(m, &resources, e);

	if (k == ERR_OK)
		k = devices_json(m, &devices, e);
	if (k == ERR_OK)
		k = namespaces_json(m, &namespaces, e);
	if (k == ERR_OK)
		k = sysctls_json(m, &sysctls, e);
	if (k != ERR_OK)
		return k;
	v = jv_pack("{s:o, s:o, s:o}", "devices", TAKE(devices), "namespaces", TAKE(namespaces),
		    "sysctl", TAKE(sysctls));
	if (v && m->volumes->shares_mounts &&
	    !jv_set(v, "rootfsPropagation", jv_pack("s", "rshared")))
		return making_no_memory(e);
	k = v && add_maps(m, v) && add_cgroup(m, v, TAKE(resources)) ? add_confinement(m, v, e)
								     : making_no_memory(e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}

/* --- The whole --- */

/* conversion.md "Annotation Fields" */
static bool add_image_annotations(const struct making *m, struct jv *v)
{
	static const char prefix[] = "org.opencontainers.image";
	const struct image_config *c = m->image;
	const struct {
		const char *key, *value;
	} fields[] = { { "os", c->platform.os },           { "architecture", c->platform.arch },
		       { "variant", c->platform.variant }, { "author", c->author },
		       { "created", c->created },          { "stopSignal", c->stop_signal } };

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *key = arena_printf(m->arena, "%s.%s", prefix, fields[i].key);

		if (*fields[i].value && (!key || !jv_set(v, key, jv_pack("s", fields[i].value))))
			return false;
	}
	for (size_t i = 0; i < c->labels.n; i++) {
		if (!jv_set(v, c->labels.keys[i], jv_pack("s", c->labels.values[i])))
			return false;
	}
	return true;
}

/* Later ones win: the user over the image (conversion.md). */
static bool add_pairs(const struct making *m, const struct text_list *pairs, struct jv *v)
{
	for (size_t i = 0; i < pairs->n; i++) {
		const char *value = making_value(pairs->v[i]);
		const char *key =
		    arena_text(m->arena, (struct str){ pairs->v[i], strcspn(pairs->v[i], "=") });

		if (!key || !jv_set(v, key, jv_pack("s", value ? value : "")))
			return false;
	}
	return true;
}

static enum err_kind annotations_json(const struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *v = jv_pack("{}");

	if (!v || (m->image && !add_image_annotations(m, v)) || !add_pairs(m, &m->o->labels, v) ||
	    !add_pairs(m, &m->o->annotations, v) ||
	    (m->keeps_groups && !jv_set(v, KEEPS_GROUPS, jv_pack("s", "1"))))
		return making_no_memory(e);
	*ret = TAKE(v);
	return ERR_OK;
}

/* The host's, where the container shares its names or its network. */
static const char *choose_hostname(struct making *m)
{
	char text[HOST_NAME_MAX + 1];

	if (m->o->hostname)
		return m->o->hostname;
	if ((is_host(m->o->uts) || is_host(m->o->network)) && gethostname(text, sizeof(text)) == 0)
		return arena_text(m->arena, str_of(text));
	return arena_text(m->arena, (struct str){ m->place->id, HOSTNAME_LEN });
}

static enum err_kind resolve(struct making *m, struct err *e)
{
	enum err_kind k;

	m->hostname = choose_hostname(m);
	if (!m->hostname)
		return making_no_memory(e);
	if (m->o->hostname && is_host(m->o->uts))
		return err_set(e, ERR_INVALID, __func__, "--hostname is not for --uts host");
	k = security_resolve(m, e);
	if (k == ERR_OK)
		k = user_resolve(m, e);
	if (k == ERR_OK)
		k = caps_resolve(m, e);
	return k == ERR_OK ? process_resolve(m, e) : k;
}

static enum err_kind config_json(struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *process = NULL;
	AUTO_JV *mounts = NULL;
	AUTO_JV *annotations = NULL;
	AUTO_JV *platform = NULL;
	AUTO_JV *v = NULL;
	enum err_kind k = process_json(m, &process, e);

	if (k == ERR_OK)
		k = mounts_json(m, &mounts, e);
	if (k == ERR_OK)
		k = annotations_json(m, &annotations, e);
	if (k == ERR_OK)
		k = linux_json(m, &platform, e);
	if (k != ERR_OK)
		return k;
	v = jv_pack("{s:s, s:o, s:{s:s, s:b}, s:o, s:o, s:o}", "ociVersion", OCI_VERSION, "process",
		    TAKE(process), "root", "path", m->place->rootfs, "readonly", m->o->read_only,
		    "mounts", TAKE(mounts), "annotations", TAKE(annotations), "linux",
		    TAKE(platform));
	if (!v || (!is_host(m->o->uts) && !jv_set(v, "hostname", jv_pack("s", m->hostname))))
		return making_no_memory(e);
	*ret = TAKE(v);
	return ERR_OK;
}

enum err_kind bundle_make(const struct bundle_options *o, const struct image_config *image,
			  const struct bundle_place *place, struct bundle *ret, struct err *e)
{
	struct making m = { .o = o,
			    .image = image,
			    .place = place,
			    .arena = ret->arena,
			    .volumes = &ret->volumes };
	enum err_kind k = resolve(&m, e);

	if (k == ERR_OK)
		k = config_json(&m, &ret->config, e);
	ret->command = m.command;
	ret->hostname = m.hostname;
	ret->uid = m.uid;
	ret->gid = m.gid;
	return k;
}
