#include "tests/lib/conf_fixture.h"

#include "tests/lib/fixture.h"

#define ARGS_MAX 8

enum err_kind fixture_load(struct conf *ret, struct err *e, const char *const *args)
{
	char *copy[ARGS_MAX] = { NULL };
	int n = 0;
	enum err_kind k;

	for (; args[n]; n++) {
		MUST(n < ARGS_MAX);
		copy[n] = strdup(args[n]);
	}
	k = conf_load(n, copy, ret, e);
	while (n)
		free(copy[--n]);
	return k;
}

enum err_kind fixture_read(struct conf *c, const char *path, struct err *e)
{
	struct faults f = { 0 };

	conf_read_file(c, path, &f);
	return faults_first(&f, e);
}
