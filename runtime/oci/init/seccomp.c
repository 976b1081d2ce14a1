/* Loading a filter that was compiled long before; and passing the descriptor of SCMP_ACT_NOTIFY on. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdatomic.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/init/sync.h"

#define HELPER_STACK 16384
#define STATE_MAX 65536

static int load(const struct seccomp_op *s, unsigned flags)
{
	const struct sock_fprog program = { .len = s->count,
					    .filter = (struct sock_filter *)(uintptr_t)s->filter };

	return NEG_ERRNO(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program));
}

/*
 * The filter may stop any call of its thread, also those that would pass its descriptor on.  It binds the thread
 * that loads it only, so a second thread does the sending; the first one meanwhile makes no call at all.
 */
struct helper {
	const struct seccomp_op *op;
	pid_t pid;
	_Atomic int fd;   /* HELPER_WAITS until the filter is loaded; negative: it could not be */
	_Atomic int done; /* HELPER_WAITS until sent; then 0 or -errno */
};
#define HELPER_WAITS 1000000000

static int send_listener(const struct helper *h, int fd)
{
	char text[STATE_MAX], digits[DECIMAL_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(h->op->parts); i++) {
		const char *pieces[] = { i ? decimal((uint64_t)h->pid, digits) : "",
					 h->op->parts[i] };

		for (size_t j = 0; j < ARRAY_LEN(pieces); j++) {
			size_t len = strlen(pieces[j]);

			if (len > sizeof(text) - n)
				return -EMSGSIZE;
			memcpy(text + n, pieces[j], len);
			n += len;
		}
	}
	return sync_send_fd(h->op->listener_socket, fd, text, n);
}

static int help(void *arg)
{
	struct helper *h = arg;
	int fd;

	while ((fd = atomic_load(&h->fd)) == HELPER_WAITS)
		(void)sched_yield();
	atomic_store(&h->done, fd < 0 ? fd : send_listener(h, fd));
	return 0;
}

static int load_with_listener(struct init *in, const struct seccomp_op *s)
{
	_Alignas(16) char stack[HELPER_STACK + STATE_MAX];
	struct helper h = {
		.op = s, .pid = in->host_pid, .fd = HELPER_WAITS, .done = HELPER_WAITS
	};
	int flags =
	    CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	int r = NEG_ERRNO(clone(help, stack + sizeof(stack), flags, &h));

	if (r < 0)
		return r;
	atomic_store(&h.fd, load(s, s->flags | SECCOMP_FILTER_FLAG_NEW_LISTENER));
	while ((r = atomic_load(&h.done)) == HELPER_WAITS)
		;
	return r;
}

int init_seccomp(struct init *in, const struct seccomp_op *s)
{
	return s->listener_socket >= 0 ? load_with_listener(in, s) : load(s, s->flags);
}
