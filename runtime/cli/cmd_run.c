/* run, create: a container made of an image. */
#include "base/quantity.h"
#include "runtime/cli/attach.h"
#include "runtime/cli/network_run.h"
#include "runtime/cli/report.h"

struct run_args {
	struct make_options make;
	bool interactive, terminal, detach;
	const char *pull, *restart, *log_driver, *overlay;
	const char *stop_timeout, *health_interval, *health_timeout, *health_start;
	const char *health_action;
	struct text_list log_opts, uid_maps, gid_maps;
	const char *cidfile;
};

#define A(m) offsetof(struct run_args, m)
#define M(m) offsetof(struct run_args, make.m)
#define B(m) offsetof(struct run_args, make.bundle.m)
#define N(m) offsetof(struct run_args, make.network.m)

/* clang-format off */
#define MAKE_OPTS \
	/* the process */ \
	{ "env", 'e', OPT_TEXTS, B(env), "NAME[=VALUE]", "environment; without a value it is this one's, of all names that begin so if it ends in *" }, \
	{ "env-file", 0, OPT_TEXTS, B(env_files), "FILE", "environment, a line each" }, \
	{ "workdir", 'w', OPT_TEXT, B(workdir), "DIR", "working directory" }, \
	{ "user", 'u', OPT_TEXT, B(user), "USER[:GROUP]", "who it runs as, by the image's names or by number" }, \
	{ "group-add", 0, OPT_TEXTS, B(groups), "GROUP", "one more group; keep-groups: those of who runs it" }, \
	{ "entrypoint", 0, OPT_TEXT, B(entrypoint), "PROGRAM", "in place of the image's; [\"PROGRAM\", \"ARGUMENT\", ...] for more" }, \
	{ "hostname", 0, OPT_TEXT, B(hostname), "NAME", "name of the host (the container's short id)" }, \
	{ "interactive", 'i', OPT_FLAG, A(interactive), NULL, "keep standard input open" }, \
	{ "tty", 't', OPT_FLAG, A(terminal), NULL, "give it a terminal" }, \
	{ "init", 0, OPT_FLAG, B(init), NULL, "run it below an init that reaps and passes signals" }, \
	{ "ulimit", 0, OPT_TEXTS, B(ulimits), "NAME=SOFT[:HARD]", "limit of the process; host: all as they are here" }, \
	{ "oom-score-adj", 0, OPT_TEXT, B(oom_score_adj), "NUMBER", "how soon to be killed (-1000..1000)" }, \
	/* rights */ \
	{ "cap-add", 0, OPT_TEXTS, B(cap_add), "CAP", "one more capability, or ALL" }, \
	{ "cap-drop", 0, OPT_TEXTS, B(cap_drop), "CAP", "one capability less, or ALL" }, \
	{ "privileged", 0, OPT_FLAG, B(privileged), NULL, "no confinement: as good as root on the host" }, \
	{ "security-opt", 0, OPT_TEXTS, B(security), "OPTION", \
	  "no-new-privileges, seccomp=FILE|unconfined, mask=PATHS, unmask=PATHS|ALL, proc-opts=OPTIONS" }, \
	/* files */ \
	{ "volume", 'v', OPT_TEXTS, B(volumes), "[SOURCE:]TARGET[:OPTIONS]", "a directory of the host, or a volume by name or without one; OPTIONS also U: its files become the process's, idmap: keep theirs in a user namespace" }, \
	{ "mount", 0, OPT_TEXTS, B(mounts), "type=..,source=..,target=..", "the same, or a tmpfs, in long form" }, \
	{ "tmpfs", 0, OPT_TEXTS, B(tmpfs), "TARGET[:OPTIONS]", "a file system in memory" }, \
	{ "read-only", 0, OPT_FLAG, B(read_only), NULL, "the root cannot be written" }, \
	{ "shm-size", 0, OPT_SIZE, B(shm_bytes), "SIZE", "size of /dev/shm (64M)" }, \
	{ "device", 0, OPT_TEXTS, B(devices), "DEVICE[:TARGET][:ACCESS]", "a device of the host, or all below a directory" }, \
	/* limits */ \
	{ "memory", 'm', OPT_SIZE, B(memory_bytes), "SIZE", "how much memory it may use" }, \
	{ "memory-swap", 0, OPT_TEXT, B(memory_swap), "SIZE", "memory and swap together; -1: no limit" }, \
	{ "cpus", 0, OPT_TEXT, B(cpus), "NUMBER", "how many processors' time, such as 1.5" }, \
	{ "cpu-shares", 'c', OPT_COUNT, B(cpu_shares), "NUMBER", "weight beside others (1024)" }, \
	{ "cpuset-cpus", 0, OPT_TEXT, B(cpuset_cpus), "LIST", "which processors, such as 0-1,3" }, \
	{ "pids-limit", 0, OPT_TEXT, B(pids_limit), "NUMBER", "how many processes; -1: no limit" }, \
	{ "sysctl", 0, OPT_TEXTS, B(sysctls), "NAME=VALUE", "parameter of the kernel, for the container" }, \
	/* namespaces */ \
	{ "network", 0, OPT_TEXTS, N(networks), "NAME|none|host|pasta|container:ID|ns:PATH", "network (berth; of an ordinary user pasta)" }, \
	{ "net", 0, OPT_TEXTS, N(networks), "NAME|...", "the same" }, \
	{ "pid", 0, OPT_TEXT, B(pid), "host|ns:PATH", "processes" }, \
	{ "ipc", 0, OPT_TEXT, B(ipc), "host|ns:PATH", "shared memory and queues" }, \
	{ "uts", 0, OPT_TEXT, B(uts), "host", "host name" }, \
	{ "userns", 0, OPT_TEXT, M(userns), "host|keep-id|nomap|auto|private", \
	  "whose ids users have outside (host): also keep-id:uid=..,gid=.. and auto:size=..,uidmapping=..,gidmapping=.." }, \
	{ "uidmap", 0, OPT_TEXTS, A(uid_maps), "CONTAINER:HOST:SIZE", "which ids users have outside, in a user namespace that has these alone" }, \
	{ "gidmap", 0, OPT_TEXTS, A(gid_maps), "CONTAINER:HOST:SIZE", "the same for groups (as --uidmap)" }, \
	{ "cgroupns", 0, OPT_TEXT, B(cgroupns), "host|private", "sight of control groups" }, \
	/* on networks by name */ \
	{ "publish", 'p', OPT_TEXTS, N(publish), "[[IP:]PORT:]PORT[/PROTOCOL]", "a port of the host (any that is free) for one of the container" }, \
	{ "ip", 0, OPT_TEXTS, N(ips), "IP", "address on the first network" }, \
	{ "ip6", 0, OPT_TEXTS, N(ips), "IP", "the same" }, \
	{ "mac-address", 0, OPT_TEXT, N(mac), "MAC", "MAC address on the first network" }, \
	{ "dns", 0, OPT_TEXTS, N(dns), "IP", "name server" }, \
	{ "dns-search", 0, OPT_TEXTS, N(dns_searches), "DOMAIN", "domain to look for names in" }, \
	{ "dns-option", 0, OPT_TEXTS, N(dns_options), "OPTION", "option of the resolver" }, \
	{ "add-host", 0, OPT_TEXTS, N(hosts), "NAME:IP", "line of the hosts file; host-gateway is the host" }, \
	{ "network-alias", 0, OPT_TEXTS, N(aliases), "NAME", "one more name on the networks" }, \
	/* the container */ \
	{ "name", 0, OPT_TEXT, M(name), "NAME", "name of the container" }, \
	{ "label", 'l', OPT_TEXTS, B(labels), "NAME[=VALUE]", "label" }, \
	{ "annotation", 0, OPT_TEXTS, B(annotations), "NAME[=VALUE]", "annotation for the runtime" }, \
	{ "rm", 0, OPT_FLAG, M(auto_remove), NULL, "remove it when it has ended" }, \
	{ "restart", 0, OPT_TEXT, A(restart), "POLICY", "no, on-failure[:N], always, unless-stopped" }, \
	{ "stop-signal", 0, OPT_TEXT, M(stop_signal), "SIGNAL", "signal that asks it to end (TERM)" }, \
	{ "stop-timeout", 0, OPT_TEXT, A(stop_timeout), "SECONDS", "from then until it is killed (10); -1: never" }, \
	{ "log-driver", 0, OPT_TEXT, A(log_driver), "FORMAT", "k8s-file, json-file or none" }, \
	{ "log-opt", 0, OPT_TEXTS, A(log_opts), "NAME=VALUE", "max-size, max-file" }, \
	{ "health-cmd", 0, OPT_TEXT, M(health_cmd), "COMMAND", "tells by its exit status whether all is well; for a shell, or [\"CMD\", ...]; none" }, \
	{ "health-interval", 0, OPT_TEXT, A(health_interval), "TIME", "between checks (30s)" }, \
	{ "health-timeout", 0, OPT_TEXT, A(health_timeout), "TIME", "for a check (30s)" }, \
	{ "health-start-period", 0, OPT_TEXT, A(health_start), "TIME", "after the start failures do not count" }, \
	{ "health-retries", 0, OPT_COUNT, M(health_retries), "NUMBER", "failures until it is unhealthy (3)" }, \
	{ "health-on-failure", 0, OPT_TEXT, A(health_action), "ACTION", "once it is unhealthy: none, kill, restart, stop" }, \
	{ "no-healthcheck", 0, OPT_FLAG, M(no_health), NULL, "ignore the image's health check" }, \
	{ "cidfile", 0, OPT_TEXT, A(cidfile), "FILE", "write the container's id there" }, \
	/* the image */ \
	{ "pull", 0, OPT_TEXT, A(pull), "missing|always|newer|never", "when to ask the registry (missing); newer: what is here will do if it cannot be asked" }, \
	{ "platform", 0, OPT_TEXT, M(platform), "OS/ARCH[/VARIANT]", "which image of an index" }, \
	{ "quiet", 'q', OPT_FLAG, M(quiet), NULL, "show no progress" }, \
	{ "overlay", 0, OPT_TEXT, A(overlay), "auto|kernel|fuse", \
	  "what stacks the layers (auto: fuse-overlayfs where the kernel refuses)" }, \
	{ "rootfs", 0, OPT_TEXT, M(rootfs), "DIR", "run this directory; no IMAGE is given" }, \
	REGISTRY_OPTS(M(registry))
