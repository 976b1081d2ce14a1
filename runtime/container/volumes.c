#include "runtime/container/volumes.h"

#include <errno.h>
#include <sys/file.h>

#include "base/clock.h"
#include "base/jv.h"
#include "runtime/image/tree.h"

#define ARENA_MAX (1u << 20)
#define FILE_MAX (1u << 20)
#define DEPTH_MAX 512
#define VOLUME_FILE "volume.json"
#define GUARD_FILE ".guard" /* no name of a volume begins like that */
#define DIR_MODE 0711 /* programs of containers find their way to the data by descriptors alone */

void volume_clear(struct volume *v)
{
	arena_clear(&v->arena);
	*v = (struct volume){ 0 };
}

enum err_kind volumes_open(const struct containers *cs, int *ret, struct err *e)
{
	AUTO_CLOSE root = -1;
	enum err_kind k = fd_make_path(cs->root, 0700, &root, e);

	if (k == ERR_OK)
		k = fd_mkdir_at(root, "volumes", DIR_MODE, e);
	return k == ERR_OK ? fd_open_at(root, "volumes", O_RDONLY | O_DIRECTORY, 0, ret, e) : k;
}

enum err_kind volumes_guard(int dir, bool alone, int *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(dir, GUARD_FILE, O_RDWR | O_CREAT, 0600, &fd, e);

	if (k != ERR_OK)
		return k;
	while (flock(fd, alone ? LOCK_EX : LOCK_SH) < 0) {
		if (errno != EINTR)
			return err_sys(e, __func__, "lock the volumes");
	}
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

/* --- Making --- */

static enum err_kind write_file(int one, const struct volume_wish *wish, struct err *e)
{
	AUTO_SBUF bytes;
	AUTO_JV *labels = jv_pack("{}");
	AUTO_JV *v = NULL;
	bool ok = labels != NULL;

	for (size_t i = 0; ok && wish->labels && i < wish->labels->keys.n; i++)
		ok = jv_set(labels, wish->labels->keys.v[i],
			    jv_pack("s", wish->labels->values.v[i]));
	v = jv_pack("{s:s, s:b, s:I, s:o}", "name", wish->name, "anonymous", wish->anonymous,
		    "created_ms", (long long)wall_ms(), "labels", TAKE(labels));
	sbuf_init(&bytes, FILE_MAX);
	jv_dump_pretty(v, 2, &bytes);
	if (!ok || bytes.failed)
		return err_set(e, ERR_INVALID, __func__, "labels that are no UTF-8");
	return fd_swap_file(one, VOLUME_FILE, (struct str){ bytes.p, bytes.n }, 0600, e);
}

enum err_kind volume_make(int dir, const struct volume_wish *wish, int *ret_data, bool *ret_made,
			  struct err *e)
{
	AUTO_CLOSE one = -1;
	struct stat s;
	bool is_new;
	enum err_kind k;

	if (!container_name_is_valid(str_of(wish->name)))
		return err_set(e, ERR_INVALID, __func__, "\"%.80s\" is no name of a volume",
			       wish->name);
	k = fd_mkdir_at(dir, wish->name, DIR_MODE, e);
	if (k == ERR_OK)
		k = fd_open_at(dir, wish->name, O_RDONLY | O_DIRECTORY, 0, &one, e);
	if (k == ERR_OK)
		k = fd_mkdir_at(one, VOLUME_DATA, 0755, e);
	if (k == ERR_OK)
		k = fd_open_at(one, VOLUME_DATA, O_RDONLY | O_DIRECTORY, 0, ret_data, e);
	if (k != ERR_OK)
		return k;
	is_new = fstatat(one, VOLUME_FILE, &s, AT_SYMLINK_NOFOLLOW) < 0;
	if (ret_made)
		*ret_made = is_new;
	return is_new ? write_file(one, wish, e) : ERR_OK;
}

struct giving {
	int dir;
	unsigned depth;
	uid_t uid;
	gid_t gid;
};

/* Links themselves, never what they lead to. */
static enum err_kind give_one(void *arg, const char *name, struct err *e)
{
	const struct giving *g = arg;
	struct giving below = *g;
	AUTO_CLOSE fd = -1;
	struct stat s;

	if (sys_fchownat(g->dir, name, g->uid, g->gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(g->dir, name, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "give %s away", name);
	if (!S_ISDIR(s.st_mode))
		return ERR_OK;
	if (++below.depth > DEPTH_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, "more than %d directories deep",
			       DEPTH_MAX);
	below.dir = fd =
	    sys_openat(g->dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, __func__, "open %s", name);
	return fd_list_dir(fd, ".", give_one, &below, e);
}

enum err_kind volume_give(const char *path, uid_t uid, gid_t gid, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, path, O_PATH | O_CLOEXEC, 0);
	struct giving g = { .dir = fd, .uid = uid, .gid = gid };
	struct stat s;

	if (fd < 0 || sys_fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0 || fstat(fd, &s) < 0)
		return err_sys(e, __func__, "give %s away", path);
	return S_ISDIR(s.st_mode) ? fd_list_dir(fd, ".", give_one, &g, e) : ERR_OK;
}

/* --- Reading --- */

static enum err_kind take(const struct jv *v, const char *name, struct volume *ret, struct err *e)
{
	const struct jv *labels = jv_member(v, "labels"), *value;
	const char *key;
	void *iter = NULL;
	struct str s;

	ret->name = arena_text(&ret->arena, str_of(name));
	ret->anonymous = jv_is_true(jv_member(v, "anonymous"));
	(void)jv_uint(jv_member(v, "created_ms"), &ret->created_ms);
	while (labels && jv_next(labels, &iter, &key, &value)) {
		if (jv_text(value, &s) &&
		    (!arena_list_add(&ret->arena, &ret->labels.keys,
				     arena_text(&ret->arena, str_of(key))) ||
		     !arena_list_add(&ret->arena, &ret->labels.values, arena_text(&ret->arena, s))))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a volume");
	}
	return ret->name ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a volume");
}

enum err_kind volume_read(int dir, const char *name, struct volume *ret, struct err *e)
{
	AUTO_CLOSE one = -1;
	AUTO_SBUF b;
	AUTO_JV *v = NULL;
	AUTO_VOLUME volume = { 0 };
	enum err_kind k;

	sbuf_init(&b, FILE_MAX);
	arena_init(&volume.arena, ARENA_MAX);
	if (!container_name_is_valid(str_of(name)))
		return err_set(e, ERR_NOT_FOUND, __func__, "no volume \"%.80s\"", name);
	k = fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &one, e);
	if (k == ERR_OK)
		k = fd_read_file(one, VOLUME_FILE, &b, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "no volume \"%.80s\": berth volume ls lists them", name);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ b.p, b.n }, 4, &v, e);
	if (k == ERR_OK)
		k = take(v, name, &volume, e);
	if (k != ERR_OK)
		return err_wrap(e, "volume %.80s", name);
	*ret = volume;
	volume = (struct volume){ 0 };
	return ERR_OK;
}

