#include "runtime/oci/plan/mount_opt.h"

#include <sys/mount.h>

enum opt_kind {
	OPT_NOTHING, /* the default, or of no meaning to the kernel */
	OPT_ATTR,    /* sets bits of one mount */
	OPT_NO_ATTR, /* clears them */
	OPT_ALL,     /* the same for a tree of mounts */
	OPT_NO_ALL,
	OPT_SUPER, /* sets a flag of the superblock */
	OPT_NO_SUPER,
	OPT_PROPAGATION,
	OPT_FIELD, /* sets a bool of struct mount_opts */
};

struct opt {
	const char *name;
	enum opt_kind kind;
	unsigned long bits; /* of the kind; for OPT_FIELD an offset */
};

#define ATTR(name, bit)                                                                            \
	{                                                                                          \
		name, OPT_ATTR, MOUNT_ATTR_##bit                                                   \
	}
#define NO_ATTR(name, bit)                                                                         \
	{                                                                                          \
		name, OPT_NO_ATTR, MOUNT_ATTR_##bit                                                \
	}
#define ALL(name, bit)                                                                             \
	{                                                                                          \
		name, OPT_ALL, MOUNT_ATTR_##bit                                                    \
	}
#define NO_ALL(name, bit)                                                                          \
	{                                                                                          \
		name, OPT_NO_ALL, MOUNT_ATTR_##bit                                                 \
	}
#define SUPER(name, bit)                                                                           \
	{                                                                                          \
		name, OPT_SUPER, MS_##bit                                                          \
	}
#define NO_SUPER(name, bit)                                                                        \
	{                                                                                          \
		name, OPT_NO_SUPER, MS_##bit                                                       \
	}
#define PROPAGATION(name, bits)                                                                    \
	{                                                                                          \
		name, OPT_PROPAGATION, bits                                                        \
	}
#define MARK(name, field)                                                                          \
	{                                                                                          \
		name, OPT_FIELD, offsetof(struct mount_opts, field)                                \
	}
#define NOTHING(name)                                                                              \
	{                                                                                          \
		name, OPT_NOTHING, 0                                                               \
	}

/* In the order of strcmp. */
/* clang-format off */
static const struct opt options[] = {
	SUPER("acl", POSIXACL),
	NO_SUPER("async", SYNCHRONOUS),
	NO_ATTR("atime", NOATIME),
	MARK("bind", is_bind),
	MARK("copy-symlink", keeps_symlink),
	NOTHING("defaults"),
	MARK("dest-nofollow", target_nofollow),
	NO_ATTR("dev", NODEV),
	NO_ATTR("diratime", NODIRATIME),
	SUPER("dirsync", DIRSYNC),
	NO_ATTR("exec", NOEXEC),
	MARK("idmap", is_idmapped),
	SUPER("iversion", I_VERSION),
	SUPER("lazytime", LAZYTIME),
	NO_SUPER("loud", SILENT),
	SUPER("mand", MANDLOCK),
	NO_SUPER("noacl", POSIXACL),
	ATTR("noatime", NOATIME),
	ATTR("nodev", NODEV),
	ATTR("nodiratime", NODIRATIME),
	ATTR("noexec", NOEXEC),
	NO_SUPER("noiversion", I_VERSION),
	NO_SUPER("nolazytime", LAZYTIME),
	NO_SUPER("nomand", MANDLOCK),
	NO_ATTR("norelatime", RELATIME),
	NO_ATTR("nostrictatime", STRICTATIME),
	ATTR("nosuid", NOSUID),
	ATTR("nosymfollow", NOSYMFOLLOW),
	PROPAGATION("private", MS_PRIVATE),
	NO_ALL("ratime", NOATIME),
	MARK("rbind", is_recursive),
	NO_ALL("rdev", NODEV),
	NO_ALL("rdiratime", NODIRATIME),
	ATTR("relatime", RELATIME),
	MARK("remount", is_remount),
	NO_ALL("rexec", NOEXEC),
	MARK("ridmap", idmaps_recursively),
	ALL("rnoatime", NOATIME),
	ALL("rnodev", NODEV),
	ALL("rnodiratime", NODIRATIME),
	ALL("rnoexec", NOEXEC),
	NO_ALL("rnorelatime", RELATIME),
	NO_ALL("rnostrictatime", STRICTATIME),
	ALL("rnosuid", NOSUID),
	ALL("rnosymfollow", NOSYMFOLLOW),
	ATTR("ro", RDONLY),
	PROPAGATION("rprivate", MS_PRIVATE | MS_REC),
	ALL("rrelatime", RELATIME),
	ALL("rro", RDONLY),
	NO_ALL("rrw", RDONLY),
	PROPAGATION("rshared", MS_SHARED | MS_REC),
	PROPAGATION("rslave", MS_SLAVE | MS_REC),
	ALL("rstrictatime", STRICTATIME),
	NO_ALL("rsuid", NOSUID),
	NO_ALL("rsymfollow", NOSYMFOLLOW),
	PROPAGATION("runbindable", MS_UNBINDABLE | MS_REC),
	NO_ATTR("rw", RDONLY),
	PROPAGATION("shared", MS_SHARED),
	SUPER("silent", SILENT),
	PROPAGATION("slave", MS_SLAVE),
	MARK("src-nofollow", source_nofollow),
	ATTR("strictatime", STRICTATIME),
	NO_ATTR("suid", NOSUID),
	NO_ATTR("symfollow", NOSYMFOLLOW),
	SUPER("sync", SYNCHRONOUS),
	MARK("tmpcopyup", copies_up),
	PROPAGATION("unbindable", MS_UNBINDABLE),
};
/* clang-format on */

