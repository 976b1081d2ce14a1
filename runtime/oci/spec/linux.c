#include "runtime/oci/spec/spec.h"

#define INTERFACE_NAME_MAX 15u

const char *const spec_namespace_names[] = { "user", "cgroup", "ipc",   "uts", "network",
					     "pid",  "time",   "mount", NULL };

const char *const spec_propagation_names[] = {
	"shared", "slave",    "private",     "unbindable", "rshared",
	"rslave", "rprivate", "runbindable", NULL,
};

/* In the kernel's order: MPOL_DEFAULT is 0. */
const char *const spec_memory_modes[] = {
	"MPOL_DEFAULT",
	"MPOL_PREFERRED",
	"MPOL_BIND",
	"MPOL_INTERLEAVE",
	"MPOL_LOCAL",
	"MPOL_PREFERRED_MANY",
	"MPOL_WEIGHTED_INTERLEAVE",
	NULL,
};

const char *const spec_memory_flags[] = { "MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES",
					  "MPOL_F_NUMA_BALANCING", NULL };

static const char *const personality_domains[] = { "LINUX", "LINUX32", NULL };

static const struct field namespace_fields[] = {
	FIELD(struct spec_namespace, kind, "type", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_namespace_names),
	FIELD(struct spec_namespace, path, "path", FIELD_TEXT),
	FIELDS_END,
};

static enum err_kind check_namespace(struct reader *r, const struct at *at, void *object)
{
	struct spec_namespace *n = object;

	if (n->path && !n->path[0])
		n->path = NULL; /* Go's encoders write empty texts for what is unset */
	if (n->path && n->path[0] != '/')
		return spec_bad(r, at, "path", "must be an absolute path, not \"%.60s\"", n->path);
	return ERR_OK;
}
static const struct shape namespace_shape = { sizeof(struct spec_namespace), namespace_fields,
					      check_namespace };

static const struct field id_map_fields[] = {
	FIELD(struct spec_id_map, container_id, "containerID", FIELD_U32, .flags = FIELD_NEEDED),
	FIELD(struct spec_id_map, host_id, "hostID", FIELD_U32, .flags = FIELD_NEEDED),
	FIELD(struct spec_id_map, size, "size", FIELD_U32, .flags = FIELD_NEEDED),
	FIELDS_END,
};

static enum err_kind check_id_map(struct reader *r, const struct at *at, void *object)
{
	const struct spec_id_map *m = object;

	if (m->size == 0)
		return spec_bad(r, at, "size", "must not be 0");
	if (m->size > UINT32_MAX - m->container_id)
		return spec_bad(r, at, "size", "the range ends behind the last id");
	if (m->size > UINT32_MAX - m->host_id)
		return spec_bad(r, at, "size", "the range on the host ends behind the last id");
	return ERR_OK;
}
const struct shape spec_id_map_shape = { sizeof(struct spec_id_map), id_map_fields, check_id_map };

static const struct field offset_fields[] = {
	FIELD(struct spec_time_offset, secs, "secs", FIELD_I64),
	FIELD(struct spec_time_offset, nanosecs, "nanosecs", FIELD_U32),
	FIELDS_END,
};

static enum err_kind check_offset(struct reader *r, const struct at *at, void *object)
{
	const struct spec_time_offset *o = object;

	if (o->nanosecs > 999999999)
		return spec_bad(r, at, "nanosecs", "%u is more than a second", o->nanosecs);
	return ERR_OK;
}
static const struct shape offset_shape = { sizeof(struct spec_time_offset), offset_fields,
					   check_offset };

static const struct field offsets_fields[] = {
	FIELD(struct spec_time_offsets, boottime, "boottime", FIELD_OBJECT, .shape = &offset_shape),
	FIELD(struct spec_time_offsets, monotonic, "monotonic", FIELD_OBJECT,
	      .shape = &offset_shape),
	FIELDS_END,
};
static const struct shape offsets_shape = { sizeof(struct spec_time_offsets), offsets_fields,
					    NULL };

