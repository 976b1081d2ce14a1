#include "runtime/image/layers.h"

#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "runtime/image/tree.h"

#define NAME_MAX_BYTES (DIGEST_TEXT_MAX + 8)
#define STATE_MAX 128
#define BOOT_ID "/proc/sys/kernel/random/boot_id"
#define SETTLE_AFTER_S 30 /* by then the kernel has written most of it by itself */
#define LOCK_SUFFIX ".lock"
#define OLD_SUFFIX ".old"

static const char *layer_name(const struct digest *d, char buf[static NAME_MAX_BYTES])
{
	char hex[DIGEST_HEX_MAX + 1];

	(void)snprintf(buf, NAME_MAX_BYTES, "%s-%s", digest_alg_text(d->alg), digest_hex(d, hex));
	return buf;
}

static bool layer_name_parse(struct str name, struct digest *ret)
{
	struct str alg, hex;
	char text[DIGEST_TEXT_MAX];

	return str_cut(name, '-', &alg, &hex) &&
	       snprintf(text, sizeof(text), "%.*s:%.*s", STR_FMT(alg), STR_FMT(hex)) <
		   (int)sizeof(text) &&
	       digest_parse(ret, str_of(text));
}

/* --- State --- */

static const char *form_text(struct layer_form form)
{
	return form.in_userns ? "user" : "trusted";
}

/* "FORM boot ID", for as long as the machine is up, or "FORM settled". */
static enum err_kind boot_state(struct layer_form form, char ret[static STATE_MAX], struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF id;
	enum err_kind k = fd_open_at(AT_FDCWD, BOOT_ID, O_RDONLY, 0, &fd, e);

	sbuf_init(&id, 64);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &id, BOOT_ID, e);
	if (k == ERR_OK)
		(void)snprintf(ret, STATE_MAX, "%s boot %.*s\n", form_text(form),
			       (int)strcspn(id.p, "\n"), id.p);
	return k;
}

static void settled_state(struct layer_form form, char ret[static STATE_MAX])
{
	(void)snprintf(ret, STATE_MAX, "%s settled\n", form_text(form));
}

/* Only what says "settled" must be on disk as it is: anything else that a power cut leaves counts as nothing. */
static enum err_kind write_state(int dir, const char *name, const char *state, bool sync,
				 struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, e);

	if (k == ERR_OK)
		k = fd_write_all(fd, state, strlen(state), "layer state", e);
	if (k == ERR_OK && sync && sys_fsync(fd) < 0)
		return err_sys(e, __func__, "fsync layer state");
	return k;
}

/* One that cannot be read counts as none: the layer is unpacked again. */
static void read_state(int dir, char ret[static STATE_MAX])
{
	AUTO_SBUF b;
	struct err ignored;

	sbuf_init(&b, STATE_MAX - 1);
	ret[0] = '\0';
	if (fd_read_file(dir, "state", &b, &ignored) == ERR_OK)
		(void)str_copy((struct str){ b.p, b.n }, ret, STATE_MAX);
}

enum err_kind layer_open(const struct images *im, const struct digest *chain,
			 struct layer_form form, int *ret_fd, struct err *e)
{
	AUTO_CLOSE dir = -1;
	char name[NAME_MAX_BYTES], state[STATE_MAX], now[STATE_MAX], settled[STATE_MAX];
	struct err missing;
	enum err_kind k = fd_open_at(images_dir(im, IMAGES_LAYERS), layer_name(chain, name),
				     O_RDONLY | O_DIRECTORY, 0, &dir, &missing);

	if (k != ERR_OK) {
		if (k != ERR_NOT_FOUND)
			*e = missing;
		return k;
	}
	k = boot_state(form, now, e);
	if (k != ERR_OK)
		return k;
	settled_state(form, settled);
	read_state(dir, state);
	if (strcmp(state, now) != 0 && strcmp(state, settled) != 0)
		return ERR_NOT_FOUND;
	return fd_open_at(dir, "diff", O_RDONLY | O_DIRECTORY, 0, ret_fd, e);
}

