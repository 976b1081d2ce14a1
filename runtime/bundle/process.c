/* What runs: arguments, environment, working directory, limits of the process. */
#include <sys/resource.h>

#include "base/fd.h"
#include "runtime/bundle/bundle_impl.h"

#define ENTRYPOINT_DEPTH_MAX 2
#define ENV_FILE_MAX (1u * 1024 * 1024)
#define PATH_PRESET "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- Arguments --- */

static bool add_all(struct making *m, const struct text_list *from)
{
	for (size_t i = 0; i < from->n; i++) {
		if (!arena_list_add(m->arena, &m->command, from->v[i]))
			return false;
	}
	return true;
}

static bool add_config_list(struct making *m, const struct config_list *from)
{
	for (size_t i = 0; i < from->n; i++) {
		if (!arena_list_add(m->arena, &m->command, from->v[i]))
			return false;
	}
	return true;
}

/* A program, or as podman has it a JSON list of one with arguments. */
static bool add_entrypoint(struct making *m, const char *text)
{
	AUTO_JV *list = NULL;
	struct err ignored;
	struct str word;

	if (text[0] != '[' ||
	    jv_parse_array(str_of(text), ENTRYPOINT_DEPTH_MAX, &list, &ignored) != ERR_OK)
		return arena_list_add(m->arena, &m->command, text);
	for (size_t i = 0; i < jv_count(list); i++) {
		const char *copy =
		    jv_text(jv_at(list, i), &word) ? arena_text(m->arena, word) : NULL;

		if (!copy || !arena_list_add(m->arena, &m->command, copy))
			return false;
	}
	return true;
}

/* Another entry point takes no arguments that were meant for the image's. */
static enum err_kind make_command(struct making *m, struct err *e)
{
	const struct bundle_options *o = m->o;
	bool ok = true;

	if (o->init)
		ok = arena_list_add(m->arena, &m->command, "/run/berth-init") &&
		     arena_list_add(m->arena, &m->command, "--");
	if (o->entrypoint && *o->entrypoint)
		ok = ok && add_entrypoint(m, o->entrypoint);
	else if (!o->entrypoint && m->image)
		ok = ok && add_config_list(m, &m->image->entrypoint);
	if (o->args.n)
		ok = ok && add_all(m, &o->args);
	else if (!o->entrypoint && m->image)
		ok = ok && add_config_list(m, &m->image->cmd);
	if (!ok)
		return making_no_memory(e);
	if (m->command.n == (o->init ? 2u : 0u))
		return err_set(e, ERR_INVALID, __func__,
			       "the image says not what to run: add a command");
	return ERR_OK;
}

/* --- Environment --- */

/* In place of an earlier one of that name. */
static bool set_env(struct making *m, const char *pair)
{
	size_t n = strcspn(pair, "=") + 1;

	for (size_t i = 0; i < m->env.n; i++) {
		if (strncmp(m->env.v[i], pair, n) == 0) {
			m->env.v[i] = pair;
			return true;
		}
	}
	return arena_list_add(m->arena, &m->env, pair);
}

/* All of our own whose names begin so. */
static enum err_kind take_own(struct making *m, struct str prefix, struct err *e)
{
	for (char **pair = environ; *pair; pair++) {
		if (str_starts(str_of(*pair), prefix) && !set_env(m, *pair))
			return making_no_memory(e);
	}
	return ERR_OK;
}

/* "NAME=VALUE", "NAME" for what our own environment says, if it says anything, or "NAME*" as podman has it. */
static enum err_kind take_env(struct making *m, const char *pair, struct err *e)
{
	const char *own;
	size_t n = strlen(pair);

	if (pair[0] == '=' || !pair[0])
		return err_set(e, ERR_INVALID, __func__, "-e wants NAME or NAME=VALUE");
	if (pair[n - 1] == '*' && !strchr(pair, '='))
		return take_own(m, (struct str){ pair, n - 1 }, e);
	if (!strchr(pair, '=')) {
		own = getenv(pair);
		if (!own)
			return ERR_OK;
		pair = arena_printf(m->arena, "%s=%s", pair, own);
	}
	return pair && set_env(m, pair) ? ERR_OK : making_no_memory(e);
}

static struct str skip_blanks(struct str line)
{
	while (line.n && (*line.p == ' ' || *line.p == '\t'))
		line = (struct str){ line.p + 1, line.n - 1 };
	return line;
}

