/* spec: a config.json to start from. */
#include <errno.h>

#include "base/fd.h"
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/run/ids.h"

#define OUTPUT_MAX 65536

struct spec_args {
	const char *bundle;
	bool rootless;
};

static const struct opt spec_opts[] = {
	{ "bundle", 'b', OPT_TEXT, offsetof(struct spec_args, bundle),
	  "directory to write to (.)" },
	{ "rootless", 0, OPT_FLAG, offsetof(struct spec_args, rootless), "for an ordinary user" },
	OPTS_END,
};

static struct jv *texts(const char *const *list, size_t n)
{
	struct jv *v = jv_new_array();

	for (size_t i = 0; i < n; i++) {
		if (!jv_append(v, jv_pack("s", list[i])))
			break; /* no memory: shows when the whole is written */
	}
	return v;
}
#define TEXTS(...)                                                                                 \
	texts((const char *const[]){ __VA_ARGS__ },                                                \
	      sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *))

static struct jv *caps(void)
{
	return TEXTS("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE");
}

static struct jv *process(void)
{
	return jv_pack(
	    "{s:b, s:{s:i, s:i}, s:o, s:o, s:s, s:{s:o, s:o, s:o}, s:[{s:s, s:i, s:i}], s:b}",
	    "terminal", 1, "user", "uid", 0, "gid", 0, "args", TEXTS("sh"), "env",
	    TEXTS("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		  "TERM=xterm"),
	    "cwd", "/", "capabilities", "bounding", caps(), "effective", caps(), "permitted",
	    caps(), "rlimits", "type", "RLIMIT_NOFILE", "hard", 1024, "soft", 1024,
	    "noNewPrivileges", 1);
}

static bool add_mount(struct jv *list, const char *destination, const char *type,
		      struct jv *options)
{
	struct jv *m =
	    jv_pack("{s:s, s:s, s:s}", "destination", destination, "type", type, "source", type);

	if (m && options && !jv_set(m, "options", options))
		jv_free(&m);
	return jv_append(list, m);
}

static struct jv *mounts(bool rootless)
{
	struct jv *l = jv_new_array();
	bool ok = add_mount(l, "/proc", "proc", NULL) &&
		  add_mount(l, "/dev", "tmpfs",
			    TEXTS("nosuid", "strictatime", "mode=755", "size=65536k"));

	if (ok && rootless)
		ok = add_mount(
		    l, "/dev/pts", "devpts",
		    TEXTS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"));
	else if (ok)
		ok = add_mount(l, "/dev/pts", "devpts",
			       TEXTS("nosuid", "noexec", "newinstance", "ptmxmode=0666",
				     "mode=0620", "gid=5"));
	ok = ok &&
	     add_mount(l, "/dev/shm", "tmpfs",
		       TEXTS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")) &&
	     add_mount(l, "/dev/mqueue", "mqueue", TEXTS("nosuid", "noexec", "nodev"));
	if (ok && rootless)
		ok = jv_append(l, jv_pack("{s:s, s:s, s:s, s:o}", "destination", "/sys", "type",
					  "none", "source", "/sys", "options",
					  TEXTS("rbind", "nosuid", "noexec", "nodev", "ro")));
	else if (ok)
		ok = add_mount(l, "/sys", "sysfs", TEXTS("nosuid", "noexec", "nodev", "ro")) &&
		     add_mount(l, "/sys/fs/cgroup", "cgroup",
			       TEXTS("nosuid", "noexec", "nodev", "relatime", "ro"));
	if (!ok)
		jv_free(&l);
	return l;
}

static struct jv *namespaces(bool rootless)
{
	static const char *const kinds[] = { "pid", "network", "ipc", "uts", "mount", "cgroup" };
	struct jv *l = jv_new_array();

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (rootless && strcmp(kinds[i], "network") == 0)
			continue; /* nobody would set it up */
		if (!jv_append(l, jv_pack("{s:s}", "type", kinds[i])))
			break;
	}
	if (rootless && !jv_append(l, jv_pack("{s:s}", "type", "user")))
		jv_free(&l);
	return l;
}

static struct jv *own_map(unsigned id)
{
	return jv_pack("[{s:i, s:I, s:i}]", "containerID", 0, "hostID", (int64_t)id, "size", 1);
}

static struct jv *linux_part(bool rootless)
{
	struct jv *v = jv_pack(
	    "{s:o, s:o, s:o}", "namespaces", namespaces(rootless), "maskedPaths",
	    TEXTS("/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		  "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
		  "/proc/scsi"),
	    "readonlyPaths",
	    TEXTS("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"));
	bool ok;

	if (rootless)
		ok = v && jv_set(v, "uidMappings", own_map(geteuid())) &&
		     jv_set(v, "gidMappings", own_map(getegid()));
	else
		ok = v &&
		     jv_set(v, "resources",
			    jv_pack("{s:[{s:b, s:s}]}", "devices", "allow", 0, "access", "rwm"));
	if (!ok)
		jv_free(&v);
	return v;
}

static enum err_kind write_config(const struct spec_args *a, const struct sbuf *text, struct err *e)
{
	AUTO_CLOSE dir = open(a->bundle ? a->bundle : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	if (dir < 0)
		return err_sys(e, __func__, "open %s", a->bundle ? a->bundle : ".");
	k = fd_open_at(dir, "config.json", O_WRONLY | O_CREAT | O_EXCL, 0666, &fd, e);
	if (k == ERR_EXISTS)
		return err_set(e, k, __func__, "File config.json exists. Remove it first");
	return k == ERR_OK ? fd_write_all(fd, text->p, text->n, "config.json", e) : k;
}

static int run_spec(struct cli *c)
{
	const struct spec_args *a = c->options;
	AUTO_JV *v =
	    jv_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:o, s:o}", "ociVersion", SPEC_VERSION,
		    "process", process(), "root", "path", "rootfs", "readonly", 1, "hostname",
		    "berth", "mounts", mounts(a->rootless), "linux", linux_part(a->rootless));
	AUTO_SBUF out;
	struct err e;

	sbuf_init(&out, OUTPUT_MAX);
	jv_dump_pretty(v, 4, &out);
	sbuf_add_str(&out, STR("\n"));
	if (out.failed) {
		report_error("no memory for config.json");
		return EXIT_FAILED;
	}
	return write_config(a, &out, &e) == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_spec = {
	.name = "spec",
	.run = run_spec,
	.opts = spec_opts,
	.options_size = sizeof(struct spec_args),
	.args_min = 0,
	.args_max = 0,
	.usage = "",
	.doc = "write a config.json to start from",
};
