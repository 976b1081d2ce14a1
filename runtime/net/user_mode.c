#include "runtime/net/user_mode.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "runtime/net/exec.h"
#include "runtime/net/keep.h"

#define PROGRAM "pasta"
#define DIR_NAME "pasta"
#define TUN "/dev/net/tun"
#define HOST_UID_MAP "         0          0 4294967295\n"
#define START_MS 10000u
#define END_MS 5000
#define PATH_TEXT_MAX 512
#define PORT_TEXT_MAX 128
#define CMDLINE_MAX 65536
#define PORTS_MAX 100 /* two arguments each, of EXEC_ARGS_MAX */

static const char *const program_dirs[] = { "/usr/bin", "/usr/local/bin", "/bin" };

/* A file of the kernel as text. */
static bool read_proc(const char *path, struct sbuf *b)
{
	AUTO_CLOSE fd = -1;
	struct err ignored;

	return fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &ignored) == ERR_OK &&
	       fd_read_rest(fd, b, path, &ignored) == ERR_OK;
}

bool user_mode_is_needed(void)
{
	AUTO_SBUF map;

	sbuf_init(&map, 4096);
	return geteuid() != 0 ||
	       (read_proc("/proc/self/uid_map", &map) && strcmp(map.p, HOST_UID_MAP) != 0);
}

static enum err_kind find_program(char ret[static EXEC_PATH_MAX], struct err *e)
{
	if (exec_find(STR(PROGRAM), program_dirs, ARRAY_LEN(program_dirs), ret, e) == ERR_OK)
		return ERR_OK;
	return err_wrap(e,
			"networks of an ordinary user need " PROGRAM " (Debian's package passt)");
}

enum err_kind user_mode_probe(struct err *e)
{
	char path[EXEC_PATH_MAX];
	enum err_kind k = find_program(path, e);
	AUTO_CLOSE tun = k == ERR_OK ? sys_openat(AT_FDCWD, TUN, O_RDWR | O_CLOEXEC, 0) : -1;

	return k == ERR_OK && tun < 0 ? err_sys(e, __func__, PROGRAM " needs " TUN) : k;
}

static void pid_path(const struct cni_options *o, const char *name, char ret[static PATH_TEXT_MAX])
{
	(void)snprintf(ret, PATH_TEXT_MAX, "%s/" DIR_NAME "/%s", o->state_dir, name);
}

/* ---- up ---- */

struct arguments {
	const char *p[EXEC_ARGS_MAX + 1];
	size_t n;
	char ports[PORTS_MAX][PORT_TEXT_MAX];
	size_t n_ports;
};

static enum err_kind add_port(struct arguments *a, const struct jv *mapping, struct err *e)
{
	struct str protocol = STR("tcp"), ip = { "", 0 };
	uint64_t outer = 0, inner = 0;
	bool udp;

	(void)jv_text(jv_member(mapping, "protocol"), &protocol);
	(void)jv_text(jv_member(mapping, "hostIP"), &ip);
	(void)jv_uint(jv_member(mapping, "hostPort"), &outer);
	(void)jv_uint(jv_member(mapping, "containerPort"), &inner);
	udp = str_eq(protocol, STR("udp"));
	if (!udp && !str_eq(protocol, STR("tcp")))
		return err_set(e, ERR_UNSUPPORTED, __func__, PROGRAM " does not publish %.*s",
			       (int)MIN(protocol.n, (size_t)16), protocol.p);
	if (a->n_ports == PORTS_MAX)
		return err_set(e, ERR_TOO_LARGE, __func__, PROGRAM " publishes %d ports at most",
			       PORTS_MAX);
	(void)snprintf(a->ports[a->n_ports], PORT_TEXT_MAX, "%.*s%s%llu:%llu", STR_FMT(ip),
		       ip.n ? "/" : "", (unsigned long long)outer, (unsigned long long)inner);
	a->p[a->n++] = udp ? "-u" : "-t";
	a->p[a->n++] = a->ports[a->n_ports++];
	return ERR_OK;
}

static bool has_protocol(const struct jv *ports, struct str wanted)
{
	struct str protocol;

	for (size_t i = 0; i < jv_count(ports); i++) {
		protocol = STR("tcp");
		(void)jv_text(jv_member(jv_at(ports, i), "protocol"), &protocol);
		if (str_eq(protocol, wanted))
			return true;
	}
	return false;
}

