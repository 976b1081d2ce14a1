/* Who the process is: USER[:GROUP] by the container's own /etc/passwd and /etc/group. */
#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

#define FILE_MAX (1u * 1024 * 1024)
#define FIELDS_MAX 7
#define ID_MAX (UINT32_MAX - 1)

/* A file of the container's, whose links lead within it.  One that is not there is empty. */
static enum err_kind read_file(int root, const char *path, struct sbuf *ret, struct err *e)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	AUTO_CLOSE fd = -1;
	struct stat s;

	sbuf_init(ret, FILE_MAX);
	fd = root >= 0 ? sys_openat2(root, path, &how) : -1;
	if (fd < 0 || fstat(fd, &s) < 0 || !S_ISREG(s.st_mode))
		return ERR_OK;
	return fd_read_rest(fd, ret, path, e);
}

/* The fields of the next line; false at the end. */
static bool next_line(struct str *rest, struct str fields[static FIELDS_MAX])
{
	struct str line;

	if (rest->n == 0)
		return false;
	(void)str_cut(*rest, '\n', &line, rest);
	for (size_t i = 0; i < FIELDS_MAX; i++) {
		struct str more = { "", 0 };

		(void)str_cut(line, ':', &fields[i], &more);
		line = more;
	}
	return true;
}

static bool number(struct str in, uint64_t *ret)
{
	return scan_u64(&in, ID_MAX, ret) && scan_end(&in);
}

static enum err_kind find_user(struct making *m, struct str user, struct str passwd,
			       struct str *ret_name, struct err *e)
{
	struct str f[FIELDS_MAX];
	bool by_number = number(user, &m->uid);
	uint64_t uid, gid;

	while (next_line(&passwd, f)) {
		if (!number(f[2], &uid) || !number(f[3], &gid) ||
		    (by_number ? uid != m->uid : !str_eq(f[0], user)))
			continue;
		m->uid = uid;
		m->gid = gid;
		m->home = f[5].n ? arena_text(m->arena, f[5]) : NULL;
		*ret_name = f[0];
		return ERR_OK;
	}
	if (by_number)
		return ERR_OK;
	return err_set(e, ERR_NOT_FOUND, __func__, "no user %.*s in the image's /etc/passwd",
		       (int)MIN(user.n, (size_t)60), user.p);
}

static enum err_kind find_group(struct str group, struct str text, uint64_t *ret, struct err *e)
{
	struct str f[FIELDS_MAX];

	if (number(group, ret))
		return ERR_OK;
	while (next_line(&text, f)) {
		if (str_eq(f[0], group) && number(f[2], ret))
			return ERR_OK;
	}
	return err_set(e, ERR_NOT_FOUND, __func__, "no group %.*s in the image's /etc/group",
		       (int)MIN(group.n, (size_t)60), group.p);
}

static bool add_group(struct making *m, uint64_t gid)
{
	const char *text = arena_printf(m->arena, "%llu", (unsigned long long)gid);

	for (size_t i = 0; text && i < m->groups.n; i++) {
		if (strcmp(m->groups.v[i], text) == 0)
			return true;
	}
	return text && arena_list_add(m->arena, &m->groups, text);
}

static bool lists(struct str members, struct str name)
{
	struct str one;

	while (members.n) {
		(void)str_cut(members, ',', &one, &members);
		if (str_eq(one, name))
			return true;
	}
	return false;
}

/* Groups that list the user, unless a group was asked for (conversion.md "Config.User"). */
static bool add_memberships(struct making *m, struct str name, struct str text)
{
	struct str f[FIELDS_MAX];
	uint64_t gid;

	while (name.n && next_line(&text, f)) {
		if (lists(f[3], name) && number(f[2], &gid) && gid != m->gid && !add_group(m, gid))
			return false;
	}
	return true;
}

static enum err_kind resolve(struct making *m, struct str passwd, struct str groups, struct err *e)
{
	const char *asked = m->o->user ? m->o->user : m->image ? m->image->user : "";
	struct str user, group, name = { "", 0 };
	bool has_group = str_cut(str_of(asked), ':', &user, &group) && group.n;
	enum err_kind k;

