#include "runtime/image/stack.h"

#include <errno.h>

#include "base/lock.h"

#define THREADS_MAX 4 /* each has another one that decompresses */

struct stack_layer {
	struct stack *stack;
	size_t i;
	const struct digest *chain, *diff_id;
	struct unpack_source from;
	bool lacking;
	bool done; /* under the stack's mu */
};

struct stack {
	const struct images *im;
	struct layer_form form;
	mode_t mask;
	size_t n;
	struct stack_layer *layers; /* bottom first */
	int *dirs; /* topmost first: a layer's lower ones are the end of the list */
	pthread_t threads[THREADS_MAX];
	size_t n_threads;

	struct lock mu;
	pthread_cond_t changed;
	size_t next;             /* under mu: layers before it are begun */
	struct err failure;      /* under mu; kind ERR_OK: none */
	struct tree_stats stats; /* under mu */
};

static int *dir_of(struct stack *s, size_t i)
{
	return &s->dirs[s->n - 1 - i];
}

static enum err_kind look(struct stack *s, struct stack_layer *l, struct err *e)
{
	enum err_kind k = layer_open(s->im, l->chain, s->form, dir_of(s, l->i), e);

	l->lacking = k == ERR_NOT_FOUND;
	l->done = k == ERR_OK;
	return l->lacking ? ERR_OK : k;
}

enum err_kind stack_new(const struct images *im, struct layer_form form, mode_t mask,
			const struct image_config *config, const struct digest *chain_ids,
			struct stack **ret, struct err *e)
{
	AUTO_STACK *s = calloc(1, sizeof(*s));
	size_t n = config->n_diff_ids;
	enum err_kind k = ERR_OK;

	if (!s)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	lock_init(&s->mu, LOCK_LAYERS);
	cond_init(&s->changed);
	s->im = im;
	s->form = form;
	s->mask = mask;
	s->layers = calloc(n + 1, sizeof(*s->layers));
	s->dirs = calloc(n + 1, sizeof(*s->dirs));
	if (!s->layers || !s->dirs)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for layers");
	s->n = n;
	for (size_t i = 0; i < n; i++)
		s->dirs[i] = -1;
	for (size_t i = 0; k == ERR_OK && i < n; i++) {
		s->layers[i] = (struct stack_layer){
			.stack = s, .i = i, .chain = &chain_ids[i], .diff_id = &config->diff_ids[i]
		};
		k = look(s, &s->layers[i], e);
	}
	if (k == ERR_OK)
		*ret = TAKE(s);
	return k;
}

bool stack_lacks(const struct stack *s, size_t i)
{
	return s->layers[i].lacking;
}

void stack_source(struct stack *s, size_t i, const struct unpack_source *from)
{
	s->layers[i].from = *from;
}

/* --- Threads --- */

static void fail(struct stack *s, const struct err *why)
{
	lock_get(&s->mu);
	if (s->failure.kind == ERR_OK)
		s->failure = *why;
	(void)pthread_cond_broadcast(&s->changed);
	lock_put(&s->mu);
}

static void cancel_sources(struct stack *s)
{
	for (size_t i = 0; i < s->n; i++) {
		if (s->layers[i].from.cancel)
			s->layers[i].from.cancel(s->layers[i].from.arg);
	}
}

static bool is_done_below(const struct stack *s, size_t i)
{
	for (size_t j = 0; j < i; j++) {
		if (!s->layers[j].done)
			return false;
	}
	return true;
}

static enum err_kind lowers(void *arg, const int **ret, size_t *ret_n, struct err *e)
{
	struct stack_layer *l = arg;
	struct stack *s = l->stack;
	enum err_kind k;

	lock_get(&s->mu);
	while (s->failure.kind == ERR_OK && !is_done_below(s, l->i))
		(void)lock_wait(&s->mu, &s->changed, 0);
	k = s->failure.kind;
	if (k != ERR_OK)
		*e = s->failure;
	lock_put(&s->mu);
	*ret = &s->dirs[s->n - l->i];
	*ret_n = l->i;
	return k;
}

static enum err_kind unpack_into(struct stack_layer *l, struct layer_staging *staging,
				 struct tree_stats *ret, struct err *e)
{
	struct stack *s = l->stack;
	struct unpack_options o = {
		.tree = { .form = TREE_OVERLAY,
			  .in_userns = s->form.in_userns,
			  .umask = s->mask,
			  .lowers = l->i ? lowers : NULL,
			  .arg = l },
		.limit_bytes = DECODE_LIMIT_BYTES,
		.diff_id = l->diff_id,
	};
	struct unpack_result r;
	enum err_kind k = unpack_layer(staging->root_fd, &l->from, &o, &r, e);