/* What is not said it would choose from what the host listens on. */
static void add_fixed(struct arguments *a, const struct user_mode *u, const char *pid_file)
{
	const char *const fixed[] = { "--config-net", "--quiet", "--no-map-gw", "-T",
				      "none",         "-U",      "none",        "--ns-ifname",
				      u->ifname.s,    "--pid",   pid_file };

	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		a->p[a->n++] = fixed[i];
	if (!has_protocol(u->ports, STR("tcp"))) {
		a->p[a->n++] = "-t";
		a->p[a->n++] = "none";
	}
	if (!has_protocol(u->ports, STR("udp"))) {
		a->p[a->n++] = "-u";
		a->p[a->n++] = "none";
	}
}

static enum err_kind make_dir(const struct cni_options *o, struct err *e)
{
	AUTO_CLOSE state = -1;
	enum err_kind k = fd_mkdir_at(AT_FDCWD, o->state_dir, 0700, e);

	if (k == ERR_OK)
		k = fd_open_at(AT_FDCWD, o->state_dir, O_RDONLY | O_DIRECTORY, 0, &state, e);
	return k == ERR_OK ? fd_mkdir_at(state, DIR_NAME, 0700, e) : k;
}

static enum err_kind start(const char *path, const char *const *args, struct err *e)
{
	struct exec_call call = {
		.path = path, .args = args, .env = environ, .timeout_ms = START_MS, .keep_fd = -1
	};
	AUTO_EXEC_OUTPUT o;
	struct str said;
	enum err_kind k;

	exec_output_init(&o);
	k = exec_run(&call, &o, e);
	if (k != ERR_OK || o.status == 0)
		return k;
	said = (struct str){ o.log.p ? o.log.p : "", o.log.n };
	return err_set(e, ERR_IO, __func__, PROGRAM " failed: %.*s", (int)MIN(said.n, (size_t)160),
		       said.p);
}

enum err_kind user_mode_up(const struct cni_options *o, const struct user_mode *u, struct err *e)
{
	char path[EXEC_PATH_MAX], pid_file[PATH_TEXT_MAX], pid[24];
	struct arguments a = { .n = 0 };
	enum err_kind k = find_program(path, e);

	if (k != ERR_OK)
		return k;
	pid_path(o, u->container.s, pid_file);
	(void)snprintf(pid, sizeof(pid), "%d", (int)u->pid);
	add_fixed(&a, u, pid_file);
	for (size_t i = 0; k == ERR_OK && i < jv_count(u->ports); i++)
		k = add_port(&a, jv_at(u->ports, i), e);
	if (u->netns)
		a.p[a.n++] = "--netns";
	a.p[a.n++] = u->netns ? u->netns : pid;
	if (k == ERR_OK)
		k = make_dir(o, e);
	return k == ERR_OK ? start(path, a.p, e) : k;
}

/* ---- down ---- */

/* The process whose number the file has, and its arguments. */
static bool read_process(const char *pid_file, pid_t *ret, struct sbuf *cmdline)
{
	AUTO_SBUF number;
	char path[64];
	struct str text;
	uint64_t pid;

	sbuf_init(&number, 64);
	if (!read_proc(pid_file, &number))
		return false;
	text = (struct str){ number.p, number.n };
	if (!scan_u64(&text, INT32_MAX, &pid) || pid == 0)
		return false;
	(void)snprintf(path, sizeof(path), "/proc/%llu/cmdline", (unsigned long long)pid);
	*ret = (pid_t)pid;
	return read_proc(path, cmdline);
}

/* The process that bears the file's path among its arguments; its last argument is the container. */
static bool find_process(const char *pid_file, pid_t *ret, char ret_container[static PATH_TEXT_MAX])
{
	struct str rest, last = { "", 0 }, part;
	AUTO_SBUF cmdline;
	bool ours = false;

	sbuf_init(&cmdline, CMDLINE_MAX);
	if (!read_process(pid_file, ret, &cmdline))
		return false;
	rest = (struct str){ cmdline.p, cmdline.n };
	while (rest.n) {
		(void)str_cut(rest, '\0', &part, &rest);
		ours = ours || str_eq(part, str_of(pid_file));
		last = part.n ? part : last;
	}
	return ours && str_copy(last, ret_container, PATH_TEXT_MAX);
}

/* Its ports are free when it has ended. */
static enum err_kind end_and_wait(int fd, pid_t pid, struct err *e)
{
	static const int signals[] = { SIGTERM, SIGKILL };
	struct pollfd set = { .fd = fd, .events = POLLIN };

	for (size_t i = 0; i < ARRAY_LEN(signals); i++) {
		if (syscall(SYS_pidfd_send_signal, fd, signals[i], NULL, 0) < 0 && errno != ESRCH)
			return err_sys(e, __func__, "end process %d", (int)pid);
		if (poll(&set, 1, END_MS) > 0)
			return ERR_OK;
	}
	return err_set(e, ERR_IO, __func__, "process %d of " PROGRAM " does not end", (int)pid);
}

