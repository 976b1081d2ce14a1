#include "runtime/oci/run/netdev.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include "base/fd.h"

#define ADDRESSES_MAX 64
#define REPLY_BYTES 32768

struct request {
	struct nlmsghdr head;
	char body[512];
};

struct address {
	struct ifaddrmsg info;
	uint8_t bytes[16];
	size_t n;
};

static void begin(struct request *rq, uint16_t type, uint16_t flags)
{
	*rq = (struct request){ .head = { .nlmsg_len = NLMSG_LENGTH(0),
					  .nlmsg_type = type,
					  .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
					  .nlmsg_seq = 1 } };
}

static void add_bytes(struct request *rq, const void *p, size_t n)
{
	memcpy((char *)rq + rq->head.nlmsg_len, p, n);
	rq->head.nlmsg_len = (uint32_t)NLMSG_ALIGN(rq->head.nlmsg_len + n);
}

static void add_attribute(struct request *rq, uint16_t type, const void *p, size_t n)
{
	struct rtattr attr = { .rta_len = (uint16_t)RTA_LENGTH(n), .rta_type = type };

	add_bytes(rq, &attr, sizeof(attr));
	add_bytes(rq, p, n);
}

/* Sends one request and waits for its acknowledgement: 0 or -errno. */
static int call(int sock, const struct request *rq)
{
	_Alignas(struct nlmsghdr) char reply[4096];
	ssize_t n = send(sock, rq, rq->head.nlmsg_len, 0);
	struct nlmsghdr head;
	struct nlmsgerr error;

	if (n < 0)
		return -errno;
	n = recv(sock, reply, sizeof(reply), 0);
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(error.error)))
		return n < 0 ? -errno : -EPROTO;
	memcpy(&head, reply, sizeof(head));
	memcpy(&error.error, reply + NLMSG_HDRLEN, sizeof(error.error));
	return head.nlmsg_type == NLMSG_ERROR ? error.error : -EPROTO;
}

static void take_address(const struct nlmsghdr *head, unsigned index, struct address *list,
			 size_t *count)
{
	struct address a = { 0 };
	const char *at = (const char *)head + NLMSG_HDRLEN;
	size_t left = head->nlmsg_len - NLMSG_HDRLEN;
	struct rtattr attr;

	if (left < sizeof(a.info) || *count == ADDRESSES_MAX)
		return;
	memcpy(&a.info, at, sizeof(a.info));
	if (a.info.ifa_index != index || a.info.ifa_scope == RT_SCOPE_LINK)
		return;
	at += NLMSG_ALIGN(sizeof(a.info));
	left -= NLMSG_ALIGN(sizeof(a.info));
	while (left >= sizeof(attr)) {
		size_t n;

		memcpy(&attr, at, sizeof(attr));
		if (attr.rta_len < sizeof(attr) || attr.rta_len > left)
			break;
		n = attr.rta_len - sizeof(attr);
		/* IFA_LOCAL is ours on a point-to-point link, where IFA_ADDRESS is the peer's. */
		if ((attr.rta_type == IFA_LOCAL || (attr.rta_type == IFA_ADDRESS && a.n == 0)) &&
		    n <= sizeof(a.bytes)) {
			memcpy(a.bytes, at + sizeof(attr), n);
			a.n = n;
		}
		at += RTA_ALIGN(attr.rta_len);
		left -= MIN((size_t)RTA_ALIGN(attr.rta_len), left);
	}
	if (a.n)
		list[(*count)++] = a;
}

