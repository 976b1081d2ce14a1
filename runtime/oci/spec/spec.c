#include "runtime/oci/spec/spec.h"

#define VERSION_MINOR_MAX 3

const char *const spec_hook_names[] = {
	[HOOK_PRESTART] = "prestart",
	[HOOK_CREATE_RUNTIME] = "createRuntime",
	[HOOK_CREATE_CONTAINER] = "createContainer",
	[HOOK_START_CONTAINER] = "startContainer",
	[HOOK_POSTSTART] = "poststart",
	[HOOK_POSTSTOP] = "poststop",
};

static const struct field root_fields[] = {
	FIELD(struct spec_root, path, "path", FIELD_TEXT, .flags = FIELD_NEEDED | FIELD_NONEMPTY),
	FIELD(struct spec_root, readonly, "readonly", FIELD_BOOL),
	FIELDS_END,
};
static const struct shape root_shape = { sizeof(struct spec_root), root_fields, NULL };

static const struct field mount_fields[] = {
	FIELD(struct spec_mount, destination, "destination", FIELD_TEXT,
	      .flags = FIELD_NEEDED | FIELD_NONEMPTY),
	FIELD(struct spec_mount, type, "type", FIELD_TEXT),
	FIELD(struct spec_mount, source, "source", FIELD_TEXT),
	FIELD(struct spec_mount, options, "options", FIELD_TEXTS),
	FIELD(struct spec_mount, uid_mappings, "uidMappings", FIELD_LIST,
	      .shape = &spec_id_map_shape),
	FIELD(struct spec_mount, gid_mappings, "gidMappings", FIELD_LIST,
	      .shape = &spec_id_map_shape),
	FIELDS_END,
};

static enum err_kind check_mount(struct reader *r, const struct at *at, void *object)
{
	struct spec_mount *m = object;

	if (!m->uid_mappings.n != !m->gid_mappings.n)
		return spec_bad(r, at, m->uid_mappings.n ? "gidMappings" : "uidMappings",
				"is missing, and the other mappings are there");
	if (m->type && !m->type[0])
		m->type = NULL;
	if (m->source && !m->source[0])
		m->source = NULL;
	return ERR_OK;
}
const struct shape spec_mount_shape = { sizeof(struct spec_mount), mount_fields, check_mount };

static const struct field hook_fields[] = {
	FIELD(struct spec_hook, path, "path", FIELD_TEXT, .flags = FIELD_NEEDED | FIELD_ABSOLUTE),
	FIELD(struct spec_hook, args, "args", FIELD_TEXTS),
	FIELD(struct spec_hook, env, "env", FIELD_TEXTS),
	FIELD(struct spec_hook, timeout, "timeout", FIELD_OI64),
	FIELDS_END,
};

static enum err_kind check_hook(struct reader *r, const struct at *at, void *object)
{
	const struct spec_hook *h = object;

	if (h->timeout.set && (h->timeout.v <= 0 || h->timeout.v > 1000000))
		return spec_bad(r, at, "timeout", "must be from 1 to 1000000 seconds");
	return ERR_OK;
}
static const struct shape hook_shape = { sizeof(struct spec_hook), hook_fields, check_hook };

struct hook_lists {
	spec_hooks v[HOOK_N];
};
#define HOOKS(kind, key) FIELD(struct hook_lists, v[kind], key, FIELD_LIST, .shape = &hook_shape)
static const struct field hooks_fields[] = {
	HOOKS(HOOK_PRESTART, "prestart"),
	HOOKS(HOOK_CREATE_RUNTIME, "createRuntime"),
	HOOKS(HOOK_CREATE_CONTAINER, "createContainer"),
	HOOKS(HOOK_START_CONTAINER, "startContainer"),
	HOOKS(HOOK_POSTSTART, "poststart"),
	HOOKS(HOOK_POSTSTOP, "poststop"),
	FIELDS_END,
};
static const struct shape hooks_shape = { sizeof(struct hook_lists), hooks_fields, NULL };

