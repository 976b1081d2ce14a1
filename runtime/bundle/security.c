/* --security-opt, and what of /proc and /sys a container does not see. */
#include <fnmatch.h>
#include <glob.h>

#include "runtime/bundle/bundle_impl.h"

/* --- Options --- */

/* "KEY=VALUE" or, as docker once wrote it, "KEY:VALUE". */
static struct str cut_key(const char *text, struct str *ret_value)
{
	size_t n = strcspn(text, "=:");

	*ret_value = str_of(text[n] ? text + n + 1 : "");
	return (struct str){ text, n };
}

static bool is_disabled(struct str value)
{
	return str_eq(value, STR("unconfined"));
}

static bool take_seccomp(struct making *m, struct str value)
{
	m->unconfined = is_disabled(value);
	m->seccomp_file = NULL;
	if (!m->unconfined && !str_eq(value, STR("builtin")))
		m->seccomp_file = value.p;
	return value.n > 0;
}

/* A profile that no security module would look at must not be taken for protection: the runtime refuses it. */
static bool take_apparmor(struct making *m, struct str value)
{
	m->apparmor = is_disabled(value) ? NULL : value.p;
	return value.n > 0;
}

static bool take_no_new_privileges(struct making *m, struct str value)
{
	m->no_new_privs = value.n == 0 || str_eq(value, STR("true"));
	return m->no_new_privs || str_eq(value, STR("false"));
}

/* "/a:/b", each a pattern; ALL of what is hidden. */
static bool take_paths(struct making *m, struct text_list *list, struct str paths)
{
	struct str one;
	const char *text;

	while (paths.n) {
		(void)str_cut(paths, ':', &one, &paths);
		text = arena_text(m->arena, str_eq(one, STR("ALL")) ? STR("*") : one);
		if ((text && *text != '/' && *text != '*') || !arena_list_add(m->arena, list, text))
			return false;
	}
	return true;
}

static bool take_option(struct making *m, const char *text)
{
	struct str value, key = cut_key(text, &value);

	if (str_eq(key, STR("no-new-privileges")))
		return take_no_new_privileges(m, value);
	if (str_eq(key, STR("seccomp")))
		return take_seccomp(m, value);
	if (str_eq(key, STR("apparmor")))
		return take_apparmor(m, value);
	if (str_eq(key, STR("mask")))
		return value.n && take_paths(m, &m->masked, value);
	if (str_eq(key, STR("unmask")))
		return value.n && take_paths(m, &m->unmasked, value);
	if (str_eq(key, STR("systempaths")))
		return is_disabled(value) && take_paths(m, &m->unmasked, STR("ALL"));
	if (str_eq(key, STR("proc-opts")))
		return (m->proc_options = value.p, value.n > 0);
	return str_eq(key, STR("label")) && str_eq(value, STR("disable"));
}

enum err_kind security_resolve(struct making *m, struct err *e)
{
	m->unconfined = m->o->privileged;
	for (size_t i = 0; i < m->o->security.n; i++) {
		if (!take_option(m, m->o->security.v[i]))
			return err_set(e, ERR_UNSUPPORTED, __func__,
				       "--security-opt %.80s is not understood",
				       m->o->security.v[i]);
	}
	return ERR_OK;
}

/* --- Paths --- */

/* What would tell the container of the machine, or let it change it: all that docker or podman hides. */
static const char *const hidden[] = {
	"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
	"/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
	"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
	"/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap",
	"/sys/fs/selinux",  "/sys/dev/block",
};
static const char *const read_only[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};
#define THERMAL "/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle" /* one of each processor */

static bool is_unmasked(const struct making *m, const char *path)
{
	for (size_t i = 0; i < m->unmasked.n; i++) {
		const char *pattern = m->unmasked.v[i];

		if (strcmp(pattern, "*") == 0 || fnmatch(pattern, path, FNM_PATHNAME) == 0)
			return true;
	}
	return false;
}

static bool add_path(const struct making *m, struct text_list *list, const char *path)
{
	return is_unmasked(m, path) || arena_list_add(m->arena, list, path);
}

static bool add_thermal(const struct making *m, struct text_list *list)
{
	glob_t found;
	bool ok = true;

	if (glob(THERMAL, GLOB_NOSORT, NULL, &found) != 0)
		return true; /* this machine has none */
	for (size_t i = 0; ok && i < found.gl_pathc; i++)
		ok = add_path(m, list, arena_text(m->arena, str_of(found.gl_pathv[i])));
	globfree(&found);
	return ok;
}

/* Privileged ones see all but what was asked to be hidden. */
enum err_kind security_add_paths(const struct making *m, struct jv *platform, struct err *e)
{
	struct text_list masked = { 0 }, fixed = { 0 };
	bool ok = true;

	for (size_t i = 0; ok && !m->o->privileged && i < ARRAY_LEN(hidden); i++)
		ok = add_path(m, &masked, hidden[i]);
	ok = ok && (m->o->privileged || add_thermal(m, &masked));
	for (size_t i = 0; ok && i < m->masked.n; i++)
		ok = arena_list_add(m->arena, &masked, m->masked.v[i]);
	for (size_t i = 0; ok && !m->o->privileged && i < ARRAY_LEN(read_only); i++)
		ok = add_path(m, &fixed, read_only[i]);
	return ok && jv_set(platform, "maskedPaths", jv_new_texts(masked.v, masked.n)) &&
		       jv_set(platform, "readonlyPaths", jv_new_texts(fixed.v, fixed.n))
		   ? ERR_OK
		   : making_no_memory(e);
}
