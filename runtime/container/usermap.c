#include "runtime/container/usermap.h"

#include <stdlib.h>

#include "runtime/container/subids.h"

#define LOCK_FILE "userns"
#define AUTO_IDS_MIN 1024 /* podman's */
#define AUTO_USER "containers"

/* --- Words --- */

static enum err_kind take_id(struct str value, bool *ret_has, uint64_t *ret, struct err *e)
{
	*ret_has = scan_u64(&value, ID_LAST, ret) && scan_end(&value);
	return *ret_has ? ERR_OK
			: err_set(e, ERR_INVALID, __func__, "--userns keep-id: \"%.*s\" is no id",
				  (int)MIN(value.n, (size_t)40), value.p);
}

static enum err_kind take_size(struct str value, uint64_t *ret, struct err *e)
{
	if (scan_u64(&value, ID_LAST, ret) && scan_end(&value) && *ret > 0)
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__, "--userns auto: a size is a number from 1 to %u",
		       ID_LAST);
}

static enum err_kind take_option(struct usermap_wish *w, struct str key, struct str value,
				 struct err *e)
{
	bool keeps = w->kind == USERMAP_KEEP_ID;

	if (keeps && str_eq(key, STR("uid")))
		return take_id(value, &w->has_uid, &w->uid, e);
	if (keeps && str_eq(key, STR("gid")))
		return take_id(value, &w->has_gid, &w->gid, e);
	if (w->kind == USERMAP_AUTO && str_eq(key, STR("size")))
		return take_size(value, &w->size, e);
	if (w->kind == USERMAP_AUTO && str_eq(key, STR("uidmapping")))
		return idmap_add_text(&w->maps.uids, value, e);
	if (w->kind == USERMAP_AUTO && str_eq(key, STR("gidmapping")))
		return idmap_add_text(&w->maps.gids, value, e);
	return err_set(e, ERR_INVALID, __func__, "--userns: \"%.*s\" is not understood",
		       (int)MIN(key.n, (size_t)40), key.p);
}

/* MODE[:KEY=VALUE,...] */
static enum err_kind take_mode(struct usermap_wish *w, struct str mode, struct err *e)
{
	static const struct {
		const char *name;
		enum usermap_kind kind;
	} modes[] = {
		{ "", USERMAP_HOST },           { "host", USERMAP_HOST },
		{ "keep-id", USERMAP_KEEP_ID }, { "nomap", USERMAP_NOMAP },
		{ "auto", USERMAP_AUTO },       { "private", USERMAP_GIVEN },
	};
	struct str name, options = { "", 0 }, one, key, value = { "", 0 };
	bool has_options = str_cut(mode, ':', &name, &options);
	enum err_kind k = ERR_OK;
	size_t i = 0;

	while (i < ARRAY_LEN(modes) && !str_eq(name, str_of(modes[i].name)))
		i++;
	if (i == ARRAY_LEN(modes) || (has_options && options.n == 0))
		return err_set(e, ERR_INVALID, __func__,
			       "--userns %.*s: host, keep-id, nomap, auto or private",
			       (int)MIN(mode.n, (size_t)60), mode.p);
	w->kind = modes[i].kind;
	while (k == ERR_OK && options.n) {
		(void)str_cut(options, ',', &one, &options);
		(void)str_cut(one, '=', &key, &value);
		k = take_option(w, key, value, e);
	}
	return k;
}

static enum err_kind take_maps(struct idmap *m, const struct text_list *texts, const char *option,
			       struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < texts->n; i++)
		k = idmap_add_text(m, str_of(texts->v[i]), e);
	return k == ERR_OK ? k : err_wrap(e, "%s", option);
}

enum err_kind usermap_parse(const char *mode, const struct text_list *uid_maps,
			    const struct text_list *gid_maps, struct usermap_wish *ret,
			    struct err *e)
{
	bool given = uid_maps->n || gid_maps->n;
	enum err_kind k;

