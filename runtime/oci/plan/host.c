#include "runtime/oci/plan/host.h"

#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/fd.h"

#define PROC_ROOT_INO 1

/* CVE-2019-19921 and its kin: everything trusts /proc, so it must be the root of a procfs. */
static enum err_kind open_proc(int *ret, struct err *e)
{
	AUTO_CLOSE fd = open("/proc", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
		return err_sys(e, __func__, "open /proc");
	if (fs.f_type != PROC_SUPER_MAGIC || st.st_ino != PROC_ROOT_INO)
		return err_set(e, ERR_DENIED, __func__, "/proc is not a procfs");
	*ret = TAKE_FD(fd);
	return ERR_OK;
}

static uint64_t effective_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

/* The first user namespace maps every id to itself. */
static bool is_first_userns(int proc)
{
	AUTO_CLOSE fd = openat(proc, "self/uid_map", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	struct str s;
	uint64_t v[3];

	if (n <= 0)
		return true; /* a kernel without user namespaces */
	s = (struct str){ text, (size_t)n };
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		while (scan_char(&s, ' '))
			;
		if (!scan_u64(&s, UINT32_MAX, &v[i]))
			return true;
	}
	return v[0] == 0 && v[1] == 0 && v[2] == UINT32_MAX;
}

enum err_kind host_probe(struct host *ret, struct err *e)
{
	enum err_kind k;

	*ret = (struct host){ .euid = geteuid(), .egid = getegid(), .proc = -1 };
	k = open_proc(&ret->proc, e);
	if (k != ERR_OK)
		return k;
	ret->caps = effective_caps();
	ret->may_mount = (ret->caps & (1ull << CAP_SYS_ADMIN)) != 0;
	ret->in_userns = !is_first_userns(ret->proc);
	return ERR_OK;
}

void host_probe_lsm(struct host *h)
{
	h->has_apparmor = access("/sys/kernel/security/apparmor/profiles", F_OK) == 0;
	h->has_selinux = access("/sys/fs/selinux/enforce", F_OK) == 0;
}
