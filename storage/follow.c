#include "storage/follow.h"

#include "base/fd.h"
#include "storage/reflog.h"
#include "storage/store_impl.h"

#define HEAD "berth position 1\n"
#define POSITION_MAX 128

struct follower {
	struct store *st;
	int dir_fd;
	char name[FOLLOW_NAME_MAX + 1];
	struct reflog_mark at; /* where reading goes on; may be behind taken after a failure */
	uint64_t taken, kept;  /* records */
};

bool follow_name_is_valid(struct str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool inner = i > 0 && i + 1 < name.n;

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && !(c == '-' && inner))
			return false;
	}
	return name.n > 0 && name.n <= FOLLOW_NAME_MAX;
}

static enum err_kind parse_position(struct str in, const char *name, uint64_t *ret, struct err *e)
{
	struct str head = STR(HEAD);

	if (str_starts(in, head)) {
		in = (struct str){ in.p + head.n, in.n - head.n };
		if (scan_u64(&in, INT64_MAX, ret) && scan_char(&in, '\n') && scan_end(&in))
			return ERR_OK;
	}
	return err_set(
	    e, ERR_CORRUPT, __func__,
	    FOLLOW_DIR "/%s is no position: remove it, and it begins with what happens next", name);
}

static enum err_kind read_position(int dir, const char *name, uint64_t *ret, struct err *e)
{
	AUTO_SBUF text = { .max = POSITION_MAX };
	enum err_kind k = fd_read_file(dir, name, &text, e);

	return k == ERR_OK ? parse_position((struct str){ text.p, text.n }, name, ret, e) : k;
}

static enum err_kind write_position(int dir, const char *name, uint64_t seq, struct err *e)
{
	char text[POSITION_MAX];
	int n = snprintf(text, sizeof(text), HEAD "%llu\n", (unsigned long long)seq);

	return fd_replace_file(dir, name, (struct str){ text, (size_t)n }, 0640, e);
}

/* The position there is, or a new one at the end of what counts. */
static enum err_kind begin(struct follower *f, bool *ret_lost, struct err *e)
{
	struct reflog_mark mark;
	uint64_t seq = 0;
	enum err_kind k = index_mark_read(f->st->index, &mark, e);

	if (k != ERR_OK)
		return k;
	k = read_position(f->dir_fd, f->name, &seq, e);
	*ret_lost = k == ERR_OK && seq > mark.seq;
	if (k == ERR_NOT_FOUND || *ret_lost) {
		f->at = mark;
		k = write_position(f->dir_fd, f->name, mark.seq, e);
	} else {
		f->at = (struct reflog_mark){ .seq = seq };
	}
	f->taken = f->kept = f->at.seq;
	return k;
}

static enum err_kind open_dir(int root_fd, int *ret, struct err *e)
{
	enum err_kind k = fd_mkdir_at(root_fd, FOLLOW_DIR, 0750, e);

	if (k == ERR_OK)
		k = fd_sync_dir(root_fd, ".", e);
	return k == ERR_OK ? fd_open_at(root_fd, FOLLOW_DIR, O_RDONLY | O_DIRECTORY, 0, ret, e) : k;
}

enum err_kind follow_open(struct store *st, const char *name, struct follower **ret, bool *ret_lost,
			  struct err *e)
{
	struct follower *f = calloc(1, sizeof(*f));
	enum err_kind k;

	*ret_lost = false;
	if (!f)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to follow the reflog");
	f->st = st;
	f->dir_fd = -1;
	k = follow_name_is_valid(str_of(name)) && str_copy(str_of(name), f->name, sizeof(f->name))
		? open_dir(st->root_fd, &f->dir_fd, e)
		: err_set(e, ERR_INVALID, __func__, "\"%.60s\" is no name for a position", name);
	if (k == ERR_OK)
		k = begin(f, ret_lost, e);
	if (k == ERR_OK)
		*ret = TAKE(f);
	follow_close(&f);
	return k;
}

void follow_close(struct follower **take)
{
	struct follower *f = TAKE(*take);

	if (!f)
		return;
	fd_close(&f->dir_fd);
	free(f);
}

struct reading {
	struct follower *f;
	follow_fn *fn;
	void *arg;
};

static enum err_kind take(void *arg, const struct reflog_record *r, struct err *e)
{
	struct reading *reading = arg;
	enum err_kind k;

	if (r->seq <= reading->f->taken)
		return ERR_OK;
	k = reading->fn(reading->arg, r, e);
	if (k == ERR_OK)
		reading->f->taken = r->seq;
	return k;
}

enum err_kind follow_read(struct follower *f, follow_fn *fn, void *arg, struct err *e)
{
	struct reading r = { .f = f, .fn = fn, .arg = arg };
	enum err_kind k = follow_after(f->st, &f->at, take, &r, e);

	if (k == ERR_OK && f->at.seq > f->taken)
		f->taken = f->at.seq;
	return k;
}

enum err_kind follow_keep(struct follower *f, struct err *e)
{
	enum err_kind k;

	if (f->kept == f->taken)
		return ERR_OK;
	k = write_position(f->dir_fd, f->name, f->taken, e);
	if (k == ERR_OK)
		f->kept = f->taken;
	return k;
}

uint64_t follow_seq(const struct follower *f)
{
	return f->taken;
}

enum err_kind follow_after(struct store *st, struct reflog_mark *at, follow_fn *fn, void *arg,
			   struct err *e)
{
	struct reflog_mark mark;
	enum err_kind k = index_mark_read(st->index, &mark, e);

	return k == ERR_OK ? reflog_read_on(st->reflog_fd, at, mark.seq, fn, arg, e) : k;
}

/* --- copies --- */

struct copying {
	int from, to;
};

static enum err_kind copy_position(void *arg, const char *name, struct err *e)
{
	const struct copying *c = arg;
	uint64_t seq;
	enum err_kind k;

	if (!follow_name_is_valid(str_of(name)))
		return ERR_OK;
	k = read_position(c->from, name, &seq, e);
	return k == ERR_OK ? write_position(c->to, name, seq, e) : k;
}

enum err_kind follow_copy(int from_root, int to_root, struct err *e)
{
	AUTO_CLOSE from = -1;
	AUTO_CLOSE to = -1;
	struct copying c;
	enum err_kind k = fd_open_at(from_root, FOLLOW_DIR, O_RDONLY | O_DIRECTORY, 0, &from, e);

	if (k == ERR_NOT_FOUND)
		return ERR_OK;
	if (k == ERR_OK)
		k = open_dir(to_root, &to, e);
	c = (struct copying){ from, to };
	return k == ERR_OK ? fd_list_dir(from, ".", copy_position, &c, e) : k;
}
