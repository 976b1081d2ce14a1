#include "storage/pulls.h"

#include "base/clock.h"
#include "base/lock.h"
#include "storage/store_impl.h"

#define SLOTS 16384u     /* a power of two */
#define NOTED_MAX 12288u /* three quarters, so that probing stays short */
#define FLUSH_MAX 256u   /* rows of one transaction */

struct pulls {
	struct lock mu;
	struct pull *slots; /* under mu; at_ms 0: free */
	size_t n;           /* under mu */
};

enum err_kind pulls_new(struct pulls **ret, struct err *e)
{
	struct pulls *p = calloc(1, sizeof(*p));

	if (!p)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for pull times");
	lock_init(&p->mu, LOCK_PULLS);
	*ret = p;
	return ERR_OK;
}

void pulls_free(struct pulls **take)
{
	struct pulls *p = TAKE(*take);

	if (!p)
		return;
	free(p->slots);
	lock_clear(&p->mu);
	free(p);
}

static size_t slot_of(uint64_t repo, const struct tag_name *tag)
{
	uint64_t h = repo * 0x9e3779b97f4a7c15u;

	for (size_t i = 0; i < tag->len; i++)
		h = (h ^ (uint8_t)tag->s[i]) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32) & (SLOTS - 1);
}

static struct pull *find(struct pulls *p, uint64_t repo, const struct tag_name *tag)
{
	size_t i = slot_of(repo, tag);

	for (;; i = (i + 1) & (SLOTS - 1)) {
		struct pull *at = &p->slots[i];

		if (at->at_ms == 0 ||
		    (at->repo == repo && str_eq(tag_name_str(&at->tag), tag_name_str(tag))))
			return at;
	}
}

void pulls_note(struct pulls *p, uint64_t repo, const struct tag_name *tag)
{
	struct pull *at;

	lock_get(&p->mu);
	if (!p->slots)
		p->slots = calloc(SLOTS, sizeof(*p->slots));
	at = p->slots ? find(p, repo, tag) : NULL;
	if (at && at->at_ms == 0 && p->n < NOTED_MAX) {
		at->repo = repo;
		at->tag = *tag;
		p->n++;
	} else if (at && at->at_ms == 0) {
		at = NULL;
	}
	if (at)
		at->at_ms = wall_ms();
	lock_put(&p->mu);
}

static enum err_kind write_some(struct store *st, const struct pull *pulls, size_t n, struct err *e)
{
	struct change c = store_change(st, CHANGE_PULLED, &(struct repo_name){ 0 });

	c.pulls = pulls;
	c.n_pulls = n;
	return commit_change(st->committer, &c, e);
}

enum err_kind pulls_flush(struct store *st, struct pulls *p, struct err *e)
{
	AUTO_FREE struct pull *slots = NULL;
	struct pull some[FLUSH_MAX];
	size_t n = 0;
	enum err_kind k = ERR_OK;

	lock_get(&p->mu);
	slots = TAKE(p->slots);
	p->n = 0;
	lock_put(&p->mu);
	for (size_t i = 0; slots && i < SLOTS && k == ERR_OK; i++) {
		if (slots[i].at_ms == 0)
			continue;
		some[n++] = slots[i];
		if (n == FLUSH_MAX) {
			k = write_some(st, some, n, e);
			n = 0;
		}
	}
	return k == ERR_OK && n ? write_some(st, some, n, e) : k;
}