	*ret = (struct usermap_wish){ .kind = USERMAP_HOST };
	k = take_mode(ret, str_of(mode ? mode : given ? "private" : ""), e);
	if (k != ERR_OK)
		return k;
	if (ret->kind == USERMAP_GIVEN && !given)
		return err_set(e, ERR_INVALID, __func__,
			       "--userns private wants --uidmap or --gidmap");
	if (ret->kind != USERMAP_GIVEN && given)
		return err_set(e, ERR_INVALID, __func__,
			       "--uidmap and --gidmap are not for --userns %s", mode);
	if (ret->kind == USERMAP_GIVEN) {
		k = take_maps(&ret->maps.uids, uid_maps->n ? uid_maps : gid_maps, "--uidmap", e);
		if (k == ERR_OK)
			k = take_maps(&ret->maps.gids, gid_maps->n ? gid_maps : uid_maps,
				      "--gidmap", e);
	}
	return k;
}

bool usermap_claims(const struct usermap_wish *w)
{
	return w->kind == USERMAP_AUTO || w->kind == USERMAP_GIVEN;
}

enum err_kind usermap_lock(const struct containers *cs, int *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(cs->dir, LOCK_FILE, O_RDWR | O_CREAT, 0600, &fd, e);

	if (k == ERR_OK)
		k = fd_lock(fd, "the ids of containers", e);
	if (k == ERR_OK)
		*ret = TAKE_FD(fd);
	return k;
}

/* --- Our own ids --- */

static enum err_kind read_own(struct idmaps *ret, struct err *e)
{
	enum err_kind k = idmap_read("/proc/self/uid_map", &ret->uids, e);

	return k == ERR_OK ? idmap_read("/proc/self/gid_map", &ret->gids, e) : k;
}

enum err_kind usermap_caller(uint64_t *ret_uid, uint64_t *ret_gid, struct err *e)
{
	struct idmaps own;
	enum err_kind k = read_own(&own, e);

	if (k == ERR_OK && (!idmap_out(&own.uids, 0, ret_uid) || !idmap_out(&own.gids, 0, ret_gid)))
		k = err_set(e, ERR_BUG, __func__, "a user namespace without root");
	return k;
}

/* Behind the last one of the piece that has this id; the id itself if none has. */
static uint64_t end_of_piece(const struct idmap *own, uint64_t id)
{
	for (size_t i = 0; i < own->n; i++) {
		if (id >= own->v[i].inside && id - own->v[i].inside < own->v[i].n)
			return (uint64_t)own->v[i].inside + own->v[i].n;
	}
	return id;
}

static enum err_kind check_within(const struct idmap *own, const struct idmap *m, const char *what,
				  struct err *e)
{
	for (size_t i = 0; i < m->n; i++) {
		uint64_t at = m->v[i].outside, end = at + m->v[i].n;

		while (at < end) {
			uint64_t next = end_of_piece(own, at);

			if (next == at)
				return err_set(e, ERR_DENIED, __func__,
					       "%s %llu is not ours to give: see subuid(5)", what,
					       (unsigned long long)at);
			at = next;
		}
	}
	return ERR_OK;
}

/* --- Maps of all ids that there are --- */

static enum err_kind add_some(struct idmap *m, uint64_t inside, uint64_t outside, uint64_t n,
			      struct err *e)
{
	return n ? idmap_add(m, inside, outside, n, e) : ERR_OK;
}

/* 0 outside is the caller, who becomes this id; the others keep their order. */
static enum err_kind keep(const struct idmap *own, uint64_t id, struct idmap *ret, struct err *e)
{
	uint64_t others = idmap_count(own) - 1;
	enum err_kind k = add_some(ret, 0, 1, MIN(id, others), e);

	if (k == ERR_OK)
		k = idmap_add(ret, id, 0, 1, e);
	if (k == ERR_OK && others > id)
		k = add_some(ret, id + 1, id + 1, others - id, e);
	return k;
}

static enum err_kind keep_ids(const struct usermap_wish *w, const struct idmaps *own,
			      struct idmaps *ret, struct err *e)
{
	uint64_t uid, gid;
	enum err_kind k = usermap_caller(&uid, &gid, e);

	if (k == ERR_OK)
		k = keep(&own->uids, w->has_uid ? w->uid : uid, &ret->uids, e);
	return k == ERR_OK ? keep(&own->gids, w->has_gid ? w->gid : gid, &ret->gids, e) : k;
}

