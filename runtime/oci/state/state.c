#include "runtime/oci/state/state.h"

#define DEPTH_MAX 8
#define FORMAT 1

struct raw_cgroup_dir {
	const char *controllers, *mount, *path;
	bool is_v2;
	uint32_t missing;
};

struct raw_cgroup {
	LIST(struct raw_cgroup_dir) dirs;
	bool is_unified;
	const char *unit, *slice;
};

struct raw_rdt {
	const char *group, *monitor;
};

struct raw_state {
	uint32_t format;
	const char *version, *id, *bundle, *rootfs, *created;
	uint32_t pid, owner;
	uint64_t start_time;
	bool is_committed, has_process, has_terminal, has_poststart, has_poststop;
	struct raw_cgroup cgroup;
	struct raw_rdt rdt;
	LIST(struct pair) annotations;
};

static const struct field dir_fields[] = {
	FIELD(struct raw_cgroup_dir, controllers, "controllers", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(struct raw_cgroup_dir, mount, "mount", FIELD_TEXT,
	      .flags = FIELD_NEEDED | FIELD_ABSOLUTE),
	FIELD(struct raw_cgroup_dir, path, "path", FIELD_TEXT,
	      .flags = FIELD_NEEDED | FIELD_ABSOLUTE),
	FIELD(struct raw_cgroup_dir, is_v2, "v2", FIELD_BOOL),
	FIELD(struct raw_cgroup_dir, missing, "missing", FIELD_U32),
	FIELDS_END,
};
static const struct shape dir_shape = { sizeof(struct raw_cgroup_dir), dir_fields, NULL };

static const struct field cgroup_fields[] = {
	FIELD(struct raw_cgroup, dirs, "dirs", FIELD_LIST, .shape = &dir_shape),
	FIELD(struct raw_cgroup, is_unified, "unified", FIELD_BOOL),
	FIELD(struct raw_cgroup, unit, "unit", FIELD_TEXT),
	FIELD(struct raw_cgroup, slice, "slice", FIELD_TEXT),
	FIELDS_END,
};
static const struct shape cgroup_shape = { sizeof(struct raw_cgroup), cgroup_fields, NULL };

static const struct field rdt_fields[] = {
	FIELD(struct raw_rdt, group, "group", FIELD_TEXT),
	FIELD(struct raw_rdt, monitor, "monitor", FIELD_TEXT),
	FIELDS_END,
};
static const struct shape rdt_shape = { sizeof(struct raw_rdt), rdt_fields, NULL };

#define S struct raw_state
static const struct field state_fields[] = {
	FIELD(S, format, "format", FIELD_U32, .flags = FIELD_NEEDED),
	FIELD(S, version, "ociVersion", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, id, "id", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, bundle, "bundle", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, rootfs, "rootfs", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, created, "created", FIELD_TEXT, .flags = FIELD_NEEDED),
	FIELD(S, pid, "pid", FIELD_U32),
	FIELD(S, owner, "owner", FIELD_U32),
	FIELD(S, start_time, "startTime", FIELD_U64),
	FIELD(S, is_committed, "committed", FIELD_BOOL),
	FIELD(S, has_process, "process", FIELD_BOOL),
	FIELD(S, has_terminal, "terminal", FIELD_BOOL),
	FIELD(S, has_poststart, "poststart", FIELD_BOOL),
	FIELD(S, has_poststop, "poststop", FIELD_BOOL),
	FIELD(S, cgroup, "cgroup", FIELD_INLINE, .shape = &cgroup_shape),
	FIELD(S, rdt, "intelRdt", FIELD_INLINE, .shape = &rdt_shape),
	FIELD(S, annotations, "annotations", FIELD_PAIRS),
	FIELDS_END,
};
static const struct shape state_shape = { sizeof(S), state_fields, NULL };
#undef S

enum err_kind state_read(struct str text, struct arena *a, struct jv **doc, struct state *ret,
			 struct err *e)
{
	struct reader r = { .arena = a, .e = e };
	struct at top = { .key = "state.json" };
	struct raw_state raw = { 0 };
	enum err_kind k = jv_parse_object_u64(text, DEPTH_MAX, doc, e);

	top.v = *doc;
	if (k == ERR_OK)
		k = spec_read(&r, &top, &state_shape, &raw);
	if (k != ERR_OK || raw.format != FORMAT || raw.cgroup.dirs.n > HIERARCHIES_MAX ||
	    raw.pid > INT32_MAX)
		return err_set(e, ERR_CORRUPT, __func__, "state.json is damaged");
	*ret = (struct state){ .version = raw.version,
			       .id = raw.id,
			       .bundle = raw.bundle,
			       .rootfs = raw.rootfs,
			       .created = raw.created,
			       .pid = (pid_t)raw.pid,
			       .start_time = raw.start_time,
			       .owner = raw.owner,
			       .is_committed = raw.is_committed,
			       .has_process = raw.has_process,
			       .has_terminal = raw.has_terminal,
			       .has_poststart = raw.has_poststart,
			       .has_poststop = raw.has_poststop,
			       .cgroup = { .n = raw.cgroup.dirs.n,
					   .is_unified = raw.cgroup.is_unified,
					   .unit = raw.cgroup.unit,
					   .slice = raw.cgroup.slice },
			       .rdt_group = raw.rdt.group,
			       .rdt_monitor = raw.rdt.monitor };
	ret->annotations.v = raw.annotations.v;
	ret->annotations.n = raw.annotations.n;
	for (size_t i = 0; i < raw.cgroup.dirs.n; i++) {
		const struct raw_cgroup_dir *d = &raw.cgroup.dirs.v[i];

		ret->cgroup.dirs[i] =
		    (struct cgroup_dir){ d->controllers, d->mount, d->path, d->is_v2,
					 MIN(d->missing, strlen(d->path)) };
	}
	return ERR_OK;
}

static struct jv *cgroup_value(const struct cgroup *cg)
{
	struct jv *dirs = jv_new_array();

	for (size_t i = 0; i < cg->n; i++) {
		const struct cgroup_dir *d = &cg->dirs[i];

		if (!jv_append(dirs, jv_pack("{s:s, s:s, s:s, s:b, s:I}", "controllers",
					     d->controllers, "mount", d->mount, "path", d->path,
					     "v2", d->is_v2, "missing", (int64_t)d->missing)))
			break; /* no memory: the pack below fails as well */
	}
	return jv_pack("{s:o, s:b, s:s?, s:s?}", "dirs", dirs, "unified", cg->is_unified, "unit",
		       cg->unit, "slice", cg->slice);
}

static struct jv *annotations_value(const struct state *s)
{
	struct jv *v = jv_pack("{}");

	for (size_t i = 0; i < s->annotations.n; i++) {
		if (!jv_set(v, s->annotations.v[i].key, jv_pack("s", s->annotations.v[i].value)))
			break;
	}
	return v;
}

void state_write(const struct state *s, struct sbuf *out)
{
	AUTO_JV *v = jv_pack(
	    "{s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:o, "
	    "s:{s:s?, s:s?}, s:o}",
	    "format", FORMAT, "ociVersion", s->version, "id", s->id, "bundle", s->bundle, "rootfs",
	    s->rootfs, "created", s->created, "pid", s->pid, "startTime", (int64_t)s->start_time,
	    "owner", (int64_t)s->owner, "committed", s->is_committed, "process", s->has_process,
	    "terminal", s->has_terminal, "poststart", s->has_poststart, "poststop", s->has_poststop,
	    "cgroup", cgroup_value(&s->cgroup), "intelRdt", "group", s->rdt_group, "monitor",
	    s->rdt_monitor, "annotations", annotations_value(s));

	jv_dump(v, out);
}