struct each {
	int dir;
	volume_fn *fn;
	void *arg;
};

static enum err_kind each_name(void *arg, const char *name, struct err *e)
{
	struct each *each = arg;
	AUTO_VOLUME v = { 0 };
	struct err why;
	enum err_kind k;

	if (!container_name_is_valid(str_of(name)))
		return ERR_OK;
	k = volume_read(each->dir, name, &v, &why);
	if (k == ERR_NOT_FOUND) /* is being made or removed */
		return ERR_OK;
	if (k != ERR_OK) {
		*e = why;
		return k;
	}
	return each->fn(each->arg, &v, e);
}

enum err_kind volumes_each(int dir, volume_fn *fn, void *arg, struct err *e)
{
	struct each each = { .dir = dir, .fn = fn, .arg = arg };

	return fd_list_dir(dir, ".", each_name, &each, e);
}

/* --- Removing --- */

struct search {
	const char *name;
	char *ret;
	size_t cap;
};

static enum err_kind look_for(void *arg, struct container *c, struct err *e)
{
	struct search *s = arg;

	(void)e;
	for (size_t i = 0; i < c->record.volumes.n; i++) {
		if (strcmp(c->record.volumes.v[i], s->name) == 0)
			(void)str_copy(str_of(c->record.name), s->ret, s->cap);
	}
	return ERR_OK;
}

enum err_kind volume_user(const struct containers *cs, const char *name, char *ret, size_t cap,
			  struct err *e)
{
	struct search s = { .name = name, .ret = ret, .cap = cap };

	ret[0] = '\0';
	return containers_each(cs, look_for, &s, e);
}

/* volume.json goes first (L1). */
enum err_kind volume_remove(const struct containers *cs, int dir, const char *name, struct err *e)
{
	AUTO_CLOSE one = -1;
	char user[CONTAINER_NAME_MAX + 1];
	enum err_kind k = volume_user(cs, name, user, sizeof(user), e);

	if (k == ERR_OK && user[0])
		return err_set(e, ERR_IN_USE, __func__, "volume %.80s: container %s has it", name,
			       user);
	if (k == ERR_OK)
		k = fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, &one, e);
	if (k != ERR_OK)
		return k;
	if (sys_unlinkat(one, VOLUME_FILE, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove volume %s", name);
	return tree_remove(dir, name, e);
}
