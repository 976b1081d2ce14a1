/* features (features.md): what this runtime knows, whatever the host grants. */
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/plan/caps.h"

#define OUTPUT_MAX (1024u * 1024)

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names up to a NULL, in order. */
static struct jv *sorted(const char *const *names)
{
	const char *copy[128];
	struct jv *list = jv_new_array();
	size_t n = 0;

	while (names[n] && n < ARRAY_LEN(copy)) {
		copy[n] = names[n];
		n++;
	}
	qsort(copy, n, sizeof(*copy), compare);
	for (size_t i = 0; i < n; i++) {
		if (!jv_append(list, jv_pack("s", copy[i])))
			break; /* no memory: shows when the whole is written */
	}
	return list;
}

static struct jv *hooks(void)
{
	struct jv *list = jv_new_array();

	for (size_t i = 0; i < HOOK_N; i++) {
		if (!jv_append(list, jv_pack("s", spec_hook_names[i])))
			break;
	}
	return list;
}

static struct jv *mount_options(void)
{
	struct jv *list = jv_new_array();

	for (size_t i = 0; mount_opt_name(i); i++) {
		if (!jv_append(list, jv_pack("s", mount_opt_name(i))))
			break;
	}
	return list;
}

static struct jv *capabilities(void)
{
	struct jv *list = jv_new_array();

	for (unsigned i = 0; cap_name(i); i++) {
		if (!jv_append(list, jv_pack("s", cap_name(i))))
			break;
	}
	return list;
}

static struct jv *seccomp(void)
{
	return jv_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", 1, "actions",
		       sorted(spec_seccomp_actions), "operators", sorted(spec_seccomp_ops), "archs",
		       sorted(spec_seccomp_archs), "knownFlags", sorted(spec_seccomp_flags),
		       "supportedFlags", sorted(spec_seccomp_flags));
}

static struct jv *linux_features(void)
{
	return jv_pack(
	    "{s:o, s:o, s:{s:b, s:b, s:b, s:b, s:b}, s:o, s:{s:b}, s:{s:b}, s:{s:b, s:b, s:b}, "
	    "s:{s:o, s:o}, s:{s:{s:b}}, s:{s:b}}",
	    "namespaces", sorted(spec_namespace_names), "capabilities", capabilities(), "cgroup",
	    "v1", 1, "v2", 1, "systemd", 1, "systemdUser", 1, "rdma", 1, "seccomp", seccomp(),
	    "apparmor", "enabled", 1, "selinux", "enabled", 1, "intelRdt", "enabled", 1, "schemata",
	    1, "monitoring", 1, "memoryPolicy", "modes", sorted(spec_memory_modes), "flags",
	    sorted(spec_memory_flags), "mountExtensions", "idmap", "enabled", 1, "netDevices",
	    "enabled", 1);
}

static int run_features(struct cli *c UNUSED)
{
	char version[32];
	AUTO_JV *v =
	    jv_pack("{s:s, s:s, s:o, s:o, s:o, s:{s:s, s:s, s:s}, s:o}", "ociVersionMin", "1.0.0",
		    "ociVersionMax", SPEC_VERSION, "hooks", hooks(), "mountOptions",
		    mount_options(), "linux", linux_features(), "annotations",
		    "io.github.seccomp.libseccomp.version", filter_library_version(version),
		    "berth.version", BERTH_VERSION, "berth.checkpoint.enabled", "true",
		    "potentiallyUnsafeConfigAnnotations", jv_new_array());
	AUTO_SBUF out;

	sbuf_init(&out, OUTPUT_MAX);
	jv_dump_pretty(v, 4, &out);
	sbuf_add_str(&out, STR("\n"));
	return cli_print(&out);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_features = {
	.name = "features",
	.run = run_features,
	.opts = no_opts,
	.args_min = 0,
	.args_max = 0,
	.usage = "",
	.doc = "print what this runtime supports as JSON",
};
