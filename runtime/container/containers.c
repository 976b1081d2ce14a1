#include "runtime/container/containers.h"

#include <errno.h>

#include "base/hash.h"
#include "runtime/image/tree.h"

#define NAME_TRIES 100

/* --- Directories --- */

static enum err_kind open_below(int dir, const char *name, int *ret, struct err *e)
{
	enum err_kind k = fd_mkdir_at(dir, name, 0700, e);

	return k == ERR_OK ? fd_open_at(dir, name, O_RDONLY | O_DIRECTORY, 0, ret, e) : k;
}

enum err_kind containers_open(const char *root, const char *state, struct containers *ret,
			      struct err *e)
{
	AUTO_CONTAINERS cs = {
		.dir = -1, .names = -1, .state_dir = -1, .root = root, .state = state
	};
	AUTO_CLOSE top = -1;
	enum err_kind k = fd_make_path(root, 0700, &top, e);

	if (k == ERR_OK)
		k = open_below(top, "containers", &cs.dir, e);
	if (k == ERR_OK)
		k = open_below(cs.dir, "names", &cs.names, e);
	if (k == ERR_OK)
		k = fd_make_path(state, 0700, &cs.state_dir, e);
	if (k != ERR_OK)
		return k;
	*ret = cs;
	cs = (struct containers){ .dir = -1, .names = -1, .state_dir = -1 };
	return ERR_OK;
}

void containers_close(struct containers *c)
{
	fd_close(&c->dir);
	fd_close(&c->names);
	fd_close(&c->state_dir);
}

void container_close(struct container *c)
{
	record_clear(&c->record);
	fd_close(&c->dir);
	fd_close(&c->state);
	fd_close(&c->lock);
}

enum err_kind container_state_open(const struct containers *cs, struct container *c, struct err *e)
{
	return open_below(cs->state_dir, c->record.id, &c->state, e);
}

enum err_kind container_lock(struct container *c, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	enum err_kind k = fd_open_at(c->dir, "lock", O_RDWR | O_CREAT, 0600, &c->lock, e);
	int r;

	if (k != ERR_OK)
		return k;
	do
		r = fcntl(c->lock, F_OFD_SETLKW, &whole);
	while (r < 0 && errno == EINTR);
	return r < 0 ? err_sys(e, __func__, "lock container %s", c->record.name) : ERR_OK;
}

/* --- Names --- */

static const char *const moods[] = { "able",  "brave", "calm",    "deep",  "eager",  "fair",
				     "glad",  "hardy", "ideal",   "jolly", "keen",   "light",
				     "merry", "noble", "open",    "proud", "quiet",  "rapid",
				     "sound", "tidy",  "upright", "vivid", "watery", "young" };
static const char *const ships[] = { "barge",  "brig",   "canoe",   "clipper", "cutter", "dinghy",
				     "dory",   "ferry",  "frigate", "galleon", "hooker", "ketch",
				     "launch", "lugger", "packet",  "pilot",   "punt",   "schooner",
				     "skiff",  "sloop",  "tender",  "trawler", "tug",    "yawl" };

bool container_name_is_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool alnum =
		    (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!alnum && (i == 0 || !strchr("_.-", c)))
			return false;
	}
	return name.n > 0 && name.n <= CONTAINER_NAME_MAX;
}

static const char *make_up_name(struct arena *a, unsigned tries)
{
	uint16_t r[2];

	random_bytes(r, sizeof(r));
	return tries == 0 ? arena_printf(a, "%s_%s", moods[r[0] % ARRAY_LEN(moods)],
					 ships[r[1] % ARRAY_LEN(ships)])
			  : arena_printf(a, "%s_%s%u", moods[r[0] % ARRAY_LEN(moods)],
					 ships[r[1] % ARRAY_LEN(ships)], (unsigned)(r[0] / 7));
}

