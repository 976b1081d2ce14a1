#include "runtime/image/pipe.h"

#include "base/lock.h"

struct block {
	size_t n;
	uint8_t *bytes;
};

struct pipe {
	struct lock mu;
	pthread_cond_t changed;
	size_t blocks, block_bytes;
	size_t written, taken; /* under mu: blocks so far */
	bool holds;            /* the reader's: block taken - 1 is in use */
	bool ended, stopped;   /* under mu */
	struct err failure;    /* under mu; kind ERR_OK: none */
	struct block block[];
};

enum err_kind pipe_new(size_t blocks, size_t block_bytes, struct pipe **ret, struct err *e)
{
	struct pipe *p = calloc(1, sizeof(*p) + blocks * sizeof(p->block[0]));

	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a pipe");
	lock_init(&p->mu, LOCK_PIPE);
	cond_init(&p->changed);
	p->blocks = blocks;
	p->block_bytes = block_bytes;
	for (size_t i = 0; i < blocks; i++) {
		p->block[i].bytes = malloc(block_bytes);
		if (!p->block[i].bytes) {
			pipe_free(&p);
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a pipe");
		}
	}
	*ret = p;
	return ERR_OK;
}

void pipe_free(struct pipe **take)
{
	struct pipe *p = TAKE(*take);

	if (!p)
		return;
	for (size_t i = 0; i < p->blocks; i++)
		free(p->block[i].bytes);
	(void)pthread_cond_destroy(&p->changed);
	lock_clear(&p->mu);
	free(p);
}

void *pipe_space(struct pipe *p)
{
	void *bytes = NULL;

	lock_get(&p->mu);
	while (!p->stopped && p->written - p->taken + p->holds >= p->blocks)
		(void)lock_wait(&p->mu, &p->changed, 0);
	if (!p->stopped)
		bytes = p->block[p->written % p->blocks].bytes;
	lock_put(&p->mu);
	return bytes;
}

void pipe_push(struct pipe *p, size_t n)
{
	lock_get(&p->mu);
	p->block[p->written % p->blocks].n = n;
	p->written++;
	(void)pthread_cond_broadcast(&p->changed);
	lock_put(&p->mu);
}

void pipe_end(struct pipe *p, const struct err *failure)
{
	lock_get(&p->mu);
	p->ended = true;
	if (failure)
		p->failure = *failure;
	(void)pthread_cond_broadcast(&p->changed);
	lock_put(&p->mu);
}

enum err_kind pipe_next(struct pipe *p, const void **ret, size_t *ret_n, struct err *e)
{
	enum err_kind k = ERR_OK;

	lock_get(&p->mu);
	if (p->holds) {
		p->holds = false;
		(void)pthread_cond_broadcast(&p->changed);
	}
	while (p->written == p->taken && !p->ended)
		(void)lock_wait(&p->mu, &p->changed, 0);
	*ret_n = 0;
	if (p->written > p->taken) {
		const struct block *b = &p->block[p->taken % p->blocks];

		*ret = b->bytes;
		*ret_n = b->n;
		p->taken++;
		p->holds = true;
	} else if (p->failure.kind != ERR_OK) {
		*e = p->failure;
		k = e->kind;
	}
	lock_put(&p->mu);
	return k;
}

void pipe_stop(struct pipe *p)
{
	lock_get(&p->mu);
	p->stopped = true;
	(void)pthread_cond_broadcast(&p->changed);
	lock_put(&p->mu);
}
