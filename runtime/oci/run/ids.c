#include "runtime/oci/run/ids.h"

#include <errno.h>
#include <linux/capability.h>
#include <spawn.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/idmap.h"

#define SUBIDS_BYTES_MAX (1024u * 1024)
#define ARGS_MAX 1024

/* newuidmap PID ID LOWER COUNT [ID LOWER COUNT]... */
static enum err_kind run_helper(const char *program, pid_t pid, const char *map, struct err *e)
{
	char pid_text[24], *words = strdup(map), *save = NULL, *argv[ARGS_MAX];
	char *const envp[] = { NULL };
	size_t n = 0;
	int r, status = 0;
	pid_t child;

	if (!words)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for id maps");
	(void)snprintf(pid_text, sizeof(pid_text), "%d", pid);
	argv[n++] = (char *)(uintptr_t)program;
	argv[n++] = pid_text;
	for (char *w = strtok_r(words, " \n", &save); w && n < ARGS_MAX - 1;
	     w = strtok_r(NULL, " \n", &save))
		argv[n++] = w;
	argv[n] = NULL;
	r = posix_spawnp(&child, program, NULL, NULL, argv, envp);
	free(words);
	if (r != 0) {
		errno = r;
		return err_sys(e, __func__, "run %s", program);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(e, ERR_DENIED, __func__, "%s refuses the maps: see subuid(5)",
			       program);
	return ERR_OK;
}

/* "0 1000 1\n" with the caller's own id: what anybody may write, once setgroups(2) is given up. */
static bool maps_only(const char *map, unsigned id)
{
	struct str s = str_of(map);
	uint64_t inside, outside, n;

	return scan_u64(&s, UINT32_MAX, &inside) && scan_char(&s, ' ') &&
	       scan_u64(&s, UINT32_MAX, &outside) && scan_char(&s, ' ') &&
	       scan_u64(&s, UINT32_MAX, &n) && scan_char(&s, '\n') && scan_end(&s) &&
	       outside == id && n == 1;
}

static bool may(const struct host *h, int cap)
{
	return (h->caps & (1ull << cap)) != 0;
}

static enum err_kind write_group_map(pid_t pid, const char *map, const struct host *h,
				     struct err *e)
{
	enum err_kind k;

	if (may(h, CAP_SETGID))
		return idmap_put(pid, "gid_map", map, e);
	if (!maps_only(map, h->egid))
		return run_helper("newgidmap", pid, map, e);
	k = idmap_put(pid, "setgroups", "deny", e);
	return k == ERR_OK ? idmap_put(pid, "gid_map", map, e) : k;
}

enum err_kind ids_write_maps(pid_t pid, const char *uid_map, const char *gid_map,
			     const struct host *h, struct err *e)
{
	enum err_kind k = write_group_map(pid, gid_map, h, e);

	if (k != ERR_OK)
		return err_wrap(e, "linux.gidMappings");
	if (may(h, CAP_SETUID) || maps_only(uid_map, h->euid))
		k = idmap_put(pid, "uid_map", uid_map, e);
	else
		k = run_helper("newuidmap", pid, uid_map, e);
	return k == ERR_OK ? k : err_wrap(e, "linux.uidMappings");
}

static void map_text(const spec_id_maps *maps, struct sbuf *b)
{
	for (size_t i = 0; i < maps->n; i++)
		sbuf_addf(b, "%u %u %u\n", maps->v[i].container_id, maps->v[i].host_id,
			  maps->v[i].size);
}

enum err_kind ids_make_userns(const spec_id_maps *uids, const spec_id_maps *gids, int *ret,
			      struct err *e)
{
	AUTO_SBUF uid_map;
	AUTO_SBUF gid_map;

	sbuf_init(&uid_map, 65536);
	sbuf_init(&gid_map, 65536);
	map_text(uids, &uid_map);
	map_text(gids, &gid_map);
	if (uid_map.failed || gid_map.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many id maps");
	return idmap_open_userns(uid_map.p, gid_map.p, ret, e);
}

/* ---- defaults ---- */

bool ids_user_name(uid_t uid, char *buf, size_t cap)
{
	AUTO_SBUF b;
	struct err ignored;
	struct str rest, line, name, field;
	uint64_t id;

	sbuf_init(&b, SUBIDS_BYTES_MAX);
	if (fd_read_file(AT_FDCWD, "/etc/passwd", &b, &ignored) != ERR_OK)
		return false;
	for (rest = (struct str){ b.p, b.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ':', &name, &line) && str_cut(line, ':', &field, &line) &&
		    scan_u64(&line, UINT32_MAX, &id) && id == uid)
			return str_copy(name, buf, cap);
	}
	return false;
}

/* The first range of subuid(5): "name:first:count", the name may be a number. */
static bool first_range(const char *file, const char *name, uid_t uid, uint64_t *first,
			uint64_t *count)
{
	AUTO_SBUF b;
	struct err ignored;
	struct str rest, line, who;
	char number[24];

	sbuf_init(&b, SUBIDS_BYTES_MAX);
	(void)snprintf(number, sizeof(number), "%u", uid);
	if (fd_read_file(AT_FDCWD, file, &b, &ignored) != ERR_OK)
		return false;
	for (rest = (struct str){ b.p, b.n }; rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_cut(line, ':', &who, &line) &&
		    (str_eq(who, str_of(name)) || str_eq(who, str_of(number))) &&
		    scan_u64(&line, UINT32_MAX, first) && scan_char(&line, ':') &&
		    scan_u64(&line, UINT32_MAX, count) && *count > 0)
			return true;
	}
	return false;
}

static enum err_kind default_map(const char *file, const char *name, uid_t uid, unsigned id,
				 struct arena *a, spec_id_maps *ret, struct err *e)
{
	uint64_t first, count;

	ret->v = arena_array(a, 2, sizeof(*ret->v));
	if (!ret->v)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for id maps");
	ret->v[ret->n++] = (struct spec_id_map){ .container_id = 0, .host_id = id, .size = 1 };
	if (first_range(file, name, uid, &first, &count))
		ret->v[ret->n++] = (struct spec_id_map){ .container_id = 1,
							 .host_id = (uint32_t)first,
							 .size = (uint32_t)count };
	return ERR_OK;
}

enum err_kind ids_default_maps(const struct host *h, struct arena *a, spec_id_maps *uids,
			       spec_id_maps *gids, struct err *e)
{
	char name[256];
	enum err_kind k;

	if (!ids_user_name(h->euid, name, sizeof(name)))
		(void)snprintf(name, sizeof(name), "%u", h->euid);
	k = default_map("/etc/subuid", name, h->euid, h->euid, a, uids, e);
	return k == ERR_OK ? default_map("/etc/subgid", name, h->euid, h->egid, a, gids, e) : k;
}