#define S struct spec
static const struct field spec_fields[] = {
	FIELD(S, version, "ociVersion", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, root, "root", FIELD_INLINE, .flags = FIELD_NEEDED, .shape = &root_shape),
	FIELD(S, mounts, "mounts", FIELD_LIST, .shape = &spec_mount_shape),
	FIELD(S, process, "process", FIELD_OBJECT, .shape = &spec_process_shape),
	FIELD(S, hostname, "hostname", FIELD_TEXT),
	FIELD(S, domainname, "domainname", FIELD_TEXT),
	FIELD(S, hooks, "hooks", FIELD_INLINE, .shape = &hooks_shape),
	FIELD(S, annotations, "annotations", FIELD_PAIRS),
	FIELD(S, linux_, "linux", FIELD_INLINE, .shape = &spec_linux_shape),
	FIELDS_END,
};
#undef S

/* Semantic versioning 2.0.0: 1.MINOR.PATCH with optional -prerelease and +build. */
static bool version_is_supported(const char *text)
{
	struct str s = str_of(text);
	uint64_t major, minor, patch;

	if (!scan_u64(&s, UINT32_MAX, &major) || !scan_char(&s, '.') ||
	    !scan_u64(&s, UINT32_MAX, &minor) || !scan_char(&s, '.') ||
	    !scan_u64(&s, UINT32_MAX, &patch))
		return false;
	if (s.n && (s.n < 2 || (s.p[0] != '-' && s.p[0] != '+')))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      c == '-' || c == '+' || c == '.'))
			return false;
	}
	return major == 1 && minor <= VERSION_MINOR_MAX;
}

/* sysctl(8) takes dots and slashes; what matters here is the name of the file below /proc/sys. */
enum ns_kind spec_sysctl_namespace(const char *key)
{
	static const struct {
		const char *prefix;
		enum ns_kind ns;
	} rows[] = {
		{ "kernel.msgmax", NS_IPC },     { "kernel.msgmnb", NS_IPC },
		{ "kernel.msgmni", NS_IPC },     { "kernel.sem", NS_IPC },
		{ "kernel.shmall", NS_IPC },     { "kernel.shmmax", NS_IPC },
		{ "kernel.shmmni", NS_IPC },     { "kernel.shm_rmid_forced", NS_IPC },
		{ "kernel.domainname", NS_UTS }, { "fs.mqueue.", NS_IPC },
		{ "net.", NS_NETWORK },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t n = strlen(rows[i].prefix);

		if (strncmp(key, rows[i].prefix, n) == 0 &&
		    (rows[i].prefix[n - 1] == '.' || key[n] == '\0'))
			return rows[i].ns;
	}
	return NS_NONE;
}

static enum err_kind check_sysctls(struct reader *r, const struct spec *s, const struct at *linux_)
{
	const struct at at = AT_MEMBER(linux_, "sysctl");

	for (size_t i = 0; i < s->linux_.sysctl.n; i++) {
		const char *key = s->linux_.sysctl.v[i].key;
		enum ns_kind ns = spec_sysctl_namespace(key);

		if (strstr(key, "..") || ns == NS_NONE)
			return spec_bad(r, &at, key, "is not a sysctl of a namespace");
		if (!spec_has_namespace(s, ns))
			return spec_bad(r, &at, key, "needs a %s namespace of the container's own",
					spec_namespace_names[ns - 1]);
	}
	return ERR_OK;
}

static enum err_kind check_user_namespace(struct reader *r, const struct spec *s,
					  const struct at *at)
{
	const struct spec_namespace *user = spec_namespace_of(s, NS_USER);

	if (s->linux_.uid_mappings.n && !user)
		return spec_bad(r, at, "uidMappings", "needs a user namespace");
	if (user && !user->path && !s->linux_.uid_mappings.n)
		return spec_bad(r, at, "uidMappings",
				"is missing, and a new user namespace needs it");
	return ERR_OK;
}

static enum err_kind check_namespaces(struct reader *r, const struct spec *s, const struct at *at)
{
	const struct at linux_ = AT_MEMBER(at, "linux");
	const struct spec_namespace *t = spec_namespace_of(s, NS_TIME);
	const struct spec_time_offsets *o = &s->linux_.time_offsets;
	enum err_kind k;

