#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/fd.h"
#include "runtime/oci/cgroup/systemd.h"
#include "runtime/oci/run/ids.h"
#include "runtime/oci/run/launch.h"
#include "runtime/oci/run/netdev.h"
#include "runtime/oci/run/rdt.h"
#include "runtime/oci/run/runtime.h"

/* One creation under way, and what has to be taken back if it fails. */
struct creation {
	struct runtime *rt;
	const struct create_options *o;
	struct arena *arena;
	struct container *c;
	struct spec spec;
	struct layout layout;
	struct filter filter;
	struct plan_options plan_options;
	struct plan plan;
	struct launch launch;
	int start_socket, console_socket, agent;
	bool made_cgroup, began_hooks;
};

/* ---- before anything is made ---- */

static enum err_kind bundle_path(const char *bundle, struct arena *a, const char **ret,
				 struct err *e)
{
	char path[PATH_MAX];
	struct stat st;

	if (!realpath(bundle, path) || stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(e, ERR_NOT_FOUND, __func__, "chdir %s: %s", bundle,
			       errno == EACCES ? "permission denied" : "no such file or directory");
	*ret = arena_text(a, str_of(path));
	return *ret ? ERR_OK : plan_no_memory(e);
}

static enum err_kind read_config(const char *bundle, struct sbuf *text, struct err *e)
{
	AUTO_CLOSE dir = open(bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	enum err_kind k;

	if (dir < 0)
		return err_sys(e, __func__, "open %s", bundle);
	k = fd_read_file(dir, "config.json", text, e);
	if (k == ERR_NOT_FOUND)
		return err_set(e, k, __func__, "JSON specification file config.json not found");
	return k;
}

/* An ordinary user can do nothing without a user namespace, so a config.json that names none gets one. */
static enum err_kind add_user_namespace(struct creation *cr, struct err *e)
{
	struct spec_linux *l = &cr->spec.linux_;
	struct spec_namespace *list;

	if (cr->rt->host.may_mount || cr->rt->host.euid == 0 ||
	    spec_has_namespace(&cr->spec, NS_USER))
		return ERR_OK;
	list = arena_array(cr->arena, l->namespaces.n + 1, sizeof(*list));
	if (!list)
		return plan_no_memory(e);
	if (l->namespaces.n)
		memcpy(list, l->namespaces.v, l->namespaces.n * sizeof(*list));
	list[l->namespaces.n++] = (struct spec_namespace){ .kind = NS_USER };
	l->namespaces.v = list;
	return ids_default_maps(&cr->rt->host, cr->arena, &l->uid_mappings, &l->gid_mappings, e);
}

static enum err_kind check_terminal(const struct creation *cr, struct err *e)
{
	const struct spec_process *p = cr->spec.process;
	bool has_socket = cr->o->console_socket || cr->o->console_fd >= 0;

	if (p && p->terminal && !has_socket && cr->o->detaches)
		return err_set(e, ERR_INVALID, __func__,
			       "cannot allocate tty if berth-runtime will detach without setting "
			       "console socket");
	if ((!p || !p->terminal) && cr->o->console_socket)
		return err_set(e, ERR_INVALID, __func__,
			       "cannot use console socket if berth-runtime will not detach or "
			       "allocate tty");
	return ERR_OK;
}

static enum err_kind root_path(struct creation *cr, struct err *e)
{
	struct plan_options *po = &cr->plan_options;
	const char *path = cr->spec.root.path;
	char real[PATH_MAX];

	if (path[0] != '/')
		path = arena_printf(cr->arena, "%s/%s", po->bundle, path);
	if (!path)
		return plan_no_memory(e);
	if (!realpath(path, real))
		return err_sys(e, __func__, "root.path: %s", path);
	po->rootfs = arena_text(cr->arena, str_of(real));
	return po->rootfs ? ERR_OK : plan_no_memory(e);
}

static enum err_kind read_spec(struct creation *cr, struct sbuf *text, const char *id,
			       struct err *e)
{
	struct plan_options *po = &cr->plan_options;
	enum err_kind k =
	    bundle_path(cr->o->bundle ? cr->o->bundle : ".", cr->arena, &po->bundle, e);