/* relatime is 0 among the bits of MOUNT_ATTR__ATIME, so these options need more than a bit. */
static uint64_t atime_group(uint64_t bits)
{
	bool is_atime = bits == MOUNT_ATTR_RELATIME || bits == MOUNT_ATTR_NOATIME ||
			bits == MOUNT_ATTR_STRICTATIME;

	return is_atime ? MOUNT_ATTR__ATIME : bits;
}

/* The last option that speaks of a bit counts. */
static void attr_on(uint64_t *set, uint64_t *clear, uint64_t bits)
{
	*clear &= ~bits;
	*set &= ~atime_group(bits);
	*set |= bits;
	if (atime_group(bits) == MOUNT_ATTR__ATIME)
		*clear |= MOUNT_ATTR__ATIME; /* mount_setattr(2) wants the whole field cleared */
}

static void attr_off(uint64_t *set, uint64_t *clear, uint64_t bits)
{
	*set &= ~bits;
	*clear |= atime_group(bits); /* off means back to relatime, which is 0 */
}

static void apply(const struct opt *o, struct mount_opts *m)
{
	switch (o->kind) {
	case OPT_NOTHING:
		return;
	case OPT_ATTR:
		attr_on(&m->set, &m->clear, o->bits);
		return;
	case OPT_NO_ATTR:
		attr_off(&m->set, &m->clear, o->bits);
		return;
	case OPT_ALL:
		attr_on(&m->all_set, &m->all_clear, o->bits);
		return;
	case OPT_NO_ALL:
		attr_off(&m->all_set, &m->all_clear, o->bits);
		return;
	case OPT_SUPER:
		m->super_flags |= o->bits;
		return;
	case OPT_NO_SUPER:
		m->super_flags &= ~o->bits;
		return;
	case OPT_PROPAGATION:
		m->propagation[m->propagation_n++] = o->bits;
		return;
	case OPT_FIELD:
		*((bool *)m + o->bits) = true;
		return;
	}
}

static int compare(const void *key, const void *row)
{
	return strcmp(key, ((const struct opt *)row)->name);
}

enum err_kind mount_opts_parse(const struct texts *list, struct arena *a, struct mount_opts *ret,
			       struct err *e)
{
	*ret = (struct mount_opts){ 0 };
	ret->data.v = arena_array(a, list->n + 1, sizeof(*ret->data.v));
	if (!ret->data.v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for mount options");
	for (size_t i = 0; i < list->n; i++) {
		const struct opt *o =
		    bsearch(list->v[i], options, ARRAY_LEN(options), sizeof(options[0]), compare);

		if (o && o->kind == OPT_PROPAGATION &&
		    ret->propagation_n == PROPAGATION_OPTIONS_MAX)
			return err_set(e, ERR_INVALID, __func__, "more than %d propagation options",
				       PROPAGATION_OPTIONS_MAX);
		if (o)
			apply(o, ret);
		else if (list->v[i][0])
			ret->data.v[ret->data.n++] = list->v[i];
	}
	ret->is_bind = ret->is_bind || ret->is_recursive;
	ret->is_idmapped = ret->is_idmapped || ret->idmaps_recursively;
	return ERR_OK;
}

unsigned long mount_flags_of(uint64_t attr)
{
	static const struct {
		uint64_t attr;
		unsigned long flag;
	} rows[] = {
		{ MOUNT_ATTR_RDONLY, MS_RDONLY },
		{ MOUNT_ATTR_NOSUID, MS_NOSUID },
		{ MOUNT_ATTR_NODEV, MS_NODEV },
		{ MOUNT_ATTR_NOEXEC, MS_NOEXEC },
		{ MOUNT_ATTR_NOATIME, MS_NOATIME },
		{ MOUNT_ATTR_STRICTATIME, MS_STRICTATIME },
		{ MOUNT_ATTR_NODIRATIME, MS_NODIRATIME },
		{ MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW },
	};
	unsigned long flags = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (attr & rows[i].attr)
			flags |= rows[i].flag;
	}
	return flags;
}

const char *mount_opt_name(size_t i)
{
	return i < ARRAY_LEN(options) ? options[i].name : NULL;
}