	if (s->hostname && !spec_has_namespace(s, NS_UTS))
		return spec_bad(r, at, "hostname", "needs a uts namespace of the container's own");
	if (s->domainname && !spec_has_namespace(s, NS_UTS))
		return spec_bad(r, at, "domainname",
				"needs a uts namespace of the container's own");
	if ((o->boottime || o->monotonic) && (!t || t->path))
		return spec_bad(r, &linux_, "timeOffsets", "needs a new time namespace");
	if (s->linux_.net_devices.n && !spec_has_namespace(s, NS_NETWORK))
		return spec_bad(r, &linux_, "netDevices",
				"needs a network namespace of the container's own");
	k = check_user_namespace(r, s, &linux_);
	return k == ERR_OK ? check_sysctls(r, s, &linux_) : k;
}

static enum err_kind check_spec(struct reader *r, const struct at *at, void *object)
{
	const struct spec *s = object;

	if (!version_is_supported(s->version))
		return spec_bad(r, at, "ociVersion", "\"%.40s\" is not a version from 1.0.0 to %s",
				s->version, SPEC_VERSION);
	if (!jv_is_null(jv_member(at->v, "vm")))
		return spec_bad(r, at, "vm", "this runtime starts no virtual machines");
	for (size_t i = 0; i < s->annotations.n; i++) {
		if (!s->annotations.v[i].key[0])
			return spec_bad(r, at, "annotations", "a key is empty");
	}
	return check_namespaces(r, s, at);
}
const struct shape spec_shape = { sizeof(struct spec), spec_fields, check_spec };

enum err_kind spec_parse(struct str text, struct spec *ret, struct err *e)
{
	struct reader r = { .arena = &ret->arena, .e = e };
	struct at top = { 0 };
	enum err_kind k;

	*ret = (struct spec){ 0 };
	arena_init(&ret->arena, SPEC_ARENA_MAX);
	k = jv_parse_object_u64(text, SPEC_DEPTH_MAX, &ret->document, e);
	if (k != ERR_OK)
		return k;
	top.v = ret->document;
	return spec_read(&r, &top, &spec_shape, ret);
}

void spec_clear(struct spec *s)
{
	arena_clear(&s->arena);
	jv_free(&s->document);
}

static enum err_kind parse_part(struct str text, const char *name, const struct shape *shape,
				struct arena *a, struct jv **doc, void **ret, struct err *e)
{
	struct reader r = { .arena = a, .e = e };
	enum err_kind k = jv_parse_object_u64(text, SPEC_DEPTH_MAX, doc, e);
	struct at top = { .key = name, .v = *doc };

	if (k != ERR_OK)
		return err_wrap(e, "%s", name);
	*ret = arena_get(a, shape->size);
	if (!*ret)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", name);
	return spec_read(&r, &top, shape, *ret);
}

enum err_kind spec_parse_process(struct str text, struct arena *a, struct jv **doc,
				 struct spec_process **ret, struct err *e)
{
	void *p = NULL;
	enum err_kind k = parse_part(text, "process", &spec_process_shape, a, doc, &p, e);

	*ret = p;
	return k;
}

enum err_kind spec_parse_resources(struct str text, struct arena *a, struct jv **doc,
				   struct spec_resources **ret, struct err *e)
{
	void *p = NULL;
	enum err_kind k = parse_part(text, "resources", &spec_resources_shape, a, doc, &p, e);

	*ret = p;
	return k;
}

const struct spec_namespace *spec_namespace_of(const struct spec *s, enum ns_kind kind)
{
	for (size_t i = 0; i < s->linux_.namespaces.n; i++) {
		if (s->linux_.namespaces.v[i].kind == (int)kind)
			return &s->linux_.namespaces.v[i];
	}
	return NULL;
}

bool spec_has_namespace(const struct spec *s, enum ns_kind kind)
{
	return spec_namespace_of(s, kind) != NULL;
}