enum err_kind layer_list_open(const struct images *im, const struct digest *chain_ids, size_t n,
			      struct layer_form form, struct layer_list *ret, struct err *e)
{
	AUTO_LAYER_LIST l = { .fds = calloc(n + 1, sizeof(*l.fds)) };

	if (!l.fds)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	while (l.n < n) {
		const struct digest *chain = &chain_ids[n - 1 - l.n];
		char name[NAME_MAX_BYTES];
		enum err_kind k;

		l.fds[l.n++] = -1;
		k = layer_open(im, chain, form, &l.fds[l.n - 1], e);
		if (k == ERR_NOT_FOUND)
			return err_set(e, k, __func__, "layer %s is not here any more",
				       layer_name(chain, name));
		if (k != ERR_OK)
			return k;
	}
	*ret = l;
	l = (struct layer_list){ 0 };
	return ERR_OK;
}

void layer_list_close(struct layer_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		fd_close(&l->fds[i]);
	free(TAKE(l->fds));
	l->n = 0;
}

/* --- Staging --- */

static enum err_kind lock_file(int fd, bool wait, bool *ret_locked, struct err *e)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int r;

	do
		r = fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
	while (r < 0 && errno == EINTR);
	*ret_locked = r == 0;
	if (r < 0 && (wait || (errno != EAGAIN && errno != EACCES)))
		return err_sys(e, __func__, "lock a layer");
	return ERR_OK;
}