	if (k == ERR_OK)
		k = read_config(po->bundle, text, e);
	if (k == ERR_OK)
		k = spec_parse((struct str){ text->p, text->n }, &cr->spec, e);
	if (k == ERR_OK)
		k = add_user_namespace(cr, e);
	if (k == ERR_OK)
		k = cr->o->restore ? criu_check_restore(&cr->spec, e) : check_terminal(cr, e);
	if (k != ERR_OK)
		return k;
	po->id = id;
	k = root_path(cr, e);
	if (k != ERR_OK)
		return k;
	po->no_pivot = cr->o->no_pivot;
	po->no_new_keyring = cr->o->no_new_keyring;
	po->preserve_fds = cr->o->preserve_fds;
	po->listen_fds = runtime_listen_fds();
	po->notify_socket = getenv("NOTIFY_SOCKET");
	po->is_dry_run = cr->o->dry_run != NULL;
	return ERR_OK;
}

static enum err_kind plan_cgroups(struct creation *cr, struct cgroup *cg, const char *id,
				  struct err *e)
{
	enum err_kind k = layout_read(cr->arena, &cr->layout, e);

	if (k == ERR_OK)
		k = cgroup_plan(&cr->layout, &cr->spec, id, cr->rt->manager_systemd, cr->arena, cg,
				e);
	cr->plan_options.layout = &cr->layout;
	cr->plan_options.cgroup = cg;
	return k;
}

static enum err_kind build_plan(struct creation *cr, struct err *e)
{
	enum err_kind k = runtime_filter(cr->rt, &cr->spec, cr->arena, &cr->filter, &cr->agent, e);

	cr->plan_options.filter = cr->spec.linux_.seccomp ? &cr->filter : NULL;
	cr->plan_options.listener_socket = cr->agent;
	cr->plan_options.console_socket = cr->console_socket;
	if (k == ERR_OK)
		k = plan_build(&cr->spec, &cr->rt->host, &cr->plan_options, cr->arena, &cr->plan,
			       e);
	return k;
}

static enum err_kind dry_run(struct creation *cr, const char *id, struct err *e)
{
	struct cgroup cg;
	enum err_kind k = plan_cgroups(cr, &cg, id, e);

	if (k == ERR_OK)
		k = build_plan(cr, e);
	if (k != ERR_OK)
		return k;
	for (size_t i = 0; i < cg.n; i++)
		sbuf_addf(cr->o->dry_run, "join cgroup %s\n", cg.dirs[i].path);
	plan_print(&cr->plan, cr->o->dry_run);
	return cr->o->dry_run->failed ? plan_no_memory(e) : ERR_OK;
}

/* ---- making ---- */

static enum err_kind record(struct creation *cr, const struct sbuf *config, struct err *e)
{
	struct state *st = &cr->c->state;
	char *now = arena_get(cr->arena, TIME_TEXT_MAX);
	enum err_kind k;

	if (!now)
		return plan_no_memory(e);
	st->version = cr->spec.version;
	st->id = cr->c->id;
	st->bundle = cr->plan_options.bundle;
	st->rootfs = cr->plan_options.rootfs;
	st->created = time_text(wall_ms(), now);
	st->owner = cr->rt->host.euid;
	st->has_process = cr->spec.process != NULL;
	st->has_terminal = st->has_process && cr->spec.process->terminal;
	st->has_poststart = cr->spec.hooks[HOOK_POSTSTART].n > 0;
	st->has_poststop = cr->spec.hooks[HOOK_POSTSTOP].n > 0;
	st->annotations.v = cr->spec.annotations.v;
	st->annotations.n = cr->spec.annotations.n;
	k = container_save_file(cr->c, "config.json", (struct str){ config->p, config->n }, e);
	return k == ERR_OK ? container_save(cr->c, e) : k;
}

static enum err_kind make_cgroups(struct creation *cr, struct err *e)
{
	struct cgroup *cg = &cr->c->state.cgroup;
	enum err_kind k;