/* clang-format on */

/* --- Texts become values --- */

static enum err_kind take_time(const char *text, const char *option, uint64_t *ret, struct err *e)
{
	if (!text || duration_parse_go(str_of(text), ret))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__, "--%s %.40s: a time such as 30s or 1m30s", option,
		       text);
}

static enum err_kind take_pull(struct run_args *a, struct err *e)
{
	static const char *const names[] = {
		[PULL_MISSING] = "missing",
		[PULL_ALWAYS] = "always",
		[PULL_NEVER] = "never",
		[PULL_NEWER] = "newer",
	};

	for (unsigned i = 0; a->pull && i < ARRAY_LEN(names); i++) {
		if (strcmp(a->pull, names[i]) == 0) {
			a->make.pull = (enum pull_policy)i;
			return ERR_OK;
		}
	}
	return a->pull ? err_set(e, ERR_INVALID, __func__, "--pull missing, always, newer or never")
		       : ERR_OK;
}

static enum err_kind take_log(struct run_args *a, struct err *e)
{
	struct make_options *m = &a->make;

	if (a->log_driver && !log_format_parse(str_of(a->log_driver), &m->log_format))
		return err_set(e, ERR_INVALID, __func__,
			       "--log-driver k8s-file, json-file or none");
	for (size_t i = 0; i < a->log_opts.n; i++) {
		const char *o = a->log_opts.v[i];
		struct str number = str_of(o + strcspn(o, "="));

		if (str_starts(str_of(o), STR("max-size=")) &&
		    size_parse_docker(str_of(o + 9), &m->log_bytes_max))
			continue;
		if (str_starts(str_of(o), STR("max-file=")) && scan_char(&number, '=') &&
		    scan_u64(&number, 1000, &m->log_files_max) && scan_end(&number) &&
		    m->log_files_max > 0)
			continue;
		return err_set(e, ERR_INVALID, __func__,
			       "--log-opt %.60s: max-size=10m and max-file=3 are known", o);
	}
	return ERR_OK;
}

