#include "runtime/oci/plan/caps.h"

#include "base/fd.h"

/* In the kernel's order. */
static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(names) <= CAP_NAMES_MAX, "a set of capabilities is 64 bits");

bool cap_parse(const char *name, unsigned *ret)
{
	static const struct str prefix = { "CAP_", 4 };
	struct str want = str_of(name);

	if (want.n > prefix.n && str_eq_nocase((struct str){ want.p, prefix.n }, prefix))
		want = (struct str){ want.p + prefix.n, want.n - prefix.n };
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq_nocase(want, str_of(names[i] + prefix.n))) {
			*ret = i;
			return true;
		}
	}
	return false;
}

const char *cap_name(unsigned cap)
{
	return cap < ARRAY_LEN(names) ? names[cap] : NULL;
}
