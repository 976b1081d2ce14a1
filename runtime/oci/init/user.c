/* Who the process is: ids, groups, capabilities; and what it may use. */
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "runtime/oci/init/init.h"
#include "runtime/oci/init/kernel.h"
#include "runtime/oci/plan/caps.h"

int init_become_root(void)
{
	int r = k_setresgid(0);

	return r == 0 ? k_setresuid(0) : r;
}

static int set_caps(const uint64_t caps[CAPS_N], uint64_t extra)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t permitted = caps[CAPS_PERMITTED] | extra;
	uint64_t effective = caps[CAPS_EFFECTIVE] | extra;

	for (unsigned i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].inheritable = (uint32_t)(caps[CAPS_INHERITABLE] >> (32 * i));
	}
	return NEG_ERRNO(syscall(SYS_capset, &head, data));
}

static int drop_bounding(uint64_t keep)
{
	for (int cap = 0; cap < CAP_NAMES_MAX; cap++) {
		if (keep & (1ull << cap))
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break; /* behind the last one that this kernel has */
			return -errno;
		}
	}
	return 0;
}

static int raise_ambient(uint64_t caps)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return -errno;
	for (int cap = 0; cap < CAP_NAMES_MAX; cap++) {
		if ((caps & (1ull << cap)) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -errno;
	}
	return 0;
}

/* /dev/stdout and the like must open for the user whose they are. */
static void give_stdio(uid_t uid)
{
	struct stat st;

	for (int fd = 0; fd < 3; fd++) {
		if (fstat(fd, &st) < 0 || st.st_uid == uid)
			continue;
		if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
			continue;                  /* the host's null device is everybody's */
		(void)!fchown(fd, uid, (gid_t)-1); /* a socket or a read-only file: as it is */
	}
}

static int set_ids(const struct user_op *u)
{
	int r = u->sets_groups ? k_setgroups(u->groups_n, u->groups) : 0;

	if (r == 0)
		r = k_setresgid(u->gid);
	return r == 0 ? k_setresuid(u->uid) : r;
}

static int failed(struct init *in, const char *what, int r)
{
	if (r < 0)
		note_set(&in->why, what, NULL);
	return r;
}

/*
 * Until exec the process keeps what the remaining steps need; exec itself computes the final sets from the
 * bounding, inheritable and ambient ones, so that nothing kept here (CAP_SYS_ADMIN) reaches the program.
 */
int init_user(struct init *in, const struct user_op *u)
{
	uint64_t extra = u->keeps_admin ? 1ull << CAP_SYS_ADMIN : 0;
	int r;

	give_stdio(u->uid);
	(void)umask(u->umask);
	r = failed(in, "bounding capabilities", drop_bounding(u->caps[CAPS_BOUNDING]));
	if (r == 0)
		r = failed(in, "keep capabilities", NEG_ERRNO(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)));
	if (r == 0)
		r = failed(in, "ids", set_ids(u));
	if (r == 0)
		r = NEG_ERRNO(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
	if (r == 0)
		r = failed(in, "capabilities", set_caps(u->caps, extra));
	if (r == 0)
		r = failed(in, "ambient capabilities", raise_ambient(u->caps[CAPS_AMBIENT]));
	if (r == 0 && u->no_new_privileges)
		r = failed(in, "no_new_privs", NEG_ERRNO(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)));
	return r;
}

int init_memory_policy(const struct memory_op *m)
{
	return NEG_ERRNO(
	    syscall(SYS_set_mempolicy, m->mode, m->nodes, (unsigned long)NODES_MAX + 1));
}