#define D struct spec_device
static const struct field device_fields[] = {
	FIELD(D, path, "path", FIELD_TEXT, .flags = FIELD_NEEDED | FIELD_ABSOLUTE),
	FIELD(D, type, "type", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(D, major, "major", FIELD_I64),
	FIELD(D, minor, "minor", FIELD_I64),
	FIELD(D, file_mode, "fileMode", FIELD_OU32),
	FIELD(D, uid, "uid", FIELD_OU32),
	FIELD(D, gid, "gid", FIELD_OU32),
	FIELDS_END,
};

static enum err_kind check_device(struct reader *r, const struct at *at, void *object)
{
	const D *d = object;

	if (!d->type[0] || d->type[1] || !strchr("cbup", d->type[0]))
		return spec_bad(r, at, "type", "unknown value \"%.20s\"", d->type);
	if (d->type[0] == 'p')
		return ERR_OK;
	if (d->major < 0 || d->major > UINT32_MAX)
		return spec_bad(r, at, "major", "%lld is no device number", (long long)d->major);
	if (d->minor < 0 || d->minor > UINT32_MAX)
		return spec_bad(r, at, "minor", "%lld is no device number", (long long)d->minor);
	return ERR_OK;
}
static const struct shape device_shape = { sizeof(D), device_fields, check_device };
#undef D

static const struct field net_device_fields[] = {
	FIELD(struct spec_net_device, name, "name", FIELD_TEXT),
	FIELDS_END,
};

static bool is_interface_name(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= INTERFACE_NAME_MAX && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && !name[strcspn(name, "/: \t\n\v\f\r")];
}

static enum err_kind check_net_device(struct reader *r, const struct at *at, void *object)
{
	struct spec_net_device *d = object;

	if (!is_interface_name(d->host_name))
		return spec_bad(r, at, NULL, "is no name of a network device");
	if (!d->name || !d->name[0])
		d->name = d->host_name;
	if (!is_interface_name(d->name))
		return spec_bad(r, at, "name", "\"%.20s\" is no name of a network device", d->name);
	return ERR_OK;
}
static const struct shape net_device_shape = { sizeof(struct spec_net_device), net_device_fields,
					       check_net_device };

static const struct field personality_fields[] = {
	FIELD(struct spec_personality, domain, "domain", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = personality_domains),
	FIELD(struct spec_personality, flags, "flags", FIELD_TEXTS),
	FIELDS_END,
};

static enum err_kind check_personality(struct reader *r, const struct at *at, void *object)
{
	const struct spec_personality *p = object;

	if (p->flags.n)
		return spec_bad(r, at, "flags", "no flags are defined");
	return ERR_OK;
}
static const struct shape personality_shape = { sizeof(struct spec_personality), personality_fields,
						check_personality };

#define I struct spec_rdt
static const struct field rdt_fields[] = {
	FIELD(I, clos_id, "closID", FIELD_TEXT),
	FIELD(I, schemata, "schemata", FIELD_TEXTS),
	FIELD(I, l3_cache_schema, "l3CacheSchema", FIELD_TEXT),
	FIELD(I, mem_bw_schema, "memBwSchema", FIELD_TEXT),
	FIELD(I, enable_monitoring, "enableMonitoring", FIELD_BOOL),
	FIELDS_END,
};

static enum err_kind check_rdt(struct reader *r, const struct at *at, void *object)
{
	const I *i = object;
	const struct at list = AT_MEMBER(at, "schemata");

	if (i->clos_id && strcmp(i->clos_id, "/") != 0 &&
	    (!i->clos_id[0] || i->clos_id[0] == '.' || strpbrk(i->clos_id, "/\n")))
		return spec_bad(r, at, "closID", "\"%.40s\" is no name of a group", i->clos_id);
	if (i->l3_cache_schema && strchr(i->l3_cache_schema, '\n'))
		return spec_bad(r, at, "l3CacheSchema", "must be one line");
	if (i->mem_bw_schema &&
	    (strncmp(i->mem_bw_schema, "MB:", 3) != 0 || strchr(i->mem_bw_schema, '\n')))
		return spec_bad(r, at, "memBwSchema", "must be one line that starts with \"MB:\"");
	for (size_t n = 0; n < i->schemata.n; n++) {
		const struct at item = AT_INDEX(&list, n);

		if (strchr(i->schemata.v[n], '\n'))
			return spec_bad(r, &item, NULL, "must be one line");
	}
	return ERR_OK;
}
static const struct shape rdt_shape = { sizeof(I), rdt_fields, check_rdt };
#undef I

static const struct field memory_policy_fields[] = {
	FIELD(struct spec_memory_policy, mode, "mode", FIELD_ENUM, .flags = FIELD_NEEDED,
	      .names = spec_memory_modes),
	FIELD(struct spec_memory_policy, nodes, "nodes", FIELD_TEXT),
	FIELD(struct spec_memory_policy, flags, "flags", FIELD_FLAGS, .names = spec_memory_flags),
	FIELDS_END,
};

static enum err_kind check_memory_policy(struct reader *r, const struct at *at, void *object)
{
	const struct spec_memory_policy *p = object;
	const char *mode = spec_memory_modes[p->mode - 1];
	bool has_nodes = p->nodes && p->nodes[0];

	if (has_nodes && p->nodes[strspn(p->nodes, "0123456789,-")])
		return spec_bad(r, at, "nodes", "\"%.40s\" is no list of nodes", p->nodes);
	if (has_nodes && (strcmp(mode, "MPOL_DEFAULT") == 0 || strcmp(mode, "MPOL_LOCAL") == 0))
		return spec_bad(r, at, "nodes", "must not be set with %s", mode);
	if (!has_nodes && strcmp(mode, "MPOL_DEFAULT") != 0 && strcmp(mode, "MPOL_LOCAL") != 0 &&
	    strcmp(mode, "MPOL_PREFERRED") != 0)
		return spec_bad(r, at, "nodes", "is missing, and %s needs it", mode);
	return ERR_OK;
}
static const struct shape memory_policy_shape = { sizeof(struct spec_memory_policy),
						  memory_policy_fields, check_memory_policy };

#define L struct spec_linux
static const struct field linux_fields[] = {
	FIELD(L, namespaces, "namespaces", FIELD_LIST, .shape = &namespace_shape),
	FIELD(L, uid_mappings, "uidMappings", FIELD_LIST, .shape = &spec_id_map_shape),
	FIELD(L, gid_mappings, "gidMappings", FIELD_LIST, .shape = &spec_id_map_shape),
	FIELD(L, time_offsets, "timeOffsets", FIELD_INLINE, .shape = &offsets_shape),
	FIELD(L, devices, "devices", FIELD_LIST, .shape = &device_shape),
	FIELD(L, net_devices, "netDevices", FIELD_NAMED, .shape = &net_device_shape),
	FIELD(L, cgroups_path, "cgroupsPath", FIELD_TEXT),
	FIELD(L, resources, "resources", FIELD_OBJECT, .shape = &spec_resources_shape),
	FIELD(L, intel_rdt, "intelRdt", FIELD_OBJECT, .shape = &rdt_shape),
	FIELD(L, sysctl, "sysctl", FIELD_PAIRS),
	FIELD(L, seccomp, "seccomp", FIELD_OBJECT, .shape = &spec_seccomp_shape),
	FIELD(L, rootfs_propagation, "rootfsPropagation", FIELD_ENUM,
	      .names = spec_propagation_names),
	FIELD(L, masked_paths, "maskedPaths", FIELD_TEXTS),
	FIELD(L, readonly_paths, "readonlyPaths", FIELD_TEXTS),
	FIELD(L, mount_label, "mountLabel", FIELD_TEXT),
	FIELD(L, personality, "personality", FIELD_OBJECT, .shape = &personality_shape),
	FIELD(L, memory_policy, "memoryPolicy", FIELD_OBJECT, .shape = &memory_policy_shape),
	FIELDS_END,
};

static enum err_kind check_paths(struct reader *r, const struct at *at, const char *member,
				 const struct texts *paths)
{
	const struct at list = AT_MEMBER(at, member);

	for (size_t i = 0; i < paths->n; i++) {
		const struct at item = AT_INDEX(&list, i);

		if (paths->v[i][0] != '/')
			return spec_bad(r, &item, NULL, "must be an absolute path, not \"%.60s\"",
					paths->v[i]);
	}
	return ERR_OK;
}

static enum err_kind check_linux(struct reader *r, const struct at *at, void *object)
{
	const L *l = object;
	const struct at list = AT_MEMBER(at, "namespaces");
	unsigned seen = 0;
	enum err_kind k;

	for (size_t i = 0; i < l->namespaces.n; i++) {
		const struct at item = AT_INDEX(&list, i);
		unsigned bit = 1u << l->namespaces.v[i].kind;

		if (seen & bit)
			return spec_bad(r, &item, "type", "\"%s\" is there twice",
					spec_namespace_names[l->namespaces.v[i].kind - 1]);
		seen |= bit;
	}
	if (!l->uid_mappings.n != !l->gid_mappings.n)
		return spec_bad(r, at, l->uid_mappings.n ? "gidMappings" : "uidMappings",
				"is missing, and the other mappings are there");
	k = check_paths(r, at, "maskedPaths", &l->masked_paths);
	return k == ERR_OK ? check_paths(r, at, "readonlyPaths", &l->readonly_paths) : k;
}
const struct shape spec_linux_shape = { sizeof(L), linux_fields, check_linux };
#undef L
