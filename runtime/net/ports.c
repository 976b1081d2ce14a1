#include "runtime/net/ports.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "runtime/net/ip.h"
#include "runtime/net/keep.h"

#define LOCK_NAME "ports"
#define CAPABILITY "portMappings"
#define CHOICES_MAX 64 /* of numbers that other containers have already */

struct port {
	uint64_t number;
	struct str protocol;
	struct ip_net ip; /* length 0: all */
};

static bool is_any(const struct ip_net *ip)
{
	static const uint8_t zero[16];

	return ip->len == 0 || memcmp(ip->bytes, zero, ip->len) == 0;
}

/* What plugins take for a mapping: without a port of the host there is nothing to publish. */
static bool read_port(const struct jv *v, struct port *ret)
{
	struct str ip = { "", 0 };

	*ret = (struct port){ .protocol = STR("tcp") };
	(void)jv_text(jv_member(v, "protocol"), &ret->protocol);
	(void)jv_text(jv_member(v, "hostIP"), &ip);
	if (ip.n && !ip_parse(ip, &ret->ip))
		return false;
	return jv_uint(jv_member(v, "hostPort"), &ret->number) && ret->number > 0;
}

static bool overlaps(const struct port *a, const struct port *b)
{
	if (a->number != b->number || !str_eq_nocase(a->protocol, b->protocol))
		return false;
	if (a->ip.len && b->ip.len && a->ip.len != b->ip.len)
		return false;
	return is_any(&a->ip) || is_any(&b->ip) || ip_eq(&a->ip, &b->ip);
}

struct claiming {
	const struct cni_options *options;
	const struct cache_entry *mine;
};

static bool has_port(const struct cache_entry *c, const struct port *wanted)
{
	const struct jv *all = jv_member(c->capabilities, CAPABILITY);
	struct port p;

	for (size_t i = 0; i < jv_count(all); i++) {
		if (read_port(jv_at(all, i), &p) && overlaps(&p, wanted))
			return true;
	}
	return false;
}

static enum err_kind compare(void *arg, struct cache_entry *c, struct err *e)
{
	const struct claiming *w = arg;
	const struct jv *all = jv_member(w->mine->capabilities, CAPABILITY);
	struct port p;

	/* A container may publish one port on two of its networks. */
	if (strcmp(c->container.s, w->mine->container.s) == 0 ||
	    jv_count(jv_member(c->capabilities, CAPABILITY)) == 0)
		return ERR_OK;
	for (size_t i = 0; i < jv_count(all); i++) {
		if (!read_port(jv_at(all, i), &p) || !has_port(c, &p) ||
		    !keep_is_alive(w->options, c->netns ? c->netns : ""))
			continue;
		return err_set(e, ERR_IN_USE, __func__,
			       "port %llu/%.*s is published by container %s already",
			       (unsigned long long)p.number, (int)MIN(p.protocol.n, (size_t)8),
			       p.protocol.p, c->container.s);
	}
	return ERR_OK;
}

static enum err_kind lock(const struct cni_options *o, int *ret, struct err *e)
{
	AUTO_CLOSE dir = -1;
	AUTO_CLOSE fd = -1;
	enum err_kind k = fd_open_at(AT_FDCWD, o->state_dir, O_RDONLY | O_DIRECTORY, 0, &dir, e);

	if (k == ERR_OK)
		k = fd_open_at(dir, LOCK_NAME, O_RDWR | O_CREAT, 0600, &fd, e);
	if (k == ERR_OK)
		k = fd_lock(fd, "the ports of the host", e);
	if (k == ERR_OK)
		*ret = TAKE_FD(fd);
	return k;
}

enum err_kind ports_claim(const struct cni_options *o, const struct cache_entry *mine,
			  int *ret_claim, struct err *e)
{
	struct claiming w = { o, mine };
	AUTO_CLOSE claim = -1;
	enum err_kind k;

	*ret_claim = -1;
	if (jv_count(jv_member(mine->capabilities, CAPABILITY)) == 0)
		return ERR_OK;
	k = lock(o, &claim, e);
	if (k == ERR_OK)
		k = cache_each(o->cache_dir, compare, &w, e);
	if (k == ERR_OK)
		*ret_claim = TAKE_FD(claim);
	return k;
}

/* ---- choosing ---- */

