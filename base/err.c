#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>

static const char *const kind_names[ERR_KIND_N] = {
	[ERR_OK] = "ok",
	[ERR_NOT_FOUND] = "not-found",
	[ERR_EXISTS] = "exists",
	[ERR_INVALID] = "invalid",
	[ERR_DIGEST] = "digest",
	[ERR_SIZE] = "size",
	[ERR_RANGE] = "range",
	[ERR_TOO_LARGE] = "too-large",
	[ERR_TOO_MANY] = "too-many",
	[ERR_DENIED] = "denied",
	[ERR_LOGIN] = "login",
	[ERR_AWAY] = "away",
	[ERR_IN_USE] = "in-use",
	[ERR_REFS] = "refs",
	[ERR_NO_SPACE] = "no-space",
	[ERR_NO_MEMORY] = "no-memory",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_CORRUPT] = "corrupt",
	[ERR_IO] = "io",
	[ERR_BUG] = "bug",
};

const char *err_kind_text(enum err_kind k)
{
	return k < ERR_KIND_N ? kind_names[k] : "?";
}

enum err_kind(err_set)(struct err *e, enum err_kind k, const char *where, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	assert(k != ERR_OK);
	e->kind = k;
	e->sys = 0;
	e->where = where;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	errno = saved;
	return k;
}

enum err_kind err_kind_of_errno(int sys)
{
	switch (sys) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERR_NO_SPACE;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case EAGAIN:
		return ERR_NO_MEMORY;
	case ENOENT:
		return ERR_NOT_FOUND;
	case EEXIST:
		return ERR_EXISTS;
	default:
		return ERR_IO;
	}
}

enum err_kind(err_sys)(struct err *e, const char *where, const char *fmt, ...)
{
	int saved = errno;
	char text[64], what[ERR_MSG_MAX - sizeof(text)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	e->kind = err_kind_of_errno(saved);
	e->sys = saved;
	e->where = where;
	(void)snprintf(e->msg, sizeof(e->msg), "%s: %s", what,
		       strerror_r(saved, text, sizeof(text)));
	errno = saved;
	return e->kind;
}

enum err_kind(err_wrap)(struct err *e, const char *fmt, ...)
{
	int saved = errno;
	char inner[ERR_MSG_MAX], outer[ERR_MSG_MAX];
	va_list ap;

	memcpy(inner, e->msg, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(outer, sizeof(outer), fmt, ap);
	va_end(ap);
	if (snprintf(e->msg, sizeof(e->msg), "%s: %s", outer, inner) >= (int)sizeof(e->msg))
		e->msg[sizeof(e->msg) - 2] = '~'; /* shows that the message was cut */
	errno = saved;
	return e->kind;
}