	if (cr->rt->manager_systemd)
		return ERR_OK; /* systemd makes the group around the process */
	cr->made_cgroup = true;
	k = cgroup_make(cg, e);
	if (k == ERR_OK && cr->spec.linux_.resources && !(cg->is_optional && cg->n == 0))
		k = cgroup_apply(cg, cr->spec.linux_.resources, cr->arena, e);
	return k;
}

static enum err_kind open_sockets(struct creation *cr, struct err *e)
{
	enum err_kind k = container_bind_start(cr->c, &cr->start_socket, e);

	cr->console_socket = cr->o->console_fd;
	if (k != ERR_OK || !cr->o->console_socket)
		return k;
	cr->console_socket = -1;
	k = runtime_connect(cr->o->console_socket, &cr->console_socket, e);
	return k == ERR_OK ? k : err_wrap(e, "--console-socket");
}

/* All that is done to the process from outside, while it waits. */
static enum err_kind prepare_process(struct creation *cr, struct err *e)
{
	struct state *st = &cr->c->state;
	pid_t pid = cr->launch.pid;
	enum err_kind k = ERR_OK;

	st->pid = pid;
	if (!process_start_time(pid, &st->start_time))
		return err_set(e, ERR_IO, __func__, "the container's process is gone");
	if (cr->rt->manager_systemd) {
		cr->made_cgroup = true;
		k = cgroup_systemd_make(cr->rt->helper, &cr->layout, &cr->spec, st->id, pid,
					cr->arena, &st->cgroup, e);
		if (k == ERR_OK && cr->spec.linux_.resources)
			k = cgroup_apply(&st->cgroup, cr->spec.linux_.resources, cr->arena, e);
	} else {
		k = cgroup_join(&st->cgroup, pid, e);
	}
	if (k == ERR_OK)
		k = launch_set_oom_score(pid, cr->spec.process, &cr->rt->host, e);
	if (k == ERR_OK)
		k = rdt_make(cr->spec.linux_.intel_rdt, st, pid, cr->arena, e);
	if (k == ERR_OK)
		k = netdev_move(&cr->spec, pid, e);
	if (k == ERR_OK && (st->cgroup.unit || st->rdt_group))
		k = container_save(cr->c, e); /* delete must know of them from now on */
	return k;
}

static enum err_kind run_create_hooks(struct creation *cr, struct err *e)
{
	const struct state *st = &cr->c->state;
	enum err_kind k;

	cr->began_hooks = true;
	k = runtime_run_hooks(cr->rt, &cr->spec, st, HOOK_PRESTART, e);
	return k == ERR_OK ? runtime_run_hooks(cr->rt, &cr->spec, st, HOOK_CREATE_RUNTIME, e) : k;
}

static enum err_kind commit(struct creation *cr, struct err *e)
{
	enum err_kind k = ERR_OK;

	cr->c->state.is_committed = true;
	if (cr->o->pid_file)
		k = runtime_write_pid_file(cr->o->pid_file, cr->launch.pid, e);
	return k == ERR_OK ? container_save(cr->c, e) : k;
}

/* The runtime's half of sync.h. */
static enum err_kind serve(struct creation *cr, struct err *e)
{
	struct launch *l = &cr->launch;
	enum err_kind k = launch_go(l, e);

	while (k == ERR_OK) {
		struct sync_msg m;
		enum sync_type answer = SYNC_END;

		k = launch_next(l, &m, e);
		if (k != ERR_OK || m.type == SYNC_LISTENING)
			break;
		switch ((enum sync_type)m.type) {
		case SYNC_HOOKS:
			k = run_create_hooks(cr, e);
			answer = SYNC_HOOKS_DONE;
			break;
		case SYNC_LIMITS:
			k = launch_set_limits(l->pid, cr->spec.process, e);
			answer = SYNC_LIMITS_DONE;
			break;
		case SYNC_READY:
			k = commit(cr, e);
			answer = SYNC_COMMITTED;
			break;
		case SYNC_END:
		case SYNC_MAPS:
		case SYNC_MAPS_DONE:
		case SYNC_PID:
		case SYNC_GO:
		case SYNC_HOOKS_DONE:
		case SYNC_LIMITS_DONE:
		case SYNC_COMMITTED:
		case SYNC_LISTENING:
		case SYNC_START:
		case SYNC_EXEC:
		case SYNC_ERROR:
			return err_set(e, ERR_IO, __func__, "the container's process ended early");
		}
		if (k == ERR_OK)
			k = launch_answer(l, answer, e);
	}
	return k;
}

static enum err_kind restore(struct creation *cr, struct err *e)
{
	struct state *st = &cr->c->state;
	enum err_kind k = criu_restore(cr->o->restore, &cr->spec, cr->c, cr->arena, &st->pid, e);

