#include "server/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static enum err_kind listen_at(const char *text, bool insecure, int *ret_fd,
			       char address[static ADDRESS_TEXT_MAX], struct err *e)
{
	return listen_open(text, !insecure, ret_fd, address, e);
}

/* True if a client gets through to the address that was told. */
static bool reaches(const char *address)
{
	AUTO_CLOSE fd = -1;
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	const char *colon = strrchr(address, ':');
	uint16_t port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	char host[80];

	if (address[0] == '[') {
		MUST(str_copy((struct str){ address + 1, (size_t)(colon - address) - 2 }, host,
			      sizeof(host)));
		MUST(inet_pton(AF_INET6, host, &in6.sin6_addr) == 1);
		in6.sin6_port = port;
		fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
		return connect(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
	}
	MUST(str_copy((struct str){ address, (size_t)(colon - address) }, host, sizeof(host)));
	MUST(inet_pton(AF_INET, host, &in.sin_addr) == 1);
	in.sin_port = port;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	AUTO_CLOSE fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static const struct {
	const char *name, *text;
	bool insecure;
	const char *prefix; /* of the address told */
} opened[] = {
	{ "loopback", "127.0.0.1:0", false, "127.0.0.1:" },
	{ "other loopback", "127.7.8.9:0", false, "127.7.8.9:" },
	{ "IPv6 loopback", "[::1]:0", false, "[::1]:" },
	{ "IPv6 without brackets", "::1:0", false, "[::1]:" },
	{ "name", "localhost:0", false, "" },
	{ "loopback, insecure", "127.0.0.1:0", true, "127.0.0.1:" },
	{ "all addresses, insecure", "0.0.0.0:0", true, "0.0.0.0:" },
	{ "all IPv6 addresses, insecure", "[::]:0", true, "[::]:" },
	{ "no address, insecure", ":0", true, "" },
};

static void test_opened(void **state)
{
	__typeof__(&opened[0]) c = *state;
	AUTO_CLOSE fd = -1;
	char address[ADDRESS_TEXT_MAX];
	struct err e;

	if (strstr(c->text, "::") && !has_ipv6())
		skip();
	assert_ok(listen_at(c->text, c->insecure, &fd, address, &e), &e);
	assert_memory_equal(address, c->prefix, strlen(c->prefix));
	assert_int_not_equal(strtoul(strrchr(address, ':') + 1, NULL, 10),
			     0); /* the one that was picked */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(reaches(address));
}

static const struct {
	const char *name, *text;
	enum err_kind kind;
	const char *message;
} refused[] = {
	/* anybody there could change everything */
	{ "all addresses", "0.0.0.0:0", ERR_DENIED, "0.0.0.0:0 is not loopback" },
	{ "no address", ":0", ERR_DENIED, "not loopback" },
	{ "all IPv6 addresses", "[::]:0", ERR_DENIED, "not loopback" },
	{ "another address", "10.1.2.3:0", ERR_DENIED, "--http.insecure" },
	{ "almost loopback", "128.0.0.1:0", ERR_DENIED, "not loopback" },
	{ "loopback within IPv6", "[::ffff:127.0.0.1]:0", ERR_DENIED, "not loopback" },
	{ "no port", "127.0.0.1", ERR_INVALID, "is not ADDRESS:PORT" },
	{ "nothing", "", ERR_INVALID, "is not ADDRESS:PORT" },
	{ "empty port", "127.0.0.1:", ERR_INVALID, "the port must be a number from 0 to 65535" },
	{ "colon only", ":", ERR_INVALID, "the port must be a number" },
	{ "port by name", "127.0.0.1:http", ERR_INVALID, "the port must be a number" },
	{ "port too large", "127.0.0.1:65536", ERR_INVALID, "the port must be a number" },
	{ "port far too large", "127.0.0.1:99999999999999999999", ERR_INVALID,
	  "the port must be a number" },
	{ "negative port", "127.0.0.1:-1", ERR_INVALID, "the port must be a number" },
	{ "blank before the port", "127.0.0.1: 80", ERR_INVALID, "the port must be a number" },
	{ "more after the port", "127.0.0.1:80x", ERR_INVALID, "the port must be a number" },
	{ "IPv6 without a port", "[::1]", ERR_INVALID, "the port must be a number" },
};

static void test_refused(void **state)
{
	__typeof__(&refused[0]) c = *state;
	int fd = -7;
	char address[ADDRESS_TEXT_MAX] = "untouched";
	struct err e;

	assert_err(listen_at(c->text, false, &fd, address, &e), c->kind, &e, c->message);
	assert_int_equal(fd, -7);
	assert_string_equal(address, "untouched");
}

static void test_long(void **state)
{
	char text[300], address[ADDRESS_TEXT_MAX];
	int fd = -1;
	struct err e;

	(void)state;
	memset(text, '1', sizeof(text));
	memcpy(text + 200, ":0", 3);
	assert_err(listen_at(text, false, &fd, address, &e), ERR_INVALID, &e,
		   "the address is too long");
}

static void test_in_use(void **state)
{
	AUTO_CLOSE fd = -1;
	int second = -7;
	char address[ADDRESS_TEXT_MAX], again[ADDRESS_TEXT_MAX];
	struct err e;

	(void)state;
	assert_ok(listen_at("127.0.0.1:0", false, &fd, address, &e), &e);
	assert_err(listen_at(address, false, &second, again, &e), ERR_IO, &e,
		   "listen on 127.0.0.1:");
	assert_non_null(strstr(e.msg, "in use"));
	assert_int_equal(second, -7);
	/* an address that this machine does not have */
	assert_err(listen_at("192.0.2.1:0", true, &second, again, &e), ERR_IO, &e,
		   "listen on 192.0.2.1:0");
}

static void test_address_text(void **state)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a010203) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char buf[48];

	(void)state;
	address_text((struct sockaddr *)&in, buf, sizeof(buf));
	assert_string_equal(buf, "10.1.2.3");
	address_text((struct sockaddr *)&in6, buf, sizeof(buf));
	assert_string_equal(buf, "::1");
	address_text((struct sockaddr *)&un, buf, sizeof(buf));
	assert_string_equal(buf, "?");
	address_text((struct sockaddr *)&in, buf, 4); /* no room */
	assert_string_equal(buf, "?");
}

int main(void)
{
	UNIT_TABLE("opened", test_opened, opened);
	UNIT_TABLE("refused", test_refused, refused);
	unit_case("an address that is too long", test_long);
	unit_case("a port that is taken", test_in_use);
	unit_case("addresses as text", test_address_text);
	return unit_run();
}
