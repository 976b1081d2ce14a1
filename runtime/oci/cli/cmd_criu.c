/* checkpoint, restore. */
#include <sys/prctl.h>

#include "base/fd.h"
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/cli/foreground.h"

#define LOCK_MS 10000
#define IMAGES "checkpoint"

struct criu_args {
	struct criu_options criu;
	const char *bundle, *pid_file, *console_socket;
	bool detach, no_subreaper, no_pivot;
};

#define A(m) offsetof(struct criu_args, m)
#define CRIU_OPTS                                                                                  \
	{ "image-path", 0, OPT_TEXT, A(criu.images), "directory of the images (" IMAGES ")" },     \
	    { "work-path", 0, OPT_TEXT, A(criu.work), "directory of logs (that of the images)" },  \
	    { "tcp-established", 0, OPT_FLAG, A(criu.tcp_established),                             \
	      "keep open TCP connections" },                                                       \
	    { "tcp-close", 0, OPT_FLAG, A(criu.tcp_close), "close open TCP connections" },         \
	    { "ext-unix-sk", 0, OPT_FLAG, A(criu.ext_unix_sk),                                     \
	      "allow unix sockets to the outside" },                                               \
	    { "shell-job", 0, OPT_FLAG, A(criu.shell_job), "allow jobs of a shell" },              \
	    { "file-locks", 0, OPT_FLAG, A(criu.file_locks), "handle file locks" },                \
	    { "lazy-pages", 0, OPT_FLAG, A(criu.lazy_pages), "pages on demand, by userfaultfd" },  \
	    { "auto-dedup", 0, OPT_FLAG, A(criu.auto_dedup), "drop pages of earlier images" },     \
	    { "manage-cgroups-mode", 0, OPT_TEXT, A(criu.manage_cgroups),                          \
	      "soft, full, strict or ignore" },                                                    \
	{                                                                                          \
		"empty-ns", 0, OPT_TEXT, A(criu.empty_ns), "make this namespace (network) empty"   \
	}

static const struct opt checkpoint_opts[] = {
	CRIU_OPTS,
	{ "parent-path", 0, OPT_TEXT, A(criu.parent), "images of an earlier checkpoint" },
	{ "leave-running", 0, OPT_FLAG, A(criu.leave_running), "let the container go on" },
	{ "pre-dump", 0, OPT_FLAG, A(criu.pre_dump), "memory only; the container goes on" },
	{ "page-server", 0, OPT_TEXT, A(criu.page_server), "ADDRESS:PORT that takes the pages" },
	OPTS_END,
};

static const struct opt restore_opts[] = {
	CRIU_OPTS,
	{ "bundle", 'b', OPT_TEXT, A(bundle), "directory of config.json (.)" },
	{ "pid-file", 0, OPT_TEXT, A(pid_file), "file for the pid of the process" },
	{ "console-socket", 0, OPT_TEXT, A(console_socket), "refused: no terminal is restored" },
	{ "detach", 'd', OPT_FLAG, A(detach), "do not wait for the process" },
	{ "no-subreaper", 0, OPT_FLAG, A(no_subreaper), "do not adopt orphans of the container" },
	{ "no-pivot", 0, OPT_FLAG, A(no_pivot), "taken for runc's sake: criu chooses" },
	{ "lsm-profile", 0, OPT_TEXT, A(criu.lsm_profile), "TYPE:NAME of a security module" },
	{ "lsm-mount-context", 0, OPT_TEXT, A(criu.lsm_mount_context), "SELinux label of mounts" },
	OPTS_END,
};

static struct criu_options options_of(const struct cli *c)
{
	struct criu_options o = ((const struct criu_args *)c->options)->criu;

	o.program = c->criu ? c->criu : "criu";
	if (!o.images)
		o.images = IMAGES;
	return o;
}

static enum err_kind checkpoint(struct cli *c, struct err *e)
{
	const struct criu_options o = options_of(c);
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	AUTO_SPEC s = { 0 };
	enum err_kind k = cli_open_container(c, &container, e);
	enum status status;

	if (k == ERR_OK)
		k = container_lock(&container, LOCK_MS, e);
	if (k != ERR_OK)
		return k;
	status = container_status(&container);
	if (status != STATUS_RUNNING && status != STATUS_PAUSED)
		return err_set(e, ERR_INVALID, __func__,
			       "Container cannot be checkpointed in %s state", status_text(status));
	k = runtime_read_spec(&container, &s, e);
	if (k == ERR_OK)
		k = criu_dump(&o, &s, &container, &c->arena, e);
	if (k == ERR_OK && !o.leave_running && !o.pre_dump)
		k = runtime_delete(&c->rt, &container, true, e);
	return k;
}

static int run_checkpoint(struct cli *c)
{
	struct err e;

	return checkpoint(c, &e) == ERR_OK ? EXIT_OK : cli_fail("", &e);
}

const struct command cmd_checkpoint = {
	.name = "checkpoint",
	.run = run_checkpoint,
	.opts = checkpoint_opts,
	.options_size = sizeof(struct criu_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "write the state of a running container to images, by criu",
};

/* ---- restore ---- */

static enum err_kind wait_for_end(struct cli *c, struct container *container, int *ret_status,
				  struct err *e)
{
	enum err_kind k;

	fd_close(&container->lock); /* others may pause, update or delete it while it runs */
	k = foreground_wait(container->state.pid, -1, ret_status, e);
	if (k == ERR_OK)
		k = container_lock(container, LOCK_MS, e);
	if (k == ERR_OK)
		k = runtime_delete(&c->rt, container, true, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}

static enum err_kind restore(struct cli *c, int *ret_status, struct err *e)
{
	const struct criu_args *a = c->options;
	const struct criu_options criu = options_of(c);
	const struct create_options o = { .bundle = a->bundle,
					  .pid_file = a->pid_file,
					  .console_fd = -1,
					  .detaches = a->detach,
					  .restore = &criu };
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	AUTO_SPEC s = { 0 };
	enum err_kind k = cli_open_root(c, true, e);

	*ret_status = EXIT_OK;
	if (k == ERR_OK && a->console_socket)
		k = err_set(e, ERR_UNSUPPORTED, __func__,
			    "--console-socket: restore hands on no terminal");
	if (!a->no_subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (k == ERR_OK && !a->detach)
		k = foreground_begin(e);
	if (k == ERR_OK)
		k = runtime_create(&c->rt, c->args[0], &o, &c->arena, &container, e);
	if (k == ERR_OK && container.state.has_poststart)
		k = runtime_read_spec(&container, &s, e);
	if (k == ERR_OK)
		k = runtime_run_hooks(&c->rt, &s, &container.state, HOOK_POSTSTART, e);
	if (k == ERR_OK && !a->detach)
		k = wait_for_end(c, &container, ret_status, e);
	return k;
}

static int run_restore(struct cli *c)
{
	struct err e;
	int status;

	return restore(c, &status, &e) == ERR_OK ? status : cli_fail("", &e);
}

const struct command cmd_restore = {
	.name = "restore",
	.run = run_restore,
	.opts = restore_opts,
	.options_size = sizeof(struct criu_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "make a container from images of checkpoint, by criu",
};