/* Docker's and podman's rules: blanks before a name are nothing, in it they are wrong, and in values they stay. */
static enum err_kind take_line(struct making *m, const char *path, struct str line, struct err *e)
{
	struct str name, value;
	char *text;

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	line = skip_blanks(line);
	if (line.n == 0 || *line.p == '#')
		return ERR_OK;
	(void)str_cut(line, '=', &name, &value);
	if (name.n == 0 || memchr(name.p, ' ', name.n) || memchr(name.p, '\t', name.n))
		return err_set(e, ERR_INVALID, __func__, "%s: \"%.*s\" is no name of a variable",
			       path, (int)MIN(name.n, (size_t)60), name.p);
	text = arena_text(m->arena, line);
	return text ? take_env(m, text, e) : making_no_memory(e);
}

/* Lines as for -e; empty ones and those that begin with # are skipped. */
static enum err_kind take_env_file(struct making *m, const char *path, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	AUTO_SBUF b = { 0 };
	struct str rest, line;
	enum err_kind k = ERR_OK;

	if (fd < 0)
		return err_sys(e, __func__, "open %s", path);
	sbuf_init(&b, ENV_FILE_MAX);
	k = fd_read_rest(fd, &b, path, e);
	rest = (struct str){ b.p, b.n };
	if (str_starts(rest, STR("\xef\xbb\xbf"))) /* a byte order mark */
		rest = (struct str){ rest.p + 3, rest.n - 3 };
	while (k == ERR_OK && rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		k = take_line(m, path, line, e);
	}
	return k;
}

static enum err_kind make_env(struct making *m, struct err *e)
{
	bool ok = set_env(m, PATH_PRESET) &&
		  set_env(m, arena_printf(m->arena, "HOSTNAME=%s", m->hostname)) &&
		  (!m->o->terminal || set_env(m, "TERM=xterm"));
	enum err_kind k = ERR_OK;

	for (size_t i = 0; ok && m->image && i < m->image->env.n; i++)
		ok = set_env(m, m->image->env.v[i]);
	if (!ok)
		return making_no_memory(e);
	for (size_t i = 0; k == ERR_OK && i < m->o->env_files.n; i++)
		k = take_env_file(m, m->o->env_files.v[i], e);
	for (size_t i = 0; k == ERR_OK && i < m->o->env.n; i++)
		k = take_env(m, m->o->env.v[i], e);
	if (k != ERR_OK)
		return k;
	for (size_t i = 0; i < m->env.n; i++) {
		if (str_starts(str_of(m->env.v[i]), STR("HOME=")))
			return ERR_OK;
	}
	return set_env(m, arena_printf(m->arena, "HOME=%s", m->home ? m->home : "/"))
		   ? ERR_OK
		   : making_no_memory(e);
}

enum err_kind process_resolve(struct making *m, struct err *e)
{
	enum err_kind k = make_command(m, e);

	return k == ERR_OK ? make_env(m, e) : k;
}

/* --- Limits --- */

static const struct {
	const char *name, *type;
	int id;
} rlimits[] = {
	{ "as", "RLIMIT_AS", RLIMIT_AS },
	{ "core", "RLIMIT_CORE", RLIMIT_CORE },
	{ "cpu", "RLIMIT_CPU", RLIMIT_CPU },
	{ "data", "RLIMIT_DATA", RLIMIT_DATA },
	{ "fsize", "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "locks", "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "memlock", "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "msgqueue", "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "nice", "RLIMIT_NICE", RLIMIT_NICE },
	{ "nofile", "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "nproc", "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "rss", "RLIMIT_RSS", RLIMIT_RSS },
	{ "rtprio", "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "rttime", "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "sigpending", "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "stack", "RLIMIT_STACK", RLIMIT_STACK },
};

static bool take_limit(struct str *in, uint64_t *ret)
{
	if (str_starts(*in, STR("-1"))) {
		*in = (struct str){ in->p + 2, in->n - 2 };
		*ret = RLIM_INFINITY;
		return true;
	}
	if (str_starts(*in, STR("unlimited"))) {
		*in = (struct str){ in->p + 9, in->n - 9 };
		*ret = RLIM_INFINITY;
		return true;
	}
	return scan_u64(in, INT64_MAX, ret);
}

static struct jv *limit_json(const char *type, uint64_t soft, uint64_t hard)
{
	return jv_pack("{s:s, s:o, s:o}", "type", type, "soft", jv_new_u64(soft), "hard",
		       jv_new_u64(hard));
}

/* "NAME=SOFT[:HARD]" */
static enum err_kind ulimit_json(const char *text, struct jv **ret, struct err *e)
{
	struct str name, value;
	uint64_t soft = 0, hard;

	(void)str_cut(str_of(text), '=', &name, &value);
	for (size_t i = 0; i < ARRAY_LEN(rlimits); i++) {
		if (!str_eq(name, str_of(rlimits[i].name)))
			continue;
		if (!take_limit(&value, &soft))
			break;
		hard = soft;
		if (scan_char(&value, ':') && !take_limit(&value, &hard))
			break;
		if (!scan_end(&value) || soft > hard)
			break;
		*ret = limit_json(rlimits[i].type, soft, hard);
		return *ret ? ERR_OK : making_no_memory(e);
	}
	return err_set(e, ERR_INVALID, __func__, "--ulimit %.60s is not NAME=SOFT[:HARD]", text);
}

/* All that this process has, but for what berth did to its own. */
static enum err_kind add_own_limits(const struct making *m, struct jv *list, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(rlimits); i++) {
		struct rlimit r;

		if (getrlimit((__rlimit_resource_t)rlimits[i].id, &r) < 0)
			return err_sys(e, __func__, "look at the limit of %s", rlimits[i].name);
		if (rlimits[i].id == RLIMIT_NOFILE && m->place->files_soft)
			r.rlim_cur = m->place->files_soft;
		if (!jv_append(list, limit_json(rlimits[i].type, r.rlim_cur, r.rlim_max)))
			return making_no_memory(e);
	}
	return ERR_OK;
}

