#include "base/edit.h"

#include <errno.h>
#include <sys/file.h>

#include "base/secret.h"

/* "a/b" and "/a" and "a": the directory, opened, and the name in it. */
static enum err_kind locate(struct edit *ed, const char *path, struct err *e)
{
	AUTO_FREE char *real = realpath(path, NULL), *copy = strdup(real ? real : path);
	AUTO_FREE char *dir = NULL;
	char *slash;

	if (!copy)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a path");
	slash = strrchr(copy, '/');
	if (!str_copy(str_of(slash ? slash + 1 : copy), ed->name, sizeof(ed->name)) || !*ed->name)
		return err_set(e, ERR_INVALID, __func__, "%.150s cannot be a file", path);
	if (slash)
		slash[slash == copy ? 1 : 0] = '\0';
	dir = realpath(slash ? copy : ".", NULL);
	if (!dir)
		return err_sys(e, __func__, "find the directory of %.150s", path);
	return fd_open_at(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0, &ed->dir, e);
}

enum err_kind edit_open(struct edit *ed, const char *path, size_t bytes_max, mode_t mode,
			struct err *e)
{
	struct stat st;
	enum err_kind k;

	*ed = EDIT_INIT;
	ed->mode = mode;
	sbuf_init(&ed->old, bytes_max);
	sbuf_init(&ed->new, bytes_max);
	k = locate(ed, path, e);
	if (k != ERR_OK)
		return k;
	if (flock(ed->dir, LOCK_EX) < 0)
		return err_sys(e, __func__, "lock the directory of %.150s", path);
	ed->exists = fstatat(ed->dir, ed->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (ed->exists) {
		ed->mode = st.st_mode & 0777;
		k = fd_read_file(ed->dir, ed->name, &ed->old, e);
	}
	if (k == ERR_OK && !ed->old.p && !sbuf_reserve(&ed->old, 0))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for %.150s", path);
	if (k == ERR_OK)
		ed->old.p[ed->old.n] = '\0';
	return k;
}

enum err_kind edit_save(struct edit *ed, struct err *e)
{
	if (ed->new.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "%.150s would be longer than %zu bytes",
			       ed->name, ed->new.max);
	return fd_replace_file(ed->dir, ed->name,
			       (struct str){ ed->new.p ? ed->new.p : "", ed->new.n }, ed->mode, e);
}

/* What is edited here are passwords and keys. */
static void forget(struct sbuf *b)
{
	if (b->p)
		secret_wipe(b->p, b->cap);
	sbuf_clear(b);
}

void edit_close(struct edit *ed)
{
	fd_close(&ed->dir); /* the lock goes with it */
	forget(&ed->old);
	forget(&ed->new);
}