static enum err_kind same(const struct idmap *own, struct idmap *ret, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < own->n; i++)
		k = idmap_add(ret, own->v[i].inside, own->v[i].inside, own->v[i].n, e);
	return k;
}

/* Root keeps everybody's id. */
static enum err_kind keep_all(const struct usermap_wish *w, const struct idmaps *own,
			      struct idmaps *ret, struct err *e)
{
	enum err_kind k;

	if (w->has_uid || w->has_gid)
		return err_set(e, ERR_INVALID, __func__,
			       "--userns keep-id:uid=,gid= is for ordinary users");
	k = same(&own->uids, &ret->uids, e);
	return k == ERR_OK ? same(&own->gids, &ret->gids, e) : k;
}

static enum err_kind leave_out_caller(const struct usermap_who *who, const struct idmaps *own,
				      struct idmaps *ret, struct err *e)
{
	enum err_kind k;

	if (!who->is_ordinary)
		return err_set(e, ERR_INVALID, __func__, "--userns nomap is for ordinary users");
	if (idmap_count(&own->uids) < 2 || idmap_count(&own->gids) < 2)
		return err_set(e, ERR_DENIED, __func__,
			       "--userns nomap needs subordinate ids: see subuid(5)");
	k = idmap_add(&ret->uids, 0, 1, idmap_count(&own->uids) - 1, e);
	return k == ERR_OK ? idmap_add(&ret->gids, 0, 1, idmap_count(&own->gids) - 1, e) : k;
}

/* --- auto --- */

struct taken {
	struct subids_range *v; /* owned */
	size_t n, cap;
};

static void taken_clear(struct taken *t)
{
	free(t->v);
}

static enum err_kind take_range(struct taken *t, uint64_t first, uint64_t n, struct err *e)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? 2 * t->cap : 64;
		struct subids_range *v = reallocarray(t->v, cap, sizeof(*v));

		if (!v)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for ids");
		t->v = v;
		t->cap = cap;
	}
	t->v[t->n++] = (struct subids_range){ first, n };
	return ERR_OK;
}

static enum err_kind take_map_ranges(struct taken *t, const struct idmap *m, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < m->n; i++)
		k = take_range(t, m->v[i].outside, m->v[i].n, e);
	return k;
}

static enum err_kind take_container(void *arg, struct container *c, struct err *e)
{
	const struct idmaps *m = &c->record.ids;
	enum err_kind k;

	if (!c->record.claims_ids)
		return ERR_OK;
	k = take_map_ranges(arg, &m->uids, e);
	return k == ERR_OK ? take_map_ranges(arg, &m->gids, e) : k;
}

/* The first place in the range where so many are free. */
static bool find_free(const struct taken *t, struct subids_range in, uint64_t n, uint64_t *ret)
{
	uint64_t at = in.first;
	size_t i = 0;

	while (i < t->n && n <= in.n && at - in.first <= in.n - n) {
		const struct subids_range *r = &t->v[i++];

		if (at < r->first + r->n && r->first < at + n) {
			at = r->first + r->n;
			i = 0;
		}
	}
	*ret = at;
	return n <= in.n && at - in.first <= in.n - n;
}

/* Ranges that are both users' and groups' to give. */
static void intersect(const struct subids *u, const struct subids *g, struct subids *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < u->n; i++) {
		for (size_t j = 0; j < g->n && ret->n < SUBIDS_RANGES_MAX; j++) {
			uint64_t first =
				     u->v[i].first > g->v[j].first ? u->v[i].first : g->v[j].first,
				 end = MIN(u->v[i].first + u->v[i].n, g->v[j].first + g->v[j].n);

			if (first < end)
				ret->v[ret->n++] = (struct subids_range){ first, end - first };
		}
	}
}

static enum err_kind find_givable(const struct usermap_who *who, const struct idmaps *own,
				  struct subids *ret, struct err *e)
{
	struct subids u = { .n = 1, .v = { { 1, idmap_count(&own->uids) - 1 } } },
		      g = { .n = 1, .v = { { 1, idmap_count(&own->gids) - 1 } } };
	enum err_kind k = ERR_OK;

