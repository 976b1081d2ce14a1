#include "runtime/oci/init/sync.h"

#include <sys/socket.h>

#include "runtime/oci/init/kernel.h"

static int send_msg(int sock, const struct sync_msg *m)
{
	int r;

	do
		r = NEG_ERRNO(send(sock, m, sizeof(*m), MSG_NOSIGNAL));
	while (r == -EINTR);
	return r < 0 ? r : 0;
}

int sync_send(int sock, enum sync_type type, uint32_t value)
{
	const struct sync_msg m = { .type = type, .value = value };

	return send_msg(sock, &m);
}

int sync_send_error(int sock, int sys, const char *text)
{
	struct sync_msg m = { .type = SYNC_ERROR, .sys = sys };

	for (size_t i = 0; i < sizeof(m.text) - 1 && text[i]; i++)
		m.text[i] = text[i];
	return send_msg(sock, &m);
}

int sync_receive(int sock, struct sync_msg *ret)
{
	int r;

	do
		r = NEG_ERRNO(recv(sock, ret, sizeof(*ret), 0));
	while (r == -EINTR);
	if (r == 0 || r == -ECONNRESET) {
		*ret = (struct sync_msg){ .type = SYNC_END };
		return 0;
	}
	if (r < 0)
		return r;
	ret->text[sizeof(ret->text) - 1] = '\0';
	return (size_t)r == sizeof(*ret) ? 0 : -EPROTO;
}

int sync_expect(int sock, enum sync_type type)
{
	struct sync_msg m;
	int r = sync_receive(sock, &m);

	if (r < 0)
		return r;
	if (m.type == SYNC_END)
		return -EPIPE;
	return m.type == (uint32_t)type ? 0 : -EPROTO;
}

union fd_control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

int sync_send_fd(int sock, int fd, const void *data, size_t n)
{
	union fd_control control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)data, .iov_len = n };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int r;

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(int));
	do
		r = NEG_ERRNO(sendmsg(sock, &m, MSG_NOSIGNAL));
	while (r == -EINTR);
	return r < 0 ? r : 0;
}

int sync_receive_fd(int sock)
{
	union fd_control control = { 0 };
	char text[4096];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = &control,
			    .msg_controllen = sizeof(control) };
	int r, fd;

	do
		r = NEG_ERRNO(recvmsg(sock, &m, MSG_CMSG_CLOEXEC));
	while (r == -EINTR);
	if (r < 0)
		return r;
	if (m.msg_controllen < sizeof(control.header) || control.header.cmsg_type != SCM_RIGHTS ||
	    control.header.cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPIPE;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	return fd;
}
