#include "server/watch.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define PHASE_MASK 3u
#define STATE_CLOSE_WAIT                                                                           \
	8 /* TCP_CLOSE_WAIT of <netinet/tcp.h>, which cannot stand beside <linux/tcp.h> */

void watch_init(struct watch *w, uint64_t head_timeout_ms, uint64_t grace_ms, uint64_t min_rate)
{
	w->first = NULL;
	watch_set(w, head_timeout_ms, grace_ms, min_rate);
	lock_init(&w->mu, LOCK_CONNECTIONS);
}

void watch_set(struct watch *w, uint64_t head_timeout_ms, uint64_t grace_ms, uint64_t min_rate)
{
	w->head_timeout_ms = head_timeout_ms;
	w->grace_ms = grace_ms;
	w->min_rate = min_rate;
}

void watch_clear(struct watch *w)
{
	lock_clear(&w->mu);
}

void watch_enter(struct watch *w, struct watched *c, int fd)
{
	*c = (struct watched){ .fd = fd, .seen_phase = PHASE_MASK };
	lock_get(&w->mu);
	c->next = w->first;
	if (c->next)
		c->next->prev = c;
	w->first = c;
	lock_put(&w->mu);
}

void watch_leave(struct watch *w, struct watched *c)
{
	lock_get(&w->mu);
	if (c->prev)
		c->prev->next = c->next;
	else
		w->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	lock_put(&w->mu);
}

void watch_phase(struct watched *c, enum watch_phase phase)
{
	if ((c->phase & PHASE_MASK) == (unsigned)phase)
		return; /* more of the same: the rate is measured over all of it */
	c->phase = ((c->phase & ~PHASE_MASK) + PHASE_MASK + 1) | (unsigned)phase;
}

static bool get_info(const struct watched *c, struct tcp_info *ret)
{
	socklen_t n = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, ret, &n) == 0;
}

bool watch_was_silent(const struct watched *c)
{
	struct tcp_info info;

	return get_info(c, &info) && info.tcpi_bytes_received && !info.tcpi_bytes_sent;
}

static void restart(struct watched *c, const struct tcp_info *info, uint64_t now)
{
	c->since_ms = now;
	c->received = info->tcpi_bytes_received;
	c->acked = info->tcpi_bytes_acked;
}

/* In the middle of a request, twice in a row: the rest of it will not come. */
static bool is_cut_off(struct watched *c, const struct tcp_info *info)
{
	int unread = 0;
	bool before = c->ended;

	c->ended = info->tcpi_state == STATE_CLOSE_WAIT &&
		   (c->seen_phase & PHASE_MASK) == WATCH_BODY &&
		   ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0;
	return c->ended && before;
}

static bool is_stuck(const struct watch *w, struct watched *c, const struct tcp_info *info,
		     uint64_t now)
{
	uint64_t waited = now - c->since_ms, moved;

	switch (c->seen_phase & PHASE_MASK) {
	case WATCH_HEAD:
		if (info->tcpi_bytes_received > c->received)
			return waited > w->head_timeout_ms;
		c->since_ms = now; /* nothing of the next request yet: an idle connection */
		return false;
	case WATCH_BODY:
		moved = info->tcpi_bytes_received - c->received;
		break;
	case WATCH_SEND:
		moved = info->tcpi_bytes_acked - c->acked;
		break;
	default:
		return false;
	}
	if (waited < w->grace_ms)
		return false;
	restart(c, info, now);
	return moved < w->min_rate * (w->grace_ms / 1000);
}

void watch_tick(struct watch *w, uint64_t now_mono_ms)
{
	lock_get(&w->mu);
	for (struct watched *c = w->first; c; c = c->next) {
		struct tcp_info info;
		unsigned phase = c->phase;
		bool first_head = c->seen_phase == PHASE_MASK && phase == WATCH_HEAD;

		if (!get_info(c, &info))
			continue;
		if (phase != c->seen_phase) {
			c->seen_phase = phase;
			c->ended = false;
			restart(c, &info, now_mono_ms);
			if (first_head)
				c->received = 0; /* it may be here in part */
		} else if (is_cut_off(c, &info) || is_stuck(w, c, &info, now_mono_ms)) {
			(void)shutdown(c->fd,
				       SHUT_RDWR); /* the poll thread sees it and cleans up */
		}
	}
	lock_put(&w->mu);
}

void watch_shutdown_all(struct watch *w)
{
	lock_get(&w->mu);
	for (struct watched *c = w->first; c; c = c->next)
		(void)shutdown(c->fd, SHUT_RDWR);
	lock_put(&w->mu);
}