/* Moving a device takes its addresses away, so they are read before. */
static int read_addresses(int sock, unsigned index, struct address *list, size_t *count)
{
	_Alignas(struct nlmsghdr) char reply[REPLY_BYTES];
	const struct ifaddrmsg any = { .ifa_family = AF_UNSPEC };
	struct request rq;

	*count = 0;
	begin(&rq, RTM_GETADDR, NLM_F_DUMP);
	add_bytes(&rq, &any, sizeof(any));
	if (send(sock, &rq, rq.head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		ssize_t n = recv(sock, reply, sizeof(reply), 0);
		struct nlmsghdr *head = (struct nlmsghdr *)(void *)reply;

		if (n <= 0)
			return n < 0 ? -errno : -EPROTO;
		for (; NLMSG_OK(head, (size_t)n); head = NLMSG_NEXT(head, n)) {
			if (head->nlmsg_type == NLMSG_DONE)
				return 0;
			if (head->nlmsg_type == NLMSG_ERROR)
				return -EPROTO;
			if (head->nlmsg_type == RTM_NEWADDR)
				take_address(head, index, list, count);
		}
	}
}

static int move_link(int sock, unsigned index, const char *name, int netns)
{
	const struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_index = (int)index };
	uint32_t fd = (uint32_t)netns;
	struct request rq;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK);
	add_bytes(&rq, &link, sizeof(link));
	add_attribute(&rq, IFLA_NET_NS_FD, &fd, sizeof(fd));
	add_attribute(&rq, IFLA_IFNAME, name, strlen(name) + 1);
	return call(sock, &rq);
}

static int add_address(int sock, unsigned index, const struct address *a)
{
	struct ifaddrmsg info = a->info;
	struct request rq;

	info.ifa_index = index;
	begin(&rq, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
	add_bytes(&rq, &info, sizeof(info));
	add_attribute(&rq, IFA_LOCAL, a->bytes, a->n);
	add_attribute(&rq, IFA_ADDRESS, a->bytes, a->n);
	return call(sock, &rq);
}

static int switch_on(int sock, unsigned index)
{
	const struct ifinfomsg link = { .ifi_family = AF_UNSPEC,
					.ifi_index = (int)index,
					.ifi_flags = IFF_UP,
					.ifi_change = IFF_UP };
	struct request rq;

	begin(&rq, RTM_NEWLINK, NLM_F_ACK);
	add_bytes(&rq, &link, sizeof(link));
	return call(sock, &rq);
}

/* A socket speaks for the namespace that it was made in; *ret_index is the device's number there. */
static int socket_in(int netns, int own, const char *name, unsigned *ret_index)
{
	int sock, r;

	if (setns(netns, CLONE_NEWNET) < 0)
		return -errno;
	sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	r = sock < 0 ? -errno : sock;
	*ret_index = if_nametoindex(name);
	if (setns(own, CLONE_NEWNET) < 0)
		abort(); /* in a container's network for all that follows: better not to go on */
	return r;
}

static int configure(int netns, int own, const char *name, const struct address *list, size_t n)
{
	unsigned index = 0;
	AUTO_CLOSE sock = socket_in(netns, own, name, &index);
	int r = sock < 0 ? sock : 0;

	if (r == 0 && index == 0)
		r = -ENODEV;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_address(sock, index, &list[i]);
	return r == 0 ? switch_on(sock, index) : r;
}

static int move_one(const struct spec_net_device *d, int netns, int own)
{
	AUTO_CLOSE sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct address list[ADDRESSES_MAX];
	unsigned index = if_nametoindex(d->host_name);
	size_t n;
	int r;

	if (sock < 0 || index == 0)
		return -errno;
	r = read_addresses(sock, index, list, &n);
	if (r == 0)
		r = move_link(sock, index, d->name, netns);
	return r == 0 ? configure(netns, own, d->name, list, n) : r;
}

enum err_kind netdev_move(const struct spec *s, pid_t pid, struct err *e)
{
	AUTO_CLOSE own = -1;
	AUTO_CLOSE netns = -1;
	char path[64];
	enum err_kind k;

	if (!s->linux_.net_devices.n)
		return ERR_OK;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (own < 0 || netns < 0)
		return err_sys(e, __func__, "linux.netDevices: open %s", path);
	for (size_t i = 0; i < s->linux_.net_devices.n; i++) {
		const struct spec_net_device *d = &s->linux_.net_devices.v[i];
		int r = move_one(d, netns, own);

		if (r == 0)
			continue;
		errno = -r;
		k = err_sys(e, __func__, "linux.netDevices.%s: move to the container as %s",
			    d->host_name, d->name);
		return k;
	}
	return ERR_OK;
}
