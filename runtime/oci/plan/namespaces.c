/* Which namespaces are new, which are joined, and the texts that describe a new user or time namespace. */
#include <errno.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "runtime/oci/plan/build.h"

static const struct {
	int flag;
	const char *self; /* below /proc */
} kinds[NS_N] = {
	[NS_USER] = { CLONE_NEWUSER, "self/ns/user" },
	[NS_CGROUP] = { CLONE_NEWCGROUP, "self/ns/cgroup" },
	[NS_IPC] = { CLONE_NEWIPC, "self/ns/ipc" },
	[NS_UTS] = { CLONE_NEWUTS, "self/ns/uts" },
	[NS_NETWORK] = { CLONE_NEWNET, "self/ns/net" },
	[NS_PID] = { CLONE_NEWPID, "self/ns/pid" },
	[NS_TIME] = { 0x80, "self/ns/time" }, /* CLONE_NEWTIME, which collides with a signal's bits */
	[NS_MOUNT] = { CLONE_NEWNS, "self/ns/mnt" },
};

/* Joining the namespace that we are in already would be refused for some kinds, and changes nothing for the rest. */
static bool is_own(int proc, enum ns_kind kind, int fd)
{
	struct stat own, other;

	return fstatat(proc, kinds[kind].self, &own, 0) == 0 && fstat(fd, &other) == 0 &&
	       own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

static enum err_kind plan_join(struct plan *p, enum ns_kind kind, size_t i, const char *path,
			       struct err *e)
{
	AUTO_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int type;

	if (fd < 0)
		return err_sys(e, __func__, "linux.namespaces[%zu].path: open %s", i, path);
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return err_set(e, ERR_INVALID, __func__,
			       "linux.namespaces[%zu].path: %s is not a namespace", i, path);
	if (type != kinds[kind].flag)
		return err_set(e, ERR_INVALID, __func__,
			       "linux.namespaces[%zu].path: %s is not a %s namespace", i, path,
			       spec_namespace_names[kind - 1]);
	if (is_own(p->proc, kind, fd)) {
		p->own_kinds |= 1u << kind;
		return ERR_OK;
	}
	p->joins[p->joins_n++] =
	    (struct join){ .fd = TAKE_FD(fd), .flags = kinds[kind].flag, .path = path };
	p->needs_stage = true;
	if (kind == NS_USER)
		p->joins_user = p->in_userns = true;
	return ERR_OK;
}

static enum err_kind map_text(const spec_id_maps *maps, struct arena *a, const char **ret,
			      struct err *e)
{
	AUTO_SBUF b;
	char *text;

	sbuf_init(&b, 64 * 1024);
	for (size_t i = 0; i < maps->n; i++)
		sbuf_addf(&b, "%u %u %u\n", maps->v[i].container_id, maps->v[i].host_id,
			  maps->v[i].size);
	if (b.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "linux.uidMappings: too many of them");
	text = arena_text(a, (struct str){ b.p, b.n });
	*ret = text;
	return text ? ERR_OK : plan_no_memory(e);
}

static enum err_kind offsets_text(const struct spec_time_offsets *o, struct arena *a,
				  const char **ret, struct err *e)
{
	const struct {
		const char *name;
		const struct spec_time_offset *v;
	} rows[] = { { "monotonic", o->monotonic }, { "boottime", o->boottime } };
	char *text = arena_get(a, 128), *at = text;

	if (!text)
		return plan_no_memory(e);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].v)
			at += snprintf(at, 64, "%s %lld %u\n", rows[i].name,
				       (long long)rows[i].v->secs, rows[i].v->nanosecs);
	}
	*ret = text;
	return ERR_OK;
}

static enum err_kind plan_new(struct plan *p, enum ns_kind kind, const struct spec *s,
			      struct err *e)
{
	enum err_kind k;

	if (kind == NS_TIME) {
		p->needs_stage = true;
		return offsets_text(&s->linux_.time_offsets, p->arena, &p->time_offsets, e);
	}
	if (kind == NS_CGROUP)
		return ERR_OK; /* made by the process itself, once it is in its cgroups */
	p->new_flags |= (unsigned)kinds[kind].flag;
	if (kind != NS_USER)
		return ERR_OK;
	p->is_new_userns = p->in_userns = true;
	k = map_text(&s->linux_.uid_mappings, p->arena, &p->uid_map, e);
	return k == ERR_OK ? map_text(&s->linux_.gid_mappings, p->arena, &p->gid_map, e) : k;
}

/* What would change the runtime's own namespace instead of the container's. */
static enum err_kind check_own(const struct plan *p, const struct spec *s, struct err *e)
{
	const char *const property = s->hostname ? "hostname" : "domainname";

	if ((s->hostname || s->domainname) && (p->own_kinds & 1u << NS_UTS))
		return err_set(e, ERR_INVALID, __func__,
			       "%s: the uts namespace is the runtime's own", property);
	if (s->linux_.net_devices.n && (p->own_kinds & 1u << NS_NETWORK))
		return err_set(e, ERR_INVALID, __func__,
			       "linux.netDevices: the network namespace is the runtime's own");
	for (size_t i = 0; i < s->linux_.sysctl.n; i++) {
		const char *key = s->linux_.sysctl.v[i].key;
		enum ns_kind kind = spec_sysctl_namespace(key);

		if (p->own_kinds & 1u << kind)
			return err_set(e, ERR_INVALID, __func__,
				       "linux.sysctl.%s: the %s namespace is the runtime's own",
				       key, spec_namespace_names[kind - 1]);
	}
	return ERR_OK;
}

enum err_kind plan_namespaces(struct plan *p, const struct spec *s, const struct host *h,
			      struct err *e)
{
	enum err_kind k = ERR_OK;

	p->in_userns = h->in_userns;
	for (int kind = NS_USER; k == ERR_OK && kind < NS_N; kind++) {
		const struct spec_namespace *n = spec_namespace_of(s, (enum ns_kind)kind);

		if (n && n->path)
			k = plan_join(p, (enum ns_kind)kind, (size_t)(n - s->linux_.namespaces.v),
				      n->path, e);
		else if (n)
			k = plan_new(p, (enum ns_kind)kind, s, e);
	}
	return k == ERR_OK ? check_own(p, s, e) : k;
}