/* By a descriptor that was opened before the process was looked at, so it is that one or none. */
static enum err_kind end_process(const char *pid_file, struct err *e)
{
	char container[PATH_TEXT_MAX];
	AUTO_CLOSE fd = -1;
	pid_t pid, again;

	if (!find_process(pid_file, &pid, container))
		return ERR_OK;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0 && errno == ESRCH)
		return ERR_OK;
	if (fd < 0)
		return err_sys(e, __func__, "watch process %d", (int)pid);
	if (!find_process(pid_file, &again, container) || again != pid)
		return ERR_OK;
	return end_and_wait(fd, pid, e);
}

enum err_kind user_mode_down(const struct cni_options *o, const struct container_id *container,
			     struct err *e)
{
	char pid_file[PATH_TEXT_MAX];
	enum err_kind k;

	pid_path(o, container->s, pid_file);
	k = end_process(pid_file, e);
	if (k == ERR_OK && sys_unlinkat(AT_FDCWD, pid_file, 0) < 0 && errno != ENOENT)
		k = err_sys(e, __func__, "remove %s", pid_file);
	return k;
}

/* ---- what it publishes ---- */

/* "IP/OUTER:INNER" or "OUTER:INNER", as add_port wrote it; false for anything else, as "none". */
static bool append_port(struct jv *all, struct str in, const char *protocol)
{
	struct str ip = { "", 0 }, rest, before;
	uint64_t outer, inner;
	AUTO_JV *o = NULL;

	if (str_cut(in, '/', &before, &rest)) {
		ip = before;
		in = rest;
	}
	if (!scan_u64(&in, UINT16_MAX, &outer) || !scan_char(&in, ':') ||
	    !scan_u64(&in, UINT16_MAX, &inner) || !scan_end(&in))
		return false;
	o = jv_pack("{s:I,s:I,s:s}", "hostPort", (int64_t)outer, "containerPort", (int64_t)inner,
		    "protocol", protocol);
	if (ip.n && !jv_set(o, "hostIP", jv_pack("s%", ip.p, ip.n)))
		return false;
	return jv_append(all, TAKE(o));
}

bool user_mode_ports(const struct cni_options *o, const struct container_id *container,
		     struct jv **ret)
{
	AUTO_JV *all = jv_new_array();
	const char *protocol = NULL;
	char pid_file[PATH_TEXT_MAX];
	bool ours = false;
	AUTO_SBUF cmdline;
	struct str rest, part;
	pid_t pid;

	sbuf_init(&cmdline, CMDLINE_MAX);
	pid_path(o, container->s, pid_file);
	if (!all || !read_process(pid_file, &pid, &cmdline))
		return false;
	for (rest = (struct str){ cmdline.p, cmdline.n }; rest.n;) {
		(void)str_cut(rest, '\0', &part, &rest);
		if (protocol)
			(void)!append_port(all, part, protocol);
		ours = ours || str_eq(part, str_of(pid_file));
		protocol = str_eq(part, STR("-t")) ? "tcp" : str_eq(part, STR("-u")) ? "udp" : NULL;
	}
	if (ours)
		*ret = TAKE(all);
	return ours;
}

/* ---- sweeping ---- */

/* As the last argument has it. */
static bool container_is_alive(const struct cni_options *o, const char *container)
{
	struct str number = str_of(container);
	uint64_t pid;

	if (scan_u64(&number, INT32_MAX, &pid) && scan_end(&number))
		return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
	return keep_is_alive(o, container);
}

static enum err_kind sweep_one(void *arg, const char *name, struct err *e)
{
	const struct cni_options *o = arg;
	struct container_id container;
	char pid_file[PATH_TEXT_MAX], of[PATH_TEXT_MAX];
	struct err ignored;
	pid_t pid;

	pid_path(o, name, pid_file);
	if (container_id_parse(str_of(name), &container, &ignored) != ERR_OK ||
	    (find_process(pid_file, &pid, of) && container_is_alive(o, of)))
		return ERR_OK;
	return user_mode_down(o, &container, e);
}

enum err_kind user_mode_sweep(const struct cni_options *o, struct err *e)
{
	char dir[PATH_TEXT_MAX];
	enum err_kind k;

	pid_path(o, "", dir);
	k = fd_list_dir(AT_FDCWD, dir, sweep_one, (void *)(uintptr_t)o, e);
	return k == ERR_NOT_FOUND ? ERR_OK : k;
}
