#include "runtime/net/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"

#define ANSWER_MAX (64u * 1024)
#define WAIT_S 10
#define ATTR_HEAD sizeof(struct nlattr)
#define TYPE_MASK 0x3fffu /* without NLA_F_NESTED and NLA_F_NET_BYTEORDER */

enum err_kind nl_open(int protocol, struct nl *ret, struct err *e)
{
	const struct timeval limit = { .tv_sec = WAIT_S };
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	AUTO_CLOSE fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	*ret = (struct nl){ .fd = -1 };
	if (fd < 0)
		return err_sys(e, __func__, "open a netlink socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return err_sys(e, __func__, "connect a netlink socket");
	ret->fd = TAKE_FD(fd);
	return ERR_OK;
}

void nl_close(struct nl *s)
{
	fd_close(&s->fd);
}

static struct nlmsghdr *head_of(struct nl_request *rq)
{
	return (struct nlmsghdr *)rq->bytes;
}

void nl_put_raw(struct nl_request *rq, const void *p, size_t n)
{
	size_t room = sizeof(rq->bytes) - rq->n, padded = NLMSG_ALIGN(n);

	if (n > room || padded > room) {
		rq->overflow = true;
		return;
	}
	memcpy(rq->bytes + rq->n, p, n);
	memset(rq->bytes + rq->n + n, 0, padded - n);
	rq->n += padded;
}

void nl_begin(struct nl_request *rq, uint16_t type, uint16_t flags, const void *head, size_t n)
{
	const struct nlmsghdr h = { .nlmsg_type = type,
				    .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags) };

	rq->n = 0;
	rq->overflow = false;
	nl_put_raw(rq, &h, sizeof(h));
	nl_put_raw(rq, head, n);
}

void nl_put(struct nl_request *rq, uint16_t type, const void *p, size_t n)
{
	const struct nlattr a = { .nla_len = (uint16_t)(ATTR_HEAD + n), .nla_type = type };

	nl_put_raw(rq, &a, sizeof(a));
	nl_put_raw(rq, p, n);
}

void nl_put_text(struct nl_request *rq, uint16_t type, const char *text)
{
	nl_put(rq, type, text, strlen(text) + 1);
}

void nl_put_u32(struct nl_request *rq, uint16_t type, uint32_t v)
{
	nl_put(rq, type, &v, sizeof(v));
}

size_t nl_nest(struct nl_request *rq, uint16_t type)
{
	size_t mark = rq->n;

	nl_put(rq, type | NLA_F_NESTED, "", 0);
	return mark;
}

void nl_nest_end(struct nl_request *rq, size_t mark)
{
	struct nlattr *a = (struct nlattr *)(rq->bytes + mark);

	if (!rq->overflow)
		a->nla_len = (uint16_t)(rq->n - mark);
}

static enum err_kind finish(struct nl *s, struct nl_request *rq, uint16_t flags, const char *what,
			    struct err *e)
{
	struct nlmsghdr *h = head_of(rq);

	if (rq->overflow)
		return err_set(e, ERR_BUG, __func__, "%s: the request is too long", what);
	h->nlmsg_len = (uint32_t)rq->n;
	h->nlmsg_flags |= flags;
	h->nlmsg_seq = ++s->seq;
	return ERR_OK;
}

struct answer {
	nl_fn *fn;
	void *arg;
	const char *what;
	bool done;
};

/* What the kernel says of the request as a whole. */
static enum err_kind read_status(const struct nlmsghdr *m, struct answer *a, struct err *e)
{
	const struct nlmsgerr *status = NLMSG_DATA(m);

	a->done = true;
	if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_len < NLMSG_LENGTH(sizeof(*status)) ||
	    status->error == 0)
		return ERR_OK;
	errno = -status->error;
	return err_sys(e, __func__, "%s", a->what);
}

static enum err_kind read_messages(const struct nl *s, const char *p, size_t n, struct answer *a,
				   struct err *e)
{
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && !a->done && n >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *m = (const struct nlmsghdr *)p;
		size_t len = MIN((size_t)NLMSG_ALIGN(m->nlmsg_len), n);

		if (m->nlmsg_len < sizeof(*m) || m->nlmsg_len > n)
			return err_set(e, ERR_IO, __func__, "%s: the answer is cut", a->what);
		if (m->nlmsg_seq != s->seq)
			; /* of an earlier request that was given up */
		else if (m->nlmsg_type == NLMSG_ERROR || m->nlmsg_type == NLMSG_DONE)
			k = read_status(m, a, e);
		else if (a->fn)
			k = a->fn(a->arg, m, e);
		p += len;
		n -= len;
	}
	return k;
}

