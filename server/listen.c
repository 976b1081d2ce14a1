#include "server/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"

#define BACKLOG 1024

static enum err_kind resolve(const char *text, struct addrinfo **ret, struct err *e)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	const char *colon = strrchr(text, ':');
	char host[LISTEN_MAX];
	struct str h, port = str_of(colon ? colon + 1 : NULL);
	uint64_t number;
	int r;

	if (!colon)
		return err_set(e, ERR_INVALID, __func__, "listen: \"%.80s\" is not ADDRESS:PORT",
			       text);
	/* getaddrinfo takes 65537 for 1, and "" for 0 */
	if (!scan_u64(&port, UINT16_MAX, &number) || !scan_end(&port))
		return err_set(e, ERR_INVALID, __func__,
			       "listen: \"%.80s\": the port must be a number from 0 to 65535",
			       text);
	h = (struct str){ text, (size_t)(colon - text) };
	if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']')
		h = (struct str){ h.p + 1, h.n - 2 };
	if (!str_copy(h, host, sizeof(host)))
		return err_set(e, ERR_INVALID, __func__, "listen: the address is too long");
	r = getaddrinfo(h.n ? host : NULL, colon + 1, &hints, ret);
	if (r != 0)
		return err_set(e, ERR_INVALID, __func__, "listen: \"%.80s\": %s", text,
			       gai_strerror(r));
	return ERR_OK;
}

static bool is_loopback(const struct sockaddr *a)
{
	if (a->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	if (a->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const void *)a;

		return IN6_IS_ADDR_LOOPBACK(&in->sin6_addr);
	}
	return false;
}

void address_text(const struct sockaddr *a, char *buf, size_t cap)
{
	const void *bytes = NULL;

	if (a->sa_family == AF_INET)
		bytes = &((const struct sockaddr_in *)(const void *)a)->sin_addr;
	else if (a->sa_family == AF_INET6)
		bytes = &((const struct sockaddr_in6 *)(const void *)a)->sin6_addr;
	if (!bytes || !inet_ntop(a->sa_family, bytes, buf, (socklen_t)cap))
		(void)snprintf(buf, cap, "?");
}

static enum err_kind bind_to(const struct addrinfo *a, const char *text, int *ret, struct err *e)
{
	AUTO_CLOSE fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd < 0)
		return err_sys(e, __func__, "listen: socket");
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return err_sys(e, __func__, "listen on %.80s", text);
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

void address_port_text(const struct sockaddr *a, char *buf, size_t cap)
{
	char host[INET6_ADDRSTRLEN];
	bool v6 = a->sa_family == AF_INET6;
	uint16_t port = v6 ? ((const struct sockaddr_in6 *)(const void *)a)->sin6_port
			   : ((const struct sockaddr_in *)(const void *)a)->sin_port;

	address_text(a, host, sizeof(host));
	(void)snprintf(buf, cap, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(port));
}

static enum err_kind tell(int fd, char address[static ADDRESS_TEXT_MAX], struct err *e)
{
	struct sockaddr_storage a;
	socklen_t n = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		return err_sys(e, __func__, "getsockname");
	address_port_text((struct sockaddr *)&a, address, ADDRESS_TEXT_MAX);
	return ERR_OK;
}

static enum err_kind refuse_open_door(const char *what, struct err *e)
{
	return err_set(e, ERR_DENIED, __func__,
		       "listen: %.80s is not loopback, and without TLS (tls.certificates) and "
		       "accounts "
		       "(auth) others could change everything there: --http.insecure says "
		       "that this is "
		       "wanted",
		       what);
}

static enum err_kind resolve_allowed(const char *text, bool loopback_only, struct addrinfo **ret,
				     struct err *e)
{
	enum err_kind k = resolve(text, ret, e);

	if (k != ERR_OK || !loopback_only || is_loopback((*ret)->ai_addr))
		return k;
	freeaddrinfo(*ret);
	return refuse_open_door(text, e);
}

enum err_kind listen_check(const char *text, bool loopback_only, struct err *e)
{
	struct addrinfo *found;
	enum err_kind k = resolve_allowed(text, loopback_only, &found, e);

	if (k == ERR_OK)
		freeaddrinfo(found);
	return k;
}

enum err_kind listen_open(const char *text, bool loopback_only, int *ret_fd,
			  char ret_address[static ADDRESS_TEXT_MAX], struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct addrinfo *found = NULL;
	enum err_kind k = resolve_allowed(text, loopback_only, &found, e);

	if (k != ERR_OK)
		return k;
	k = bind_to(found, text, &fd, e);
	if (k == ERR_OK)
		k = tell(fd, ret_address, e);
	freeaddrinfo(found);
	if (k == ERR_OK)
		*ret_fd = TAKE_FD(fd);
	return k;
}

/* A number that the kernel keeps about the socket; -1: it is none. */
static int socket_option(int fd, int name)
{
	int v;
	socklen_t n = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, name, &v, &n) < 0 ? -1 : v;
}

static bool is_tcp_listener(int fd)
{
	int domain = socket_option(fd, SO_DOMAIN);

	return (domain == AF_INET || domain == AF_INET6) &&
	       socket_option(fd, SO_TYPE) == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) == 1;
}

enum err_kind listen_adopt(int *take_fd, bool loopback_only, int *ret_fd,
			   char ret_address[static ADDRESS_TEXT_MAX], struct err *e)
{
	AUTO_CLOSE fd = TAKE_FD(*take_fd);
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof(a);
	enum err_kind k;

	if (!is_tcp_listener(fd))
		return err_set(e, ERR_INVALID, __func__,
			       "descriptor %d was passed to listen on, and is no TCP socket that "
			       "listens",
			       fd);
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_sys(e, __func__, "listen on descriptor %d", fd);
	k = tell(fd, ret_address, e);
	if (k == ERR_OK && getsockname(fd, (struct sockaddr *)&a, &n) < 0)
		k = err_sys(e, __func__, "getsockname");
	if (k == ERR_OK && loopback_only && !is_loopback((struct sockaddr *)&a))
		k = refuse_open_door(ret_address, e);
	if (k == ERR_OK)
		*ret_fd = TAKE_FD(fd);
	return k;
}
