#include <linux/capability.h>

#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

static const char *const names[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};
#define BIT(cap) (UINT64_C(1) << (cap))
#define PRESET                                                                                     \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) |              \
	 BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) | BIT(CAP_SETGID) | BIT(CAP_SETUID) |                   \
	 BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_SYS_CHROOT) |   \
	 BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE))

static bool parse(struct str in, uint64_t all, uint64_t *ret)
{
	if (str_eq_nocase(in, STR("ALL"))) {
		*ret = all;
		return true;
	}
	if (in.n > 4 && str_eq_nocase((struct str){ in.p, 4 }, STR("CAP_")))
		in = (struct str){ in.p + 4, in.n - 4 };
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		if (str_eq_nocase(in, str_of(names[i]))) {
			*ret = BIT(i);
			return true;
		}
	}
	return false;
}

/* What this process could give: CapBnd in /proc/self/status. */
static enum err_kind read_bounding(uint64_t *ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	const char *at;
	enum err_kind k = fd_open_at(AT_FDCWD, "/proc/self/status", O_RDONLY, 0, &fd, e);

	sbuf_init(&b, 64u * 1024);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &b, "/proc/self/status", e);
	if (k != ERR_OK)
		return k;
	at = strstr(b.p, "CapBnd:\t");
	if (!at)
		return err_set(e, ERR_UNSUPPORTED, __func__, "/proc/self/status without CapBnd");
	*ret = 0;
	for (at += 8; hex_value(*at) >= 0; at++)
		*ret = *ret << 4 | (uint64_t)hex_value(*at);
	return ERR_OK;
}

static enum err_kind gather(const struct text_list *list, const char *option, uint64_t all,
			    uint64_t *ret, struct err *e)
{
	for (size_t i = 0; i < list->n; i++) {
		struct str rest = str_of(list->v[i]), one;
		uint64_t bits;

		while (rest.n) {
			(void)str_cut(rest, ',', &one, &rest);
			if (!parse(one, all, &bits))
				return err_set(e, ERR_INVALID, __func__,
					       "%s %.60s: no such capability", option, list->v[i]);
			*ret |= bits;
		}
	}
	return ERR_OK;
}

/* "--cap-drop ALL --cap-add X" leaves X alone; "--cap-add ALL --cap-drop X" all but X. */
enum err_kind caps_resolve(struct making *m, struct err *e)
{
	uint64_t all = 0, add = 0, drop = 0;
	bool drops_all, adds_all;
	enum err_kind k = read_bounding(&all, e);

	all &= BIT(ARRAY_LEN(names)) - 1;
	if (k == ERR_OK)
		k = gather(&m->o->cap_add, "--cap-add", all, &add, e);
	if (k == ERR_OK)
		k = gather(&m->o->cap_drop, "--cap-drop", all, &drop, e);
	if (k != ERR_OK)
		return k;
	drops_all = drop == all;
	adds_all = add == all;
	m->caps = m->o->privileged ? all : drops_all ? 0 : PRESET & all;
	m->caps |= add;
	if (!drops_all || adds_all)
		m->caps &= ~drop;
	m->caps_added = add & m->caps;
	return ERR_OK;
}

bool caps_has(const struct making *m, const char *name)
{
	uint64_t bit;

	return parse(str_of(name), 0, &bit) && (m->caps & bit);
}

static struct jv *list_json(const struct making *m, uint64_t set)
{
	AUTO_JV *list = jv_new_array();

	for (unsigned i = 0; list && i < ARRAY_LEN(names); i++) {
		if ((set & BIT(i)) &&
		    !jv_append(list, jv_pack("s", arena_printf(m->arena, "CAP_%s", names[i]))))
			return NULL;
	}
	return TAKE(list);
}

/* Another user than root has what was asked for by name, and keeps it over execve(2). */
struct jv *caps_json(const struct making *m)
{
	uint64_t own = m->uid == 0 ? m->caps : m->caps_added;
	uint64_t ambient = m->uid == 0 ? 0 : m->caps_added;

	return jv_pack("{s:o, s:o, s:o, s:o, s:o}", "bounding", list_json(m, m->caps), "effective",
		       list_json(m, own), "permitted", list_json(m, own), "inheritable",
		       list_json(m, ambient), "ambient", list_json(m, ambient));
}
