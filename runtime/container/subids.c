#include "runtime/container/subids.h"

#include <errno.h>

#include "base/fd.h"

#define FILE_MAX (1u << 20)

static bool is_user(struct str who, const char *name, uint64_t uid)
{
	uint64_t n;

	if (name && str_eq(who, str_of(name)))
		return true;
	return scan_u64(&who, UINT32_MAX, &n) && scan_end(&who) && n == uid;
}

/* "USER:FIRST:COUNT", for each line that is the user's. */
static void take_line(struct subids *ids, struct str line, const char *name, uint64_t uid)
{
	struct str who, rest;
	struct subids_range r;

	if (!str_cut(line, ':', &who, &rest) || !is_user(who, name, uid))
		return;
	if (!scan_u64(&rest, UINT32_MAX, &r.first) || !scan_char(&rest, ':') ||
	    !scan_u64(&rest, UINT32_MAX, &r.n) || !scan_end(&rest) || r.n == 0)
		return;
	if (ids->n < SUBIDS_RANGES_MAX)
		ids->v[ids->n++] = r;
}

enum err_kind subids_read(const char *file, const char *name, uint64_t uid, struct subids *ret,
			  struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	AUTO_SBUF b = { 0 };
	struct str rest, line;
	enum err_kind k;

	ret->n = 0;
	if (fd < 0)
		return errno == ENOENT ? ERR_OK : err_sys(e, __func__, "open %s", file);
	sbuf_init(&b, FILE_MAX);
	k = fd_read_rest(fd, &b, file, e);
	for (rest = (struct str){ b.p, b.n }; k == ERR_OK && rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		take_line(ret, line, name, uid);
	}
	return k;
}
