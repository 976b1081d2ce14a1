#include "base/err.h"

#include <errno.h>

#include "tests/lib/unit.h"

static const struct {
	const char *name;
	int sys;
	enum err_kind kind;
} errnos[] = {
	{ "ENOSPC", ENOSPC, ERR_NO_SPACE },    { "EDQUOT", EDQUOT, ERR_NO_SPACE },
	{ "EFBIG", EFBIG, ERR_NO_SPACE },      { "ENOMEM", ENOMEM, ERR_NO_MEMORY },
	{ "EMFILE", EMFILE, ERR_NO_MEMORY },   { "ENFILE", ENFILE, ERR_NO_MEMORY },
	{ "EAGAIN", EAGAIN, ERR_NO_MEMORY },   { "ENOENT", ENOENT, ERR_NOT_FOUND },
	{ "EEXIST", EEXIST, ERR_EXISTS },      { "EIO", EIO, ERR_IO },
	{ "EACCES", EACCES, ERR_IO },          { "ELOOP", ELOOP, ERR_IO },
	{ "an unknown number", 9999, ERR_IO },
};

static void test_errno(void **state)
{
	__typeof__(&errnos[0]) c = *state;
	struct err e = { 0 };

	assert_int_equal(err_kind_of_errno(c->sys), c->kind);
	errno = c->sys;
	assert_int_equal(err_sys(&e, "here", "open %s", "x"), c->kind);
	assert_int_equal(errno, c->sys); /* E2 */
	assert_int_equal(e.kind, c->kind);
	assert_int_equal(e.sys, c->sys);
	assert_string_equal(e.where, "here");
	assert_memory_equal(e.msg, "open x: ", 8);
	assert_string_equal(e.msg + 8, strerror(c->sys));
}

static void test_set(void **state)
{
	struct err e = { .sys = 5 };

	(void)state;
	errno = EIO;
	assert_int_equal(err_set(&e, ERR_DIGEST, "here", "%d bytes", 7), ERR_DIGEST);
	assert_int_equal(errno, EIO);
	assert_int_equal(e.kind, ERR_DIGEST);
	assert_int_equal(e.sys, 0);
	assert_string_equal(e.msg, "7 bytes");
}

static void test_wrap(void **state)
{
	struct err e;

	(void)state;
	(void)err_set(&e, ERR_IN_USE, "inner", "busy");
	errno = ENOENT;
	assert_int_equal(err_wrap(&e, "take %s", "it"), ERR_IN_USE);
	assert_int_equal(errno, ENOENT);
	assert_string_equal(e.msg, "take it: busy");
	assert_string_equal(e.where, "inner");
	(void)err_wrap(&e, "again %s", e.msg); /* the message itself may be an argument */
	assert_string_equal(e.msg, "again take it: busy: take it: busy");
}

static void fill(char *buf, size_t n)
{
	memset(buf, 'x', n);
	buf[n] = '\0';
}

static void test_cut(void **state)
{
	char text[600];
	struct err e;

	(void)state;
	fill(text, 599);
	(void)err_set(&e, ERR_IO, "here", "%s", text);
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	/* the reason stays, whatever the length of what failed */
	errno = ENOSPC;
	(void)err_sys(&e, "here", "write %s", text);
	assert_non_null(strstr(e.msg, strerror(ENOSPC)));
	/* one byte less than the limit, at it, and over it */
	fill(text, ERR_MSG_MAX - 5);
	(void)err_set(&e, ERR_IO, "here", "%s", text);
	(void)err_wrap(&e, "ab");
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	assert_int_equal(e.msg[ERR_MSG_MAX - 2], 'x');
	(void)err_wrap(&e, "c");
	assert_int_equal(strlen(e.msg), ERR_MSG_MAX - 1);
	assert_int_equal(e.msg[ERR_MSG_MAX - 2], '~');
	assert_memory_equal(e.msg, "c: ab: xxx", 10);
	fill(text, 599);
	(void)err_wrap(&e, "%s", text);
	assert_int_equal(e.msg[ERR_MSG_MAX - 2], '~');
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned k = 0; k < ERR_KIND_N; k++) {
		assert_non_null(err_kind_text((enum err_kind)k));
		assert_string_not_equal(err_kind_text((enum err_kind)k), "?");
		for (unsigned other = 0; other < k; other++)
			assert_string_not_equal(err_kind_text((enum err_kind)k),
						err_kind_text((enum err_kind)other));
	}
	assert_string_equal(err_kind_text(ERR_KIND_N), "?");
}

int main(void)
{
	UNIT_TABLE("errno", test_errno, errnos);
	unit_case("err_set", test_set);
	unit_case("err_wrap", test_wrap);
	unit_case("messages that are too long", test_cut);
	unit_case("each kind has a name of its own", test_names);
	return unit_run();
}
