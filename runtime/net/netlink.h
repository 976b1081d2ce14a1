/*
 * netlink - requests to the kernel's network configuration, and their answers (netlink(7), rtnetlink(7)).
 *
 * Lifecycle  nl_open -> (nl_begin -> nl_put* -> nl_call | nl_dump)* -> nl_close.
 * Threads    one thread at a time per socket.
 */
#pragma once

#include <linux/netlink.h>

#include "base/err.h"
#include "base/str.h"

#define NL_REQUEST_MAX 1024

struct nl {
	int fd;
	uint32_t seq;
};

struct nl_request {
	_Alignas(struct nlmsghdr) char bytes[NL_REQUEST_MAX];
	size_t n;
	bool overflow;
};

/* protocol: NETLINK_ROUTE, NETLINK_NETFILTER; in the namespace that the thread is in. */
MUST_CHECK enum err_kind nl_open(int protocol, struct nl *ret, struct err *e);
void nl_close(struct nl *s);
#define AUTO_NL CLEANUP(nl_close) struct nl

void nl_begin(struct nl_request *rq, uint16_t type, uint16_t flags, const void *head, size_t n);
void nl_put(struct nl_request *rq, uint16_t type, const void *p, size_t n);
void nl_put_text(struct nl_request *rq, uint16_t type, const char *text);
void nl_put_u32(struct nl_request *rq, uint16_t type, uint32_t v);
/* Attributes put between the two are within one. */
size_t nl_nest(struct nl_request *rq, uint16_t type);
void nl_nest_end(struct nl_request *rq, size_t mark);
/* Bytes between attributes, as a nested interface begins with. */
void nl_put_raw(struct nl_request *rq, const void *p, size_t n);

/* Called with each message of an answer, which begins with its own header, until it fails. */
typedef enum err_kind nl_fn(void *arg, const struct nlmsghdr *m, struct err *e);

/* Sends and waits for the acknowledgement; err.sys is the kernel's errno. */
MUST_CHECK enum err_kind nl_call(struct nl *s, struct nl_request *rq, const char *what,
				 struct err *e);
/* The same for a request that is answered by one object, */
MUST_CHECK enum err_kind nl_get(struct nl *s, struct nl_request *rq, const char *what, nl_fn *fn,
				void *arg, struct err *e);
/* and by many. */
MUST_CHECK enum err_kind nl_dump(struct nl *s, struct nl_request *rq, const char *what, nl_fn *fn,
				 void *arg, struct err *e);

/* The same for a change of netfilter's tables, as a transaction of its own. */
MUST_CHECK enum err_kind nl_transact(struct nl *s, uint8_t subsystem, struct nl_request *rq,
				     const char *what, struct err *e);

/*
 * Attributes of a message behind a header of head bytes, or of a nest.  Start with *at NULL, ends with false.
 * The type is without the flags that it may bear.
 */
struct nl_attr {
	uint16_t type;
	const void *p;
	size_t n;
};
struct nl_attrs {
	const char *p;
	size_t n;
};
struct nl_attrs nl_attrs_of(const struct nlmsghdr *m, size_t head);
bool nl_attr_next(struct nl_attrs *in, struct nl_attr *ret);
