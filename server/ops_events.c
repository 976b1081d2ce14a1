#include <poll.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "server/event.h"
#include "server/ops.h"
#include "storage/follow.h"

#define LOOK_MS 200
#define FOLLOWERS_MAX 4 /* places are left for others at admin.sock */

struct listing {
	struct op_call *c;
	struct op_page page; /* its pattern */
	uint64_t since_seq, since_ms;
	uint64_t count;
};

/* A number of a record, a time, or an age. */
static enum err_kind parse_since(const struct op_call *c, struct listing *l, struct err *e)
{
	struct str text;
	uint64_t age, now = wall_ms();

	if (!op_text(c, "since", &text) || op_number(c, "since", &l->since_seq) ||
	    time_parse(text, &l->since_ms))
		return ERR_OK;
	if (!duration_parse(text, &age))
		return err_set(e, ERR_INVALID, __func__,
			       "since is the number of a record, a time (2026-01-31 or "
			       "2026-01-31T12:00:00Z, in UTC), or an age (1h)");
	l->since_ms = now > age ? now - age : 0;
	return ERR_OK;
}

static enum err_kind tell(void *arg, const struct reflog_record *r, struct err *e)
{
	struct listing *l = arg;
	struct event ev = { .record = r };

	if (r->at_ms < l->since_ms || !op_page_takes(&l->page, repo_name_str(&r->repo)))
		return ERR_OK;
	if (l->c->may_see && !l->c->may_see(l->c->see_arg, repo_name_str(&r->repo)))
		return ERR_OK;
	for (size_t n = event_count(r); ev.tag < n; ev.tag++, l->count++) {
		struct jv *item = event_item(&ev);

		if (!item)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an event");
		op_emit(l->c, item);
	}
	return op_goes_on(l->c) ? ERR_OK : err_set(e, ERR_IN_USE, __func__, "nobody listens");
}

/* Behind the records that are not wanted: to follow without more being said is to hear of what happens next. */
static enum err_kind find_start(struct listing *l, bool follow, struct reflog_mark *ret,
				struct err *e)
{
	struct str ignored;

	*ret = (struct reflog_mark){ .seq = l->since_seq ? l->since_seq - 1 : 0 };
	return follow && !op_text(l->c, "since", &ignored)
		   ? index_mark_read(store_index(l->c->ops->store), ret, e)
		   : ERR_OK;
}

/* As often as a person would notice; a look costs no more than that of the index at its mark. */
static bool wait_for_more(const struct op_call *c)
{
	(void)poll(NULL, 0, LOOK_MS);
	return op_goes_on(c) && (!c->is_heard || c->is_heard(c->emit_arg));
}

static enum err_kind list(struct listing *l, bool follow, struct err *e)
{
	struct op_call *c = l->c;
	struct reflog_mark at;
	enum err_kind k = find_start(l, follow, &at, e);

	if (k != ERR_OK)
		return k;
	do
		k = follow_after(c->ops->store, &at, tell, l, e);
	while (k == ERR_OK && follow && wait_for_more(c));
	if (k != ERR_OK && !op_goes_on(c))
		k = ERR_OK;
	if (k == ERR_OK && !follow)
		op_emit_end(c, l->count, NULL);
	return k;
}

enum err_kind op_events(struct op_call *c, struct err *e)
{
	struct listing l = { .c = c };
	bool follow = op_flag(c, "follow");
	enum err_kind k = op_page_parse(c, &l.page, e);

	if (k == ERR_OK)
		k = parse_since(c, &l, e);
	if (k != ERR_OK)
		return k;
	if (!follow)
		return list(&l, false, e);
	if (!c->ops->events)
		return err_set(e, ERR_NOT_FOUND, __func__,
			       "no daemon runs on this root: there is nothing to follow");
	if ((*c->ops->followers)++ < FOLLOWERS_MAX)
		k = list(&l, true, e);
	else
		k = err_set(e, ERR_TOO_MANY, __func__, "%d follow the events already",
			    FOLLOWERS_MAX);
	(*c->ops->followers)--;
	return k;
}