static enum err_kind receive(struct nl *s, struct answer *a, struct err *e)
{
	AUTO_FREE char *buffer = malloc(ANSWER_MAX);
	enum err_kind k = ERR_OK;

	if (!buffer)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an answer");
	while (k == ERR_OK && !a->done) {
		ssize_t n = recv(s->fd, buffer, ANSWER_MAX, MSG_TRUNC);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, __func__, "%s", a->what);
		if ((size_t)n > ANSWER_MAX)
			return err_set(e, ERR_IO, __func__, "%s: the answer is too long", a->what);
		k = read_messages(s, buffer, (size_t)n, a, e);
	}
	return k;
}

static enum err_kind exchange(struct nl *s, struct nl_request *rq, uint16_t flags, const char *what,
			      nl_fn *fn, void *arg, struct err *e)
{
	struct answer a = { .fn = fn, .arg = arg, .what = what };
	enum err_kind k = finish(s, rq, flags, what, e);

	if (k != ERR_OK)
		return k;
	if (send(s->fd, rq->bytes, rq->n, 0) < 0)
		return err_sys(e, __func__, "%s", what);
	return receive(s, &a, e);
}

enum err_kind nl_call(struct nl *s, struct nl_request *rq, const char *what, struct err *e)
{
	return exchange(s, rq, NLM_F_ACK, what, NULL, NULL, e);
}

enum err_kind nl_get(struct nl *s, struct nl_request *rq, const char *what, nl_fn *fn, void *arg,
		     struct err *e)
{
	return exchange(s, rq, NLM_F_ACK, what, fn, arg, e);
}

enum err_kind nl_dump(struct nl *s, struct nl_request *rq, const char *what, nl_fn *fn, void *arg,
		      struct err *e)
{
	return exchange(s, rq, NLM_F_DUMP, what, fn, arg, e);
}

struct batch_mark {
	struct nlmsghdr head;
	struct nfgenmsg body;
};

/* Under the number of the request, so that what is wrong with the whole is an answer to it. */
static struct batch_mark batch_mark(uint16_t type, uint8_t subsystem, uint32_t seq)
{
	return (
	    struct batch_mark){ .head = { .nlmsg_len = sizeof(struct batch_mark),
					  .nlmsg_type = type,
					  .nlmsg_flags = NLM_F_REQUEST,
					  .nlmsg_seq = seq },
				.body = { .version = NFNETLINK_V0, .res_id = htons(subsystem) } };
}

enum err_kind nl_transact(struct nl *s, uint8_t subsystem, struct nl_request *rq, const char *what,
			  struct err *e)
{
	struct answer a = { .what = what };
	enum err_kind k = finish(s, rq, NLM_F_ACK, what, e);
	struct batch_mark first = batch_mark(NFNL_MSG_BATCH_BEGIN, subsystem, s->seq);
	struct batch_mark last = batch_mark(NFNL_MSG_BATCH_END, subsystem, s->seq);
	struct iovec parts[] = { { &first, sizeof(first) },
				 { rq->bytes, rq->n },
				 { &last, sizeof(last) } };
	const struct msghdr m = { .msg_iov = parts, .msg_iovlen = ARRAY_LEN(parts) };

	if (k != ERR_OK)
		return k;
	if (sendmsg(s->fd, &m, 0) < 0)
		return err_sys(e, __func__, "%s", what);
	return receive(s, &a, e);
}

struct nl_attrs nl_attrs_of(const struct nlmsghdr *m, size_t head)
{
	size_t skip = NLMSG_SPACE(head);

	if (m->nlmsg_len < skip)
		return (struct nl_attrs){ NULL, 0 };
	return (struct nl_attrs){ (const char *)m + skip, m->nlmsg_len - skip };
}

bool nl_attr_next(struct nl_attrs *in, struct nl_attr *ret)
{
	struct nlattr a;
	size_t step;

	if (in->n < ATTR_HEAD)
		return false;
	memcpy(&a, in->p, sizeof(a));
	if (a.nla_len < ATTR_HEAD || a.nla_len > in->n)
		return false;
	*ret = (struct nl_attr){ .type = (uint16_t)(a.nla_type & TYPE_MASK),
				 .p = in->p + ATTR_HEAD,
				 .n = (size_t)a.nla_len - ATTR_HEAD };
	step = MIN((size_t)NLA_ALIGN(a.nla_len), in->n);
	in->p += step;
	in->n -= step;
	return true;
}