	if (user.n == 0)
		user = STR("0");
	k = find_user(m, user, passwd, &name, e);
	if (k == ERR_OK && has_group)
		k = find_group(group, groups, &m->gid, e);
	if (k == ERR_OK && !has_group && !add_memberships(m, name, groups))
		k = making_no_memory(e);
	for (size_t i = 0; k == ERR_OK && i < m->o->groups.n; i++) {
		uint64_t gid = 0;

		if (strcmp(m->o->groups.v[i], "keep-groups") == 0) {
			m->keeps_groups = true;
			continue;
		}
		k = find_group(str_of(m->o->groups.v[i]), groups, &gid, e);
		if (k == ERR_OK && !add_group(m, gid))
			k = making_no_memory(e);
	}
	if (k == ERR_OK && m->keeps_groups && m->o->groups.n > 1)
		k = err_set(e, ERR_INVALID, __func__,
			    "--group-add keep-groups and others exclude each other");
	return k;
}

/* --- User namespaces --- */

static enum err_kind check_one(const struct idmap *map, const char *what, uint64_t id,
			       struct err *e)
{
	uint64_t ignored;

	if (idmap_out(map, id, &ignored))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "%s %llu is not in the container's map of ids: --userns gives it %llu", what,
		       (unsigned long long)id, (unsigned long long)idmap_count(map));
}

static enum err_kind check_mapped(const struct making *m, struct err *e)
{
	const struct idmaps *ids = m->place->ids;
	enum err_kind k;

	if (!making_is_mapped(m))
		return ERR_OK;
	k = check_one(&ids->uids, "user", m->uid, e);
	if (k == ERR_OK)
		k = check_one(&ids->gids, "group", m->gid, e);
	for (size_t i = 0; k == ERR_OK && i < m->groups.n; i++) {
		struct str in = str_of(m->groups.v[i]);
		uint64_t gid = 0;

		(void)scan_u64(&in, ID_MAX, &gid);
		k = check_one(&ids->gids, "group", gid, e);
	}
	return k;
}

/* Numbers from "nobody" on are no users of files. */
static void count_fields(struct str text, size_t first, size_t last, uint64_t *n)
{
	struct str f[FIELDS_MAX];
	uint64_t id;

	while (next_line(&text, f)) {
		for (size_t i = first; i <= last; i++) {
			if (number(f[i], &id) && id < ID_NOBODY && id >= *n)
				*n = id + 1;
		}
	}
}

enum err_kind bundle_count_ids(const struct bundle_options *o, const struct image_config *image,
			       int root, uint64_t *ret, struct err *e)
{
	AUTO_SBUF passwd;
	AUTO_SBUF groups;
	struct str asked = str_of(o->user ? o->user : image ? image->user : ""), id;
	enum err_kind k = read_file(root, "etc/passwd", &passwd, e);
	enum err_kind k2 = read_file(root, "etc/group", &groups, e);
	uint64_t n;

	if (k != ERR_OK || k2 != ERR_OK)
		return k != ERR_OK ? k : k2;
	*ret = 1;
	count_fields((struct str){ passwd.p, passwd.n }, 2, 3, ret);
	count_fields((struct str){ groups.p, groups.n }, 2, 2, ret);
	while (asked.n) {
		(void)str_cut(asked, ':', &id, &asked);
		if (number(id, &n) && n >= *ret)
			*ret = n + 1;
	}
	return ERR_OK;
}

enum err_kind user_resolve(struct making *m, struct err *e)
{
	AUTO_SBUF passwd;
	AUTO_SBUF groups;
	enum err_kind k = read_file(m->place->root, "etc/passwd", &passwd, e);
	enum err_kind k2 = read_file(m->place->root, "etc/group", &groups, e);

	if (k == ERR_OK)
		k = k2;
	if (k == ERR_OK)
		k = resolve(m, (struct str){ passwd.p, passwd.n },
			    (struct str){ groups.p, groups.n }, e);
	return k == ERR_OK ? check_mapped(m, e) : k;
}