/* Who held it removed the file when he was done: then the lock is on nothing. */
static bool is_there(int dir, const char *name, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dir, name, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static enum err_kind take_lock(const struct images *im, const char *layer, bool wait, int *ret,
			       bool *ret_locked, struct err *e)
{
	int staging = images_dir(im, IMAGES_STAGING);
	char name[NAME_MAX_BYTES + sizeof(LOCK_SUFFIX)];

	(void)snprintf(name, sizeof(name), "%s" LOCK_SUFFIX, layer);
	for (;;) {
		AUTO_CLOSE fd = -1;
		enum err_kind k = fd_open_at(staging, name, O_RDWR | O_CREAT, 0600, &fd, e);

		if (k == ERR_OK)
			k = lock_file(fd, wait, ret_locked, e);
		if (k != ERR_OK || !*ret_locked)
			return k;
		if (!is_there(staging, name, fd))
			continue;
		*ret = TAKE_FD(fd);
		return ERR_OK;
	}
}

static void drop_lock(const struct images *im, const char *layer, int *lock_fd)
{
	char name[NAME_MAX_BYTES + sizeof(LOCK_SUFFIX)];

	if (*lock_fd < 0)
		return;
	(void)snprintf(name, sizeof(name), "%s" LOCK_SUFFIX, layer);
	(void)sys_unlinkat(images_dir(im, IMAGES_STAGING), name, 0); /* or layers_sweep does */
	fd_close(lock_fd);
}

static enum err_kind make_staging(struct layer_staging *s, const char *name, struct err *e)
{
	AUTO_CLOSE dir = -1;
	int staging = images_dir(s->im, IMAGES_STAGING);
	char state[STATE_MAX];
	enum err_kind k = tree_remove(staging, name, e); /* of one who was killed */

	if (k == ERR_OK && sys_mkdirat(staging, name, 0700) < 0)
		return err_sys(e, __func__, "make a staging directory");
	if (k == ERR_OK)
		k = fd_open_at(staging, name, O_RDONLY | O_DIRECTORY, 0, &dir, e);
	if (k == ERR_OK)
		k = boot_state(s->form, state, e);
	if (k == ERR_OK)
		k = write_state(dir, "state", state, false, e);
	if (k == ERR_OK && sys_mkdirat(dir, "diff", 0755) < 0)
		return err_sys(e, __func__, "make a staging directory");
	return k == ERR_OK ? fd_open_at(dir, "diff", O_RDONLY | O_DIRECTORY, 0, &s->root_fd, e) : k;
}

enum err_kind layer_begin(const struct images *im, const struct digest *chain,
			  struct layer_form form, struct layer_staging *ret, struct err *e)
{
	AUTO_LAYER_STAGING s = {
		.im = im, .chain = *chain, .form = form, .root_fd = -1, .lock_fd = -1
	};
	AUTO_CLOSE there = -1;
	char name[NAME_MAX_BYTES];
	bool locked;
	enum err_kind k = take_lock(im, layer_name(chain, name), true, &s.lock_fd, &locked, e);

	if (k == ERR_OK) {
		k = layer_open(im, chain, form, &there, e);
		k = k == ERR_OK ? ERR_EXISTS : (k == ERR_NOT_FOUND ? ERR_OK : k);
	}
	if (k == ERR_OK)
		k = make_staging(&s, name, e);
	if (k != ERR_OK)
		return k;
	*ret = s;
	s = LAYER_STAGING_INIT;
	return ERR_OK;
}

void layer_abort(struct layer_staging *s)
{
	char name[NAME_MAX_BYTES];
	struct err ignored;

	if (s->lock_fd < 0)
		return;
	(void)layer_name(&s->chain, name);
	if (s->root_fd >= 0)
		(void)!tree_remove(images_dir(s->im, IMAGES_STAGING), name, &ignored);
	fd_close(&s->root_fd);
	drop_lock(s->im, name, &s->lock_fd);
}

/* A directory of that name is one that did not survive a power cut, or is of the other form. */
static enum err_kind move_away(const struct images *im, const char *name, struct err *e)
{
	char old[NAME_MAX_BYTES + sizeof(OLD_SUFFIX)];
	int staging = images_dir(im, IMAGES_STAGING);
	enum err_kind k;

	(void)snprintf(old, sizeof(old), "%s" OLD_SUFFIX, name);
	k = tree_remove(staging, old, e);
	if (k == ERR_OK && sys_renameat(images_dir(im, IMAGES_LAYERS), name, staging, old) < 0 &&
	    errno != ENOENT)
		return err_sys(e, __func__, "move a layer away");
	return k == ERR_OK ? tree_remove(staging, old, e) : k;
}

/* The state is as old as the layer, which layers_settle goes by. */
static enum err_kind touch_state(const struct layer_staging *s, struct err *e)
{
	if (sys_utimensat(s->root_fd, "../state", NULL, 0) < 0)
		return err_sys(e, __func__, "date a layer");
	return ERR_OK;
}

enum err_kind layer_commit(struct layer_staging *s, struct err *e)
{
	char name[NAME_MAX_BYTES];
	enum err_kind k = touch_state(s, e);

	(void)layer_name(&s->chain, name);
	if (k == ERR_OK &&
	    sys_renameat2(images_dir(s->im, IMAGES_STAGING), name, images_dir(s->im, IMAGES_LAYERS),
			  name, RENAME_NOREPLACE) < 0) {
		k = errno == EEXIST ? move_away(s->im, name, e)
				    : err_sys(e, __func__, "put a layer in place");
		if (k == ERR_OK && sys_renameat(images_dir(s->im, IMAGES_STAGING), name,
						images_dir(s->im, IMAGES_LAYERS), name) < 0)
			k = err_sys(e, __func__, "put a layer in place");
	}
	if (k != ERR_OK) {
		layer_abort(s);
		return k;
	}
	fd_close(&s->root_fd);
	drop_lock(s->im, name, &s->lock_fd);
	return ERR_OK;
}

/* --- All layers --- */

struct each {
	layers_each_fn *fn;
	void *arg;
};

static enum err_kind each_name(void *arg, const char *name, struct err *e)
{
	struct each *each = arg;
	struct digest d;

	return layer_name_parse(str_of(name), &d) ? each->fn(each->arg, &d, e) : ERR_OK;
}

enum err_kind layers_each(const struct images *im, layers_each_fn *fn, void *arg, struct err *e)
{
	struct each each = { .fn = fn, .arg = arg };

	return fd_list_dir(images_dir(im, IMAGES_LAYERS), ".", each_name, &each, e);
}

enum err_kind layer_remove(const struct images *im, const struct digest *chain, struct err *e)
{
	AUTO_CLOSE lock = -1;
	char name[NAME_MAX_BYTES];
	bool locked;
	enum err_kind k = take_lock(im, layer_name(chain, name), true, &lock, &locked, e);

	if (k == ERR_OK)
		k = move_away(im, name, e);
	drop_lock(im, name, &lock);
	return k;
}

struct settling {
	const struct images *im;
	time_t before; /* older layers are settled: what comes into place meanwhile is not */
	bool mark;     /* the second time: they are on disk */
	uint64_t n;
};

static enum err_kind settle_one(void *arg, const struct digest *chain, struct err *e)
{
	struct settling *s = arg;
	AUTO_CLOSE dir = -1;
	char name[NAME_MAX_BYTES], state[STATE_MAX], now[STATE_MAX], settled[STATE_MAX];
	struct layer_form form;
	struct stat st;
	enum err_kind k = fd_open_at(images_dir(s->im, IMAGES_LAYERS), layer_name(chain, name),
				     O_RDONLY | O_DIRECTORY, 0, &dir, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	read_state(dir, state);
	form.in_userns = str_starts(str_of(state), STR("user "));
	k = boot_state(form, now, e);
	if (k != ERR_OK || strcmp(state, now) != 0)
		return k;
	if (fstatat(dir, "state", &st, 0) < 0 || st.st_mtime > s->before)
		return ERR_OK;
	s->n++;
	if (!s->mark)
		return ERR_OK;
	settled_state(form, settled);
	k = write_state(dir, "state.new", settled, true, e);
	if (k == ERR_OK && sys_renameat(dir, "state.new", dir, "state") < 0)
		return err_sys(e, __func__, "settle a layer");
	return k;
}

enum err_kind layers_settle(const struct images *im, struct err *e)
{
	struct settling s = { .im = im, .before = time(NULL) - SETTLE_AFTER_S };
	enum err_kind k = layers_each(im, settle_one, &s, e);

	if (k != ERR_OK || s.n == 0)
		return k;
	if (sys_syncfs(images_dir(im, IMAGES_LAYERS)) < 0)
		return err_sys(e, __func__, "sync the layers");
	s.mark = true;
	return layers_each(im, settle_one, &s, e);
}

struct sweep {
	const struct images *im;
	uint64_t n;
};

/* Under its lock nobody works on it; a name that is not a layer's is left alone. */
static enum err_kind sweep_one(void *arg, const char *name, struct err *e)
{
	struct sweep *s = arg;
	AUTO_CLOSE lock = -1;
	struct digest d;
	struct str stem = str_of(name), rest;
	char layer[NAME_MAX_BYTES];
	bool locked = false;
	enum err_kind k;

	(void)str_cut(stem, '.', &stem, &rest);
	if (!layer_name_parse(stem, &d))
		return ERR_OK;
	k = take_lock(s->im, layer_name(&d, layer), false, &lock, &locked, e);
	if (k != ERR_OK || !locked)
		return k;
	if (!str_eq(rest, STR("lock"))) {
		k = tree_remove(images_dir(s->im, IMAGES_STAGING), name, e);
		s->n += k == ERR_OK;
	}
	drop_lock(s->im, layer, &lock);
	return k;
}

enum err_kind layers_sweep(const struct images *im, uint64_t *ret, struct err *e)
{
	struct sweep s = { .im = im };
	enum err_kind k = fd_list_dir(images_dir(im, IMAGES_STAGING), ".", sweep_one, &s, e);

	*ret = s.n;
	return k;
}