static enum err_kind rlimits_json(const struct making *m, struct jv **ret, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	enum err_kind k = list ? ERR_OK : making_no_memory(e);

	for (size_t i = 0; k == ERR_OK && i < m->o->ulimits.n; i++) {
		struct jv *one = NULL;

		if (strcmp(m->o->ulimits.v[i], "host") == 0) {
			k = m->o->ulimits.n == 1
				? add_own_limits(m, list, e)
				: err_set(e, ERR_INVALID, __func__,
					  "--ulimit host and others exclude each other");
			continue;
		}
		k = ulimit_json(m->o->ulimits.v[i], &one, e);
		if (k == ERR_OK && !jv_append(list, one))
			k = making_no_memory(e);
	}
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}

/* --- The whole --- */

static struct jv *user_json(const struct making *m)
{
	AUTO_JV *groups = jv_new_array();

	for (size_t i = 0; groups && i < m->groups.n; i++) {
		struct str s = str_of(m->groups.v[i]);
		uint64_t gid = 0;

		(void)scan_u64(&s, UINT32_MAX, &gid);
		if (!jv_append(groups, jv_pack("I", (long long)gid)))
			return NULL;
	}
	return jv_pack("{s:I, s:I, s:o}", "uid", (long long)m->uid, "gid", (long long)m->gid,
		       "additionalGids", TAKE(groups));
}

static enum err_kind add_oom_score(const struct making *m, struct jv *v, struct err *e)
{
	struct str in = str_of(m->o->oom_score_adj);
	bool negative = scan_char(&in, '-');
	uint64_t n;

	if (!m->o->oom_score_adj)
		return ERR_OK;
	if (!scan_u64(&in, 1000, &n) || !scan_end(&in))
		return err_set(e, ERR_INVALID, __func__,
			       "--oom-score-adj wants a number from -1000 to 1000");
	return jv_set(v, "oomScoreAdj", jv_pack("I", negative ? -(long long)n : (long long)n))
		   ? ERR_OK
		   : making_no_memory(e);
}

enum err_kind process_json(struct making *m, struct jv **ret, struct err *e)
{
	const char *image_dir = m->image && *m->image->workdir ? m->image->workdir : "/";
	const char *cwd = m->o->workdir ? m->o->workdir : image_dir;
	AUTO_JV *limits = NULL;
	AUTO_JV *v = NULL;
	enum err_kind k = rlimits_json(m, &limits, e);

	if (k == ERR_OK && cwd[0] != '/')
		k = err_set(e, ERR_INVALID, __func__,
			    "the working directory \"%.100s\" is not absolute", cwd);
	if (k != ERR_OK)
		return k;
	v = jv_pack("{s:b, s:o, s:o, s:o, s:s, s:o, s:o, s:b}", "terminal", m->o->terminal, "user",
		    user_json(m), "args", jv_new_texts(m->command.v, m->command.n), "env",
		    jv_new_texts(m->env.v, m->env.n), "cwd", cwd, "capabilities", caps_json(m),
		    "rlimits", TAKE(limits), "noNewPrivileges", m->no_new_privs);
	if (v && m->apparmor && !jv_set(v, "apparmorProfile", jv_pack("s", m->apparmor)))
		return making_no_memory(e);
	k = v ? add_oom_score(m, v, e) : making_no_memory(e);
	if (k == ERR_OK)
		*ret = TAKE(v);
	return k;
}