void ports_held_close(struct ports_held *h)
{
	for (size_t i = 0; i < h->n; i++)
		fd_close(&h->fds[i]);
	free(h->fds);
	*h = (struct ports_held){ 0 };
}

static enum err_kind hold(struct ports_held *h, int *take_fd, struct err *e)
{
	int *p = reallocarray(h->fds, h->n + 1, sizeof(*p));

	if (!p) {
		fd_close(take_fd);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for ports");
	}
	h->fds = p;
	p[h->n++] = TAKE_FD(*take_fd);
	return ERR_OK;
}

/* A socket on a port that nobody has, on all addresses of the host: of IPv6 it is for both, where there is IPv6. */
static enum err_kind bind_any(int type, int *ret, uint64_t *ret_number, struct err *e)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	struct sockaddr *any = (struct sockaddr *)&six;
	socklen_t len = sizeof(six);
	AUTO_CLOSE fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, any, len) < 0) {
		fd_close(&fd);
		fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
		any = (struct sockaddr *)&four;
		len = sizeof(four);
		if (fd < 0 || bind(fd, any, len) < 0)
			return err_sys(e, __func__, "find a free port");
	}
	if (getsockname(fd, any, &len) < 0)
		return err_sys(e, __func__, "find a free port");
	*ret_number = ntohs(any->sa_family == AF_INET6 ? six.sin6_port : four.sin_port);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

/* A copy of the mapping with that port of the host. */
static struct jv *with_number(const struct jv *mapping, uint64_t number)
{
	AUTO_JV *copy = jv_pack("{}");
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (jv_next(mapping, &iter, &key, &value)) {
		if (!jv_set(copy, key, jv_share(value)))
			return NULL;
	}
	return jv_set(copy, "hostPort", jv_pack("I", (int64_t)number)) ? TAKE(copy) : NULL;
}

/* ERR_IN_USE: another container has the port. */
static enum err_kind is_free(const struct cni_options *o, const struct container_id *container,
			     const struct jv *mapping, struct err *e)
{
	AUTO_CACHE_ENTRY mine = { .container = *container };
	struct claiming w = { o, &mine };

	mine.capabilities = jv_pack("{s:[o]}", CAPABILITY, jv_share(mapping));
	return mine.capabilities ? cache_each(o->cache_dir, compare, &w, e)
				 : err_set(e, ERR_NO_MEMORY, __func__, "no memory for ports");
}

static enum err_kind choose_one(const struct cni_options *o, const struct container_id *container,
				const struct jv *mapping, struct jv **ret, struct ports_held *held,
				struct err *e)
{
	struct str protocol = STR("tcp");
	enum err_kind k = ERR_IN_USE;

	(void)jv_text(jv_member(mapping, "protocol"), &protocol);
	for (unsigned i = 0; k == ERR_IN_USE && i < CHOICES_MAX; i++) {
		int type = str_eq(protocol, STR("udp")) ? SOCK_DGRAM : SOCK_STREAM;
		uint64_t number;
		int fd = -1;

		jv_free(ret);
		k = bind_any(type, &fd, &number, e);
		if (k == ERR_OK)
			k = hold(held, &fd, e);
		if (k != ERR_OK)
			return k;
		*ret = with_number(mapping, number);
		k = *ret ? is_free(o, container, *ret, e)
			 : err_set(e, ERR_NO_MEMORY, __func__, "no memory for ports");
	}
	return k;
}

enum err_kind ports_choose(const struct cni_options *o, const struct container_id *container,
			   const struct jv *mappings, struct jv **ret, struct ports_held *ret_held,
			   struct err *e)
{
	AUTO_PORTS_HELD held = { 0 };
	AUTO_JV *all = mappings ? jv_new_array() : NULL;
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < jv_count(mappings); i++) {
		const struct jv *mapping = jv_at(mappings, i);
		AUTO_JV *chosen = NULL;
		uint64_t number = 0;

		if (jv_uint(jv_member(mapping, "hostPort"), &number) && number == 0)
			k = choose_one(o, container, mapping, &chosen, &held, e);
		else
			chosen = jv_share(mapping);
		if (k == ERR_OK && !jv_append(all, TAKE(chosen)))
			k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for ports");
	}
	if (k != ERR_OK)
		return k;
	*ret = TAKE(all);
	*ret_held = held;
	held = (struct ports_held){ 0 };
	return ERR_OK;
}