	if (k != ERR_OK)
		return k;
	*ret = r.stats;
	*dir_of(s, l->i) = fcntl(staging->root_fd, F_DUPFD_CLOEXEC, 3);
	if (*dir_of(s, l->i) < 0)
		return err_sys(e, __func__, "keep a layer open");
	return layer_commit(staging, e);
}

static enum err_kind unpack_one(struct stack_layer *l, struct tree_stats *ret, struct err *e)
{
	struct stack *s = l->stack;
	AUTO_LAYER_STAGING staging = LAYER_STAGING_INIT;
	enum err_kind k = layer_begin(s->im, l->chain, s->form, &staging, e);

	if (k == ERR_EXISTS) {
		if (l->from.cancel)
			l->from.cancel(l->from.arg);
		k = layer_open(s->im, l->chain, s->form, dir_of(s, l->i), e);
		return k == ERR_NOT_FOUND
			   ? err_set(e, k, __func__, "a layer was removed while it was pulled")
			   : k;
	}
	return k == ERR_OK ? unpack_into(l, &staging, ret, e) : k;
}

static struct stack_layer *take_next(struct stack *s)
{
	struct stack_layer *l = NULL;

	lock_get(&s->mu);
	while (!l && s->next < s->n && s->failure.kind == ERR_OK) {
		if (s->layers[s->next].lacking)
			l = &s->layers[s->next];
		s->next++;
	}
	lock_put(&s->mu);
	return l;
}

static void note_done(struct stack_layer *l, const struct tree_stats *stats)
{
	struct stack *s = l->stack;

	lock_get(&s->mu);
	l->done = true;
	s->stats.members += stats->members;
	s->stats.devices_left_out += stats->devices_left_out;
	s->stats.xattrs_left_out += stats->xattrs_left_out;
	(void)pthread_cond_broadcast(&s->changed);
	lock_put(&s->mu);
}

static void *work(void *arg)
{
	struct stack *s = arg;
	struct stack_layer *l;

	while ((l = take_next(s))) {
		struct tree_stats stats = { 0 };
		struct err e;

		if (unpack_one(l, &stats, &e) == ERR_OK) {
			note_done(l, &stats);
			continue;
		}
		(void)!err_wrap(&e, "layer %zu of %zu", l->i + 1, s->n);
		fail(s, &e);
		cancel_sources(s);
	}
	return NULL;
}

static size_t count_lacking(const struct stack *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += s->layers[i].lacking;
	return n;
}

enum err_kind stack_start(struct stack *s, struct err *e)
{
	size_t n = MIN(count_lacking(s), (size_t)THREADS_MAX);

	for (; s->n_threads < n; s->n_threads++) {
		int failed = pthread_create(&s->threads[s->n_threads], NULL, work, s);

		if (failed) {
			errno = failed;
			return err_sys(e, __func__, "start a thread");
		}
	}
	return ERR_OK;
}

enum err_kind stack_check(struct stack *s, struct err *e)
{
	enum err_kind k;

	lock_get(&s->mu);
	k = s->failure.kind;
	if (k != ERR_OK)
		*e = s->failure;
	lock_put(&s->mu);
	return k;
}

static void join(struct stack *s)
{
	for (; s->n_threads > 0; s->n_threads--)
		(void)pthread_join(s->threads[s->n_threads - 1], NULL);
}

enum err_kind stack_finish(struct stack *s, struct tree_stats *ret, struct err *e)
{
	join(s);
	*ret = s->stats;
	return stack_check(s, e);
}

void stack_free(struct stack **take)
{
	struct stack *s = TAKE(*take);
	struct err given_up = { .kind = ERR_IO, .msg = "given up" };

	if (!s)
		return;
	if (s->n_threads > 0) {
		fail(s, &given_up);
		cancel_sources(s);
		join(s);
	}
	for (size_t i = 0; i < s->n; i++)
		fd_close(&s->dirs[i]);
	free(s->dirs);
	free(s->layers);
	(void)pthread_cond_destroy(&s->changed);
	lock_clear(&s->mu);
	free(s);
}