static enum err_kind take_stop_timeout(struct run_args *a, struct err *e)
{
	struct str in = str_of(a->stop_timeout);
	uint64_t seconds;

	if (!a->stop_timeout)
		return ERR_OK;
	if (strcmp(a->stop_timeout, "-1") == 0) {
		a->make.stop_timeout_ms = STOP_NEVER_MS;
		return ERR_OK;
	}
	if (!scan_u64(&in, 604800, &seconds) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__, "--stop-timeout wants seconds");
	a->make.stop_timeout_ms = seconds ? seconds * 1000 : 1;
	return ERR_OK;
}

/* What follows the image is the command. */
static enum err_kind take_args(struct cli *c, struct run_args *a, struct err *e)
{
	size_t first = a->make.rootfs ? 0 : 1;

	if (c->args_n < first)
		return err_set(e, ERR_INVALID, __func__, "an image is needed");
	a->make.image = first ? c->args[0] : NULL;
	for (size_t i = first; i < c->args_n; i++) {
		if (!arena_list_add(&c->arena, &a->make.bundle.args, c->args[i]))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for arguments");
	}
	return ERR_OK;
}

static enum err_kind take_all(struct cli *c, struct run_args *a, struct err *e)
{
	struct make_options *m = &a->make;
	enum err_kind k = take_args(c, a, e);