	if (k != ERR_OK)
		return k;
	cr->launch.pid = st->pid;
	if (!process_start_time(st->pid, &st->start_time))
		return err_set(e, ERR_IO, __func__, "the restored process is gone");
	return commit(cr, e);
}

static enum err_kind make(struct creation *cr, const struct sbuf *config, struct err *e)
{
	struct container *c = cr->c;
	enum err_kind k = plan_cgroups(cr, &c->state.cgroup, c->id, e);

	cr->plan_options.state_dir = c->dir;
	if (k == ERR_OK)
		k = record(cr, config, e);
	if (k == ERR_OK)
		k = make_cgroups(cr, e);
	if (cr->o->restore)
		return k == ERR_OK ? restore(cr, e) : k;
	if (k == ERR_OK)
		k = open_sockets(cr, e);
	if (k == ERR_OK)
		k = build_plan(cr, e);
	if (k == ERR_OK)
		k = launch_spawn(&cr->plan, &cr->rt->host, cr->start_socket, c->lock, &cr->launch,
				 e);
	if (k == ERR_OK)
		k = prepare_process(cr, e);
	return k == ERR_OK ? serve(cr, e) : k;
}

static void give_warnings(struct creation *cr)
{
	struct str rest = { cr->plan.warnings.p, cr->plan.warnings.n }, line;
	char text[512];

	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_copy(line, text, sizeof(text)) && text[0])
			cr->rt->warn(text);
	}
}

/* Everything back, in the opposite order; what went wrong first is what the caller hears of. */
static void undo(struct creation *cr)
{
	struct state *st = &cr->c->state;
	struct err ignored;

	launch_end(&cr->launch, true);
	if (cr->made_cgroup) {
		(void)!cgroup_signal(&st->cgroup, SIGKILL, &ignored);
		(void)!cgroup_remove(&st->cgroup, &ignored);
		if (st->cgroup.unit)
			(void)!cgroup_systemd_stop(cr->rt->helper, &st->cgroup, &ignored);
	}
	rdt_remove(st);
	(void)!container_remove(cr->c, &ignored);
	if (cr->began_hooks)
		(void)!runtime_run_hooks(cr->rt, &cr->spec, st, HOOK_POSTSTOP, &ignored);
}

static void end(struct creation *cr)
{
	fd_close(&cr->start_socket);
	if (cr->o->console_socket)
		fd_close(&cr->console_socket);
	fd_close(&cr->agent);
	plan_clear(&cr->plan);
	launch_end(&cr->launch, false);
	spec_clear(&cr->spec);
}

enum err_kind runtime_create(struct runtime *rt, const char *id, const struct create_options *o,
			     struct arena *a, struct container *c, struct err *e)
{
	struct creation cr = { .rt = rt,
			       .o = o,
			       .arena = a,
			       .c = c,
			       .launch = { .sync = -1, .pidfd = -1 },
			       .plan = { .root_tree = -1, .root_dir = -1 },
			       .start_socket = -1,
			       .console_socket = -1,
			       .agent = -1 };
	AUTO_SBUF config;
	enum err_kind k = ERR_OK;

	sbuf_init(&config, SPEC_BYTES_MAX);
	if (!container_id_is_valid(id))
		k = err_set(e, ERR_INVALID, __func__, "invalid container ID format");
	if (k == ERR_OK)
		k = read_spec(&cr, &config, id, e);
	if (k == ERR_OK && o->dry_run)
		k = dry_run(&cr, id, e);
	if (k == ERR_OK && !o->dry_run) {
		k = container_new(rt->root, id, a, c, e);
		if (k == ERR_OK) {
			k = make(&cr, &config, e);
			if (k != ERR_OK)
				undo(&cr);
		}
	}
	give_warnings(&cr);
	end(&cr);
	return k;
}