/* Links of names whose containers are gone are replaced: removal was cut off after the directory. */
static bool is_dangling(const struct containers *cs, const char *name)
{
	char id[CONTAINER_ID_LEN + 1];
	struct stat s;
	ssize_t n = readlinkat(cs->names, name, id, sizeof(id) - 1);

	if (n <= 0)
		return false;
	id[n] = '\0';
	return fstatat(cs->dir, id, &s, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static enum err_kind take_name(const struct containers *cs, const char *name, const char *id,
			       struct err *e)
{
	if (sys_symlinkat(id, cs->names, name) == 0)
		return ERR_OK;
	if (errno != EEXIST)
		return err_sys(e, __func__, "name a container %s", name);
	if (is_dangling(cs, name) && sys_unlinkat(cs->names, name, 0) == 0 &&
	    sys_symlinkat(id, cs->names, name) == 0)
		return ERR_OK;
	return err_set(e, ERR_EXISTS, __func__,
		       "the name %s is taken: berth rm %s, or choose another", name, name);
}

static enum err_kind name_it(const struct containers *cs, const char *name, struct record *r,
			     struct err *e)
{
	enum err_kind k = ERR_EXISTS;

	if (name) {
		r->name = arena_text(&r->arena, str_of(name));
		return take_name(cs, name, r->id, e);
	}
	for (unsigned i = 0; k == ERR_EXISTS && i < NAME_TRIES; i++) {
		r->name = make_up_name(&r->arena, i);
		if (!r->name)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a name");
		k = take_name(cs, r->name, r->id, e);
	}
	return k;
}

enum err_kind container_make(const struct containers *cs, const char *name, struct container *ret,
			     struct err *e)
{
	AUTO_CONTAINER c = CONTAINER_INIT;
	uint8_t random[CONTAINER_ID_LEN / 2];
	char id[CONTAINER_ID_LEN + 1] = "";
	enum err_kind k;

	if (name && !container_name_is_valid(str_of(name)))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.60s\" is no name: letters, digits, _ . -", name);
	random_bytes(random, sizeof(random));
	hex_lower(random, sizeof(random), id);
	arena_init(&c.record.arena, 16u * 1024 * 1024);
	c.record.id = arena_text(&c.record.arena, str_of(id));
	if (!c.record.id)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a container");
	if (sys_mkdirat(cs->dir, id, 0700) < 0)
		return err_sys(e, __func__, "make a container's directory");
	k = fd_open_at(cs->dir, id, O_RDONLY | O_DIRECTORY, 0, &c.dir, e);
	if (k == ERR_OK)
		k = container_lock(&c, e);
	if (k == ERR_OK)
		k = name_it(cs, name, &c.record, e);
	if (k != ERR_OK) {
		struct err ignored;

		(void)!tree_remove(cs->dir, id, &ignored);
		return k;
	}
	*ret = c;
	c = CONTAINER_INIT;
	return ERR_OK;
}

/* --- Finding --- */

static enum err_kind open_id(const struct containers *cs, const char *id, struct container *ret,
			     struct err *e)
{
	AUTO_CONTAINER c = CONTAINER_INIT;
	enum err_kind k = fd_open_at(cs->dir, id, O_RDONLY | O_DIRECTORY, 0, &c.dir, e);

	if (k == ERR_OK)
		k = record_read(c.dir, &c.record, e);
	if (k != ERR_OK)
		return k;
	*ret = c;
	c = CONTAINER_INIT;
	return ERR_OK;
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (hex_value(s.p[i]) < 0)
			return false;
	}
	return s.n > 0 && s.n <= CONTAINER_ID_LEN;
}

struct id_search {
	struct str prefix;
	char found[CONTAINER_ID_LEN + 1];
	unsigned n;
};

static enum err_kind match_id(void *arg, const char *name, struct err *e)
{
	struct id_search *s = arg;

	(void)e;
	if (strlen(name) == CONTAINER_ID_LEN && is_id(str_of(name)) &&
	    str_starts(str_of(name), s->prefix)) {
		(void)str_copy(str_of(name), s->found, sizeof(s->found));
		s->n++;
	}
	return ERR_OK;
}

enum err_kind container_find(const struct containers *cs, const char *name, struct container *ret,
			     struct err *e)
{
	struct id_search s = { .prefix = str_of(name) };
	enum err_kind k = ERR_OK;
	ssize_t n = -1;