	m->bundle.terminal = a->terminal;
	m->stdin_open = a->interactive;
	m->quiet = m->quiet || a->detach || c->json;
	if (k == ERR_OK && a->restart &&
	    !restart_policy_parse(str_of(a->restart), &m->restart, &m->restart_max))
		k = err_set(e, ERR_INVALID, __func__,
			    "--restart no, on-failure[:N], always or unless-stopped");
	if (k == ERR_OK && m->restart != RESTART_NO && m->auto_remove)
		k = err_set(e, ERR_INVALID, __func__, "--restart and --rm exclude each other");
	if (k == ERR_OK && a->overlay && !overlay_driver_parse(str_of(a->overlay), &m->overlay))
		k = err_set(e, ERR_INVALID, __func__, "--overlay auto, kernel or fuse");
	if (k == ERR_OK && a->health_action &&
	    !health_action_parse(str_of(a->health_action), &m->health_action))
		k = err_set(e, ERR_INVALID, __func__,
			    "--health-on-failure none, kill, restart or stop");
	if (k == ERR_OK && m->health_action == HEALTH_DO_RESTART && m->restart != RESTART_NO)
		k = err_set(e, ERR_INVALID, __func__,
			    "--health-on-failure restart and --restart exclude each other");
	if (k == ERR_OK)
		k = usermap_parse(m->userns, &a->uid_maps, &a->gid_maps, &m->ids, e);
	if (k == ERR_OK)
		k = take_pull(a, e);
	if (k == ERR_OK)
		k = take_log(a, e);
	if (k == ERR_OK)
		k = take_stop_timeout(a, e);
	if (k == ERR_OK)
		k = take_time(a->health_interval, "health-interval", &m->health_interval_ms, e);
	if (k == ERR_OK)
		k = take_time(a->health_timeout, "health-timeout", &m->health_timeout_ms, e);
	if (k == ERR_OK)
		k = take_time(a->health_start, "health-start-period", &m->health_start_ms, e);
	return k;
}

/* --- create --- */

static enum err_kind write_cidfile(const struct run_args *a, const struct container *c,
				   struct err *e)
{
	AUTO_CLOSE fd = -1;

	if (!a->cidfile)
		return ERR_OK;
	fd = sys_openat(AT_FDCWD, a->cidfile, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, __func__, "write %s", a->cidfile);
	return fd_write_all(fd, c->record.id, strlen(c->record.id), a->cidfile, e);
}

static enum err_kind make(struct cli *c, struct ctl *t, struct container *ret, struct err *e)
{
	struct run_args *a = c->options;
	enum err_kind k = take_all(c, a, e);

