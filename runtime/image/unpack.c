#include "runtime/image/unpack.h"

#include <errno.h>
#include <pthread.h>

#include "base/fd.h"
#include "base/hash.h"
#include "runtime/image/pipe.h"
#include "runtime/image/tar.h"

#define BLOCKS 6
#define BLOCK_BYTES (256u * 1024)

/* The first stage's, until it is joined. */
struct stage {
	const struct unpack_source *from;
	uint64_t limit_bytes;
	enum digest_alg alg;
	struct pipe *pipe;
	struct digest diff_id;
	uint64_t bytes;
};

static enum err_kind decode_all(struct stage *s, struct err *e)
{
	AUTO_DECODER *d = NULL;
	AUTO_HASH *hash = NULL;
	uint8_t *block;
	size_t n = 0;
	enum err_kind k = decoder_open(s->from->read, s->from->arg, s->limit_bytes, &d, e);

	if (k == ERR_OK)
		k = hash_new(s->alg, &hash, e);
	while (k == ERR_OK && (block = pipe_space(s->pipe))) {
		size_t filled = 0;

		do { /* full blocks, so that the other side wakes up less often */
			k = decoder_read(d, block + filled, BLOCK_BYTES - filled, &n, e);
			filled += n;
		} while (k == ERR_OK && n > 0 && filled < BLOCK_BYTES);
		if (k == ERR_OK && filled > 0)
			k = hash_update(hash, block, filled, e);
		if (k != ERR_OK || filled == 0)
			break;
		s->bytes += filled;
		pipe_push(s->pipe, filled);
	}
	return k == ERR_OK ? hash_final(hash, &s->diff_id, e) : k;
}

static void *decode_thread(void *arg)
{
	struct stage *s = arg;
	struct err e;
	enum err_kind k = decode_all(s, &e);

	pipe_end(s->pipe, k == ERR_OK ? NULL : &e);
	return NULL;
}

static enum err_kind next_block(void *arg, const void **ret, size_t *ret_n, struct err *e)
{
	return pipe_next(arg, ret, ret_n, e);
}

static enum err_kind write_data(struct tar_reader *r, const struct member *m, int fd, struct err *e)
{
	const void *p;
	size_t n;
	uint64_t at, end = 0;
	enum err_kind k;

	for (;;) {
		k = tar_reader_data(r, &p, &n, &at, e);
		if (k != ERR_OK || n == 0)
			return k;
		if (at > m->size_bytes || n > m->size_bytes - at)
			return err_set(e, ERR_INVALID, __func__, "more data than its size");
		if (at < end)
			return err_set(e, ERR_INVALID, __func__, "pieces of data that overlap");
		k = fd_pwrite_all(fd, p, n, at, "file", e);
		if (k != ERR_OK)
			return k;
		end = at + n;
	}
}

static enum err_kind put_member(struct tar_reader *r, struct tree *t, const char *below,
				struct member *m, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k = ERR_OK;

	if (below && m->path_n == 0)
		return ERR_OK; /* the directory is somebody else's */
	if (below && !member_move(m, below))
		k = err_set(e, ERR_TOO_LARGE, __func__, "a path longer than 4,095 bytes");
	if (k == ERR_OK && m->size_bytes > UNPACK_FILE_MAX)
		k = err_set(e, ERR_TOO_LARGE, __func__, "\"%.100s\": a file of %llu bytes", m->path,
			    (unsigned long long)m->size_bytes);
	if (k == ERR_OK)
		k = tree_put(t, m, &fd, e);
	if (k != ERR_OK || fd < 0)
		return k;
	k = write_data(r, m, fd, e);
	return k == ERR_OK ? tree_file_end(t, m, &fd, e) : err_wrap(e, "\"%.100s\"", m->path);
}

static enum err_kind put_members(struct tar_reader *r, struct tree *t, const char *below,
				 struct err *e)
{
	AUTO_FREE struct member *m = calloc(1, sizeof(*m));
	enum err_kind k;

	if (!m)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a member");
	for (uint64_t n = 0;; n++) {
		k = tar_reader_next(r, m, e);
		if (k == ERR_OK && n == UNPACK_MEMBERS_MAX)
			k = err_set(e, ERR_TOO_LARGE, __func__, "more than %d members in a layer",
				    UNPACK_MEMBERS_MAX);
		if (k == ERR_OK)
			k = put_member(r, t, below, m, e);
		if (k != ERR_OK)
			return k == ERR_NOT_FOUND ? ERR_OK : k;
	}
}

/* What follows the end of the archive belongs to the layer's bytes, and so to its diff ID. */
static enum err_kind drain(struct pipe *p, struct err *e)
{
	const void *block;
	size_t n;
	enum err_kind k;

	do
		k = pipe_next(p, &block, &n, e);
	while (k == ERR_OK && n > 0);
	return k;
}

static enum err_kind write_tree(int root_fd, struct pipe *p, const struct unpack_options *o,
				struct tree_stats *ret, struct err *e)
{
	AUTO_TAR_READER *r = NULL;
	AUTO_TREE *t = NULL;
	enum err_kind k = tree_open(root_fd, &o->tree, &t, e);

	if (k == ERR_OK)
		k = tar_reader_open(next_block, p, &r, e);
	if (k == ERR_OK)
		k = put_members(r, t, o->below, e);
	if (k == ERR_OK)
		k = drain(p, e);
	return k == ERR_OK ? tree_finish(t, ret, e) : k;
}

static enum err_kind check_diff_id(const struct stage *s, const struct digest *want, struct err *e)
{
	char got[DIGEST_TEXT_MAX], text[DIGEST_TEXT_MAX];

	if (!want || digest_eq(&s->diff_id, want))
		return ERR_OK;
	return err_set(e, ERR_DIGEST, __func__,
		       "the unpacked layer hashes to %.80s, not to the image's diff ID %.80s",
		       digest_text(&s->diff_id, got), digest_text(want, text));
}

static enum err_kind run_stages(int root_fd, struct stage *s, const struct unpack_options *o,
				struct unpack_result *ret, struct err *e)
{
	pthread_t thread;
	enum err_kind k;
	int failed = pthread_create(&thread, NULL, decode_thread, s);

	if (failed) {
		errno = failed;
		return err_sys(e, __func__, "start a thread");
	}
	k = write_tree(root_fd, s->pipe, o, &ret->stats, e);
	pipe_stop(s->pipe);
	if (k != ERR_OK && s->from->cancel)
		s->from->cancel(s->from->arg);
	(void)pthread_join(thread, NULL);
	return k == ERR_OK ? check_diff_id(s, o->diff_id, e) : k;
}

enum err_kind unpack_layer(int root_fd, const struct unpack_source *from,
			   const struct unpack_options *o, struct unpack_result *ret, struct err *e)
{
	struct stage s = { .from = from,
			   .limit_bytes = o->limit_bytes,
			   .alg = o->diff_id ? (enum digest_alg)o->diff_id->alg : DIGEST_SHA256 };
	enum err_kind k = pipe_new(BLOCKS, BLOCK_BYTES, &s.pipe, e);

	if (k == ERR_OK)
		k = run_stages(root_fd, &s, o, ret, e);
	pipe_free(&s.pipe);
	ret->diff_id = s.diff_id;
	ret->bytes = s.bytes;
	return k;
}

enum err_kind unpack_read_fd(void *arg, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	ssize_t n;

	do
		n = read(*(const int *)arg, buf, cap);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, __func__, "read the layer");
	*ret_n = (size_t)n;
	return ERR_OK;
}
