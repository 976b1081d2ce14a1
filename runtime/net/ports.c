#include "runtime/net/ports.h"

#include <errno.h>

#include "base/fd.h"
#include "runtime/net/ip.h"
#include "runtime/net/keep.h"

#define LOCK_NAME "ports"
#define CAPABILITY "portMappings"

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