	if (k == ERR_OK)
		k = ctl_open(c, t, e);
	if (k == ERR_OK)
		k = network_choose(t, &a->make.network, &a->make.bundle.network, e);
	if (k == ERR_OK)
		k = ctl_make(t, &a->make, ret, e);
	return k == ERR_OK ? write_cidfile(a, ret, e) : k;
}

static int print_id(const struct cli *c, const struct container *one)
{
	struct jv *v = ctl_names(one);

	return report_one(c, &v, one->record.id);
}

static int run_create(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	struct err e;

	return make(c, &t, &one, &e) == ERR_OK ? print_id(c, &one) : cli_fail(&e);
}

static const struct opt create_opts[] = { MAKE_OPTS, OPTS_END };

const struct command cmd_create = {
	.name = "create",
	.run = run_create,
	.opts = create_opts,
	.options_size = sizeof(struct run_args),
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "[OPTION]... IMAGE [COMMAND [ARGUMENT]...]",
	.doc = "make a container without starting it",
};

/* --- run --- */

/* Docker's and podman's statuses for what never ran. */
static int status_of_failure(const struct err *e)
{
	if (strstr(e->msg, "no such file or directory") || strstr(e->msg, "not found in $PATH"))
		return 127;
	return strstr(e->msg, "permission denied") ? 126 : 125;
}

static int fail_to_start(struct ctl *t, struct container *one, const struct err *e)
{
	struct err ignored;

	(void)cli_fail(e);
	if (one->record.auto_remove)
		(void)!ctl_remove(t, one, true, &ignored); /* the failure is told already */
	return status_of_failure(e);
}

/* The shim waits until this connection is closed before it removes by itself. */
static int end_attached(struct ctl *t, struct container *one, enum attach_end end, int code)
{
	struct err e;

	if (end == ATTACH_LEFT)
		return EXIT_FINE;
	if (end == ATTACH_LOST) {
		cli_note("the container's shim went away: berth ps tells what is left");
		return EXIT_FAILED;
	}
	if (!one->record.auto_remove)
		return code;
	if (container_lock(one, &e) != ERR_OK || ctl_remove_ended(t, one, &e) != ERR_OK)
		(void)cli_fail(&e);
	return code;
}

static int run_attached(struct ctl *t, struct container *one, const struct run_args *a)
{
	AUTO_CLOSE fd = -1;
	struct attach attach;
	enum attach_end end;
	struct err e;
	int code;

	if (ctl_start(t, one, &fd, &e) != ERR_OK)
		return fail_to_start(t, one, &e);
	fd_close(&one->lock);
	attach = (struct attach){ .t = t,
				  .c = one,
				  .fd = fd,
				  .with_stdin = a->interactive,
				  .terminal = a->terminal,
				  .pass_signals = true };
	if (attach_run(&attach, &end, &code, &e) != ERR_OK)
		return cli_fail(&e);
	return end_attached(t, one, end, code);
}

static int run_run(struct cli *c)
{
	const struct run_args *a = c->options;
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	struct err e;

	if (c->json && !a->detach)
		return report_refuse(c, "run", "wants --detach: " REPORT_NOT_OURS);
	if (make(c, &t, &one, &e) != ERR_OK) {
		(void)cli_fail(&e);
		return e.kind == ERR_INVALID ? EXIT_USAGE : 125;
	}
	if (!a->detach)
		return run_attached(&t, &one, a);
	if (ctl_start(&t, &one, NULL, &e) != ERR_OK)
		return fail_to_start(&t, &one, &e);
	return print_id(c, &one);
}

static const struct opt run_opts[] = {
	MAKE_OPTS,
	{ "detach", 'd', OPT_FLAG, A(detach), NULL, "do not wait; print its id" },
	OPTS_END,
};

const struct command cmd_run = {
	.name = "run",
	.run = run_run,
	.opts = run_opts,
	.options_size = sizeof(struct run_args),
	.args_max = SIZE_MAX,
	.stops_early = true,
	.usage = "[OPTION]... IMAGE [COMMAND [ARGUMENT]...]",
	.doc = "make a container and start it",
};
