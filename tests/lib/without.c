/*
 * without - runs a program as on a kernel that lacks some system calls: they fail with ENOSYS, also in all that it
 * starts.
 *
 * usage: without CALL[,CALL]... PROGRAM [ARGUMENT]...
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

static const struct {
	const char *name;
	unsigned number;
} calls[] = {
	{ "openat2", SYS_openat2 },       { "fsopen", SYS_fsopen },
	{ "fsconfig", SYS_fsconfig },     { "fsmount", SYS_fsmount },
	{ "open_tree", SYS_open_tree },   { "move_mount", SYS_move_mount },
	{ "pidfd_open", SYS_pidfd_open }, { "mount_setattr", SYS_mount_setattr },
};

static bool number_of(struct str name, unsigned *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (str_eq(name, str_of(calls[i].name))) {
			*ret = calls[i].number;
			return true;
		}
	}
	return false;
}

static int forbid(unsigned number)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = ARRAY_LEN(filter), .filter = filter };

	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

int main(int argc, char **argv)
{
	struct str rest = str_of(argc > 2 ? argv[1] : ""), one;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: %s CALL[,CALL]... PROGRAM [ARGUMENT]...\n", argv[0]);
		return 2;
	}
	/* root needs no no_new_privs, which programs run from here would keep. */
	if (geteuid() != 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return 1;
	while (rest.n) {
		unsigned number;

		(void)str_cut(rest, ',', &one, &rest);
		if (!number_of(one, &number) || forbid(number) < 0) {
			(void)fprintf(stderr, "cannot forbid %.*s\n", STR_FMT(one));
			return 1;
		}
	}
	(void)execvp(argv[2], argv + 2);
	(void)fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
	return 127;
}