	if (container_name_is_valid(str_of(name)))
		n = readlinkat(cs->names, name, s.found, sizeof(s.found) - 1);
	if (n == CONTAINER_ID_LEN) {
		s.found[n] = '\0';
		s.n = 1;
	} else if (is_id(s.prefix)) {
		k = fd_list_dir(cs->dir, ".", match_id, &s, e);
	}
	if (k == ERR_OK && s.n > 1)
		return err_set(e, ERR_INVALID, __func__,
			       "more than one container has an id that begins with %.64s", name);
	if (k == ERR_OK && s.n == 1)
		k = open_id(cs, s.found, ret, e);
	if (k == ERR_NOT_FOUND || (k == ERR_OK && s.n == 0))
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "no container %.100s: berth ps -a lists them", name);
	return k;
}

struct each {
	const struct containers *cs;
	container_each_fn *fn;
	void *arg;
};

static enum err_kind each_name(void *arg, const char *name, struct err *e)
{
	struct each *each = arg;
	AUTO_CONTAINER c = CONTAINER_INIT;
	struct err why;
	enum err_kind k;

	if (strlen(name) != CONTAINER_ID_LEN || !is_id(str_of(name)))
		return ERR_OK;
	k = open_id(each->cs, name, &c, &why);
	if (k == ERR_NOT_FOUND) /* is being made or removed */
		return ERR_OK;
	if (k != ERR_OK) {
		*e = why;
		return err_wrap(e, "container %s", name);
	}
	return each->fn(each->arg, &c, e);
}

enum err_kind containers_each(const struct containers *cs, container_each_fn *fn, void *arg,
			      struct err *e)
{
	struct each each = { .cs = cs, .fn = fn, .arg = arg };

	return fd_list_dir(cs->dir, ".", each_name, &each, e);
}

/* --- Removal --- */

/* The record goes first, so that what is left after a crash is seen to be no container (N2). */
enum err_kind container_remove(const struct containers *cs, struct container *c, struct err *e)
{
	const char *id = c->record.id;
	enum err_kind k;

	if (sys_unlinkat(c->dir, RECORD_FILE, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove container %s", c->record.name);
	k = tree_remove(cs->state_dir, id, e);
	if (k == ERR_OK)
		k = tree_remove(cs->dir, id, e);
	if (k == ERR_OK && sys_unlinkat(cs->names, c->record.name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove the name %s", c->record.name);
	return k;
}

/* --- Leftovers --- */

struct sweep {
	const struct containers *cs;
	uint64_t n;
};

/* True if it has no record, and nobody is at work on it. */
static bool is_left_over(int dir)
{
	AUTO_CLOSE lock = -1;
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct err ignored;
	struct stat s;

	return fd_open_at(dir, "lock", O_RDWR | O_CREAT, 0600, &lock, &ignored) == ERR_OK &&
	       fcntl(lock, F_OFD_SETLK, &whole) == 0 &&
	       fstatat(dir, RECORD_FILE, &s, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static enum err_kind sweep_dir(void *arg, const char *name, struct err *e)
{
	struct sweep *s = arg;
	AUTO_CLOSE dir = -1;
	struct err ignored;
	enum err_kind k;

	if (strlen(name) != CONTAINER_ID_LEN || !is_id(str_of(name)) ||
	    fd_open_at(s->cs->dir, name, O_RDONLY | O_DIRECTORY, 0, &dir, &ignored) != ERR_OK ||
	    !is_left_over(dir))
		return ERR_OK;
	k = tree_remove(s->cs->state_dir, name, e);
	if (k == ERR_OK)
		k = tree_remove(s->cs->dir, name, e);
	s->n += k == ERR_OK;
	return k;
}

static enum err_kind sweep_name(void *arg, const char *name, struct err *e)
{
	const struct sweep *s = arg;

	if (is_dangling(s->cs, name) && sys_unlinkat(s->cs->names, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, __func__, "remove the name %s", name);
	return ERR_OK;
}

enum err_kind containers_sweep(const struct containers *cs, uint64_t *ret, struct err *e)
{
	struct sweep s = { .cs = cs };
	enum err_kind k = fd_list_dir(cs->dir, ".", sweep_dir, &s, e);

	*ret = s.n;
	return k == ERR_OK ? fd_list_dir(cs->names, ".", sweep_name, &s, e) : k;
}

bool container_exists(const struct containers *cs, const char *id)
{
	struct stat s;

	return fstatat(cs->dir, id, &s, AT_SYMLINK_NOFOLLOW) == 0;
}