	if (!who->is_ordinary) {
		k = subids_read("/etc/subuid", AUTO_USER, UINT64_MAX, &u, e);
		if (k == ERR_OK)
			k = subids_read("/etc/subgid", AUTO_USER, UINT64_MAX, &g, e);
	}
	if (k != ERR_OK)
		return k;
	intersect(&u, &g, ret);
	if (ret->n)
		return ERR_OK;
	return err_set(e, ERR_DENIED, __func__,
		       who->is_ordinary
			   ? "--userns auto needs subordinate ids: see subuid(5)"
			   : "--userns auto gives the subordinate ids of the user \"" AUTO_USER
			     "\", who has none in /etc/subuid and /etc/subgid");
}

/* All ids below size that the map does not have yet, each that much further outside. */
static enum err_kind fill(struct idmap *m, uint64_t size, uint64_t first, struct err *e)
{
	uint64_t at = 0;
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && at < size) {
		uint64_t end = size, next = end_of_piece(m, at);

		if (next > at) {
			at = next;
			continue;
		}
		for (size_t i = 0; i < m->n; i++)
			end = m->v[i].inside > at ? MIN(end, (uint64_t)m->v[i].inside) : end;
		k = idmap_add(m, at, first + at, end - at, e);
		at = end;
	}
	return k;
}

static enum err_kind choose_auto(const struct usermap_wish *w, const struct usermap_who *who,
				 const struct containers *cs, const struct idmaps *own,
				 struct idmaps *ret, struct err *e)
{
	CLEANUP(taken_clear) struct taken taken = { .n = 0 };
	uint64_t size = w->size, first = 0;
	struct subids givable;
	size_t i = 0;
	enum err_kind k = find_givable(who, own, &givable, e);

	if (size == 0)
		size = who->ids > AUTO_IDS_MIN ? who->ids : AUTO_IDS_MIN;
	*ret = w->maps;
	if (k == ERR_OK)
		k = take_map_ranges(&taken, &ret->uids, e);
	if (k == ERR_OK)
		k = take_map_ranges(&taken, &ret->gids, e);
	if (k == ERR_OK)
		k = containers_each(cs, take_container, &taken, e);
	if (k != ERR_OK)
		return k;
	while (i < givable.n && !find_free(&taken, givable.v[i], size, &first))
		i++;
	if (i == givable.n)
		return err_set(e, ERR_TOO_MANY, __func__,
			       "--userns auto: no %llu subordinate ids in a row are free",
			       (unsigned long long)size);
	k = fill(&ret->uids, size, first, e);
	return k == ERR_OK ? fill(&ret->gids, size, first, e) : k;
}

/* --- The choice --- */

/* A runtime sets the container up as root of its user namespace. */
static enum err_kind check_root(const struct idmaps *m, struct err *e)
{
	uint64_t ignored;

	if (idmap_out(&m->uids, 0, &ignored) && idmap_out(&m->gids, 0, &ignored))
		return ERR_OK;
	return err_set(
	    e, ERR_INVALID, __func__,
	    "a user namespace needs a root: ids of user and group 0 (of keep-id they are "
	    "subordinate ids: see subuid(5))");
}

enum err_kind usermap_choose(const struct usermap_wish *w, const struct usermap_who *who,
			     const struct containers *cs, struct idmaps *ret, struct err *e)
{
	struct idmaps own;
	enum err_kind k = read_own(&own, e);

	*ret = (struct idmaps){ .uids.n = 0 };
	if (k != ERR_OK)
		return k;
	switch (w->kind) {
	case USERMAP_HOST:
		return ERR_OK;
	case USERMAP_KEEP_ID:
		k = who->is_ordinary ? keep_ids(w, &own, ret, e) : keep_all(w, &own, ret, e);
		break;
	case USERMAP_NOMAP:
		k = leave_out_caller(who, &own, ret, e);
		break;
	case USERMAP_AUTO:
		k = choose_auto(w, who, cs, &own, ret, e);
		break;
	case USERMAP_GIVEN:
		*ret = w->maps;
		break;
	}
	if (k == ERR_OK)
		k = check_root(ret, e);
	if (k == ERR_OK)
		k = check_within(&own.uids, &ret->uids, "user", e);
	return k == ERR_OK ? check_within(&own.gids, &ret->gids, "group", e) : k;
}
