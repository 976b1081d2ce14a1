/* Who keeps an id in a container has a name there, as podman gives it: /etc/passwd and /etc/group of the image, and a line. */
#include <linux/openat2.h>
#include <pwd.h>

#include "runtime/cli/ctl.h"

#define FILE_BYTES_MAX (1u << 20)
#define FALLBACK_NAME "user"

/* ERR_NOT_FOUND, with e untouched, if the image has none. */
static enum err_kind read_image_file(int root, const char *path, struct sbuf *ret, struct err *e)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
				.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	AUTO_CLOSE fd = root < 0 ? -1 : sys_openat2(root, path, &how);
	struct stat s;

	if (fd < 0 || fstat(fd, &s) < 0 || !S_ISREG(s.st_mode))
		return ERR_NOT_FOUND;
	return fd_read_rest(fd, ret, path, e);
}

/* Is the name, or the number in the third field, there already? */
static bool is_known(struct str text, const char *name, uint64_t id)
{
	struct str line, first, rest, number;
	uint64_t n;

	while (text.n) {
		(void)str_cut(text, '\n', &line, &text);
		if (!str_cut(line, ':', &first, &rest) || !str_cut(rest, ':', &number, &rest))
			continue;
		(void)str_cut(rest, ':', &number, &rest);
		if (str_eq(first, str_of(name)) ||
		    (scan_u64(&number, UINT32_MAX, &n) && scan_end(&number) && n == id))
			return true;
	}
	return false;
}

struct account {
	const char *file; /* in etc, and below /etc */
	const char *name, *line;
	uint64_t id;
};

static enum err_kind put_account(int root, int etc, const struct account *a, struct arena *arena,
				 struct text_list *files, struct err *e)
{
	AUTO_SBUF text = { 0 };
	const char *path = arena_printf(arena, "etc/%s", a->file);
	enum err_kind k;

	sbuf_init(&text, FILE_BYTES_MAX);
	if (!path || !a->line)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an account");
	k = read_image_file(root, path, &text, e);
	if (k == ERR_NOT_FOUND ||
	    (k == ERR_OK && is_known((struct str){ text.p, text.n }, a->name, a->id)))
		return ERR_OK;
	if (k != ERR_OK)
		return k;
	if (text.n && text.p[text.n - 1] != '\n')
		sbuf_addf(&text, "\n");
	sbuf_addf(&text, "%s\n", a->line);
	if (text.failed || !arena_list_add(arena, files, a->file))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an account");
	return fd_swap_file(etc, a->file, (struct str){ text.p, text.n }, 0644, e);
}

enum err_kind ctl_put_accounts(int root, int etc, uint64_t uid, uint64_t gid, struct arena *arena,
			       struct text_list *ret_files, struct err *e)
{
	uint64_t caller, group;
	const struct passwd *p;
	const char *name;
	enum err_kind k = usermap_caller(&caller, &group, e);

	if (k != ERR_OK)
		return k;
	p = getpwuid((uid_t)caller);
	name = p && p->pw_name[strcspn(p->pw_name, ":\n")] == '\0' ? p->pw_name : FALLBACK_NAME;
	k = put_account(
	    root, etc,
	    &(struct account){ "passwd", name,
			       arena_printf(arena, "%s:*:%llu:%llu::/:/bin/sh", name,
					    (unsigned long long)uid, (unsigned long long)gid),
			       uid },
	    arena, ret_files, e);
	return k == ERR_OK
		   ? put_account(root, etc,
				 &(struct account){ "group", name,
						    arena_printf(arena, "%s:x:%llu:%s", name,
								 (unsigned long long)gid, name),
						    gid },
				 arena, ret_files, e)
		   : k;
}
