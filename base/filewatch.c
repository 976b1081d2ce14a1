#include "base/filewatch.h"

static void look(const char *path, struct stat *ret)
{
	if (stat(path, ret) < 0)
		memset(ret, 0, sizeof(*ret));
}

static bool same_time(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       same_time(a->st_mtim, b->st_mtim) && same_time(a->st_ctim, b->st_ctim);
}

void filewatch_init(struct filewatch *w, const char *path)
{
	*w = (struct filewatch){ .path = path };
}

void filewatch_mark(struct filewatch *w)
{
	look(w->path, &w->read);
	w->seen = w->read;
}

bool filewatch_changed(struct filewatch *w)
{
	struct stat now;
	bool rests;

	look(w->path, &now);
	rests = same(&now, &w->seen);
	w->seen = now;
	return rests && !same(&now, &w->read);
}
