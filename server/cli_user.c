#include "auth/htpasswd.h"
#include "server/cli.h"

#define USAGE                                                                                      \
	"user add|passwd NAME | rm NAME | ls   [--cost N] --auth.htpasswd=FILE | --config FILE"

struct verb {
	const char *name;
	size_t n_words; /* with the verb */
	enum err_kind (*run)(const char *path, const char *name, unsigned cost, struct err *e);
};

static enum err_kind set(const char *path, const char *name, unsigned cost, bool is_new,
			 struct err *e)
{
	AUTO_SECRET password = { .n = 0 };
	enum err_kind k = cli_read_secret("Password", &password, e);

	if (k != ERR_OK)
		return k;
	return htpasswd_set(path, str_of(name), (struct str){ password.p, password.n }, cost,
			    is_new, e);
}

static enum err_kind add(const char *path, const char *name, unsigned cost, struct err *e)
{
	return set(path, name, cost, true, e);
}

static enum err_kind passwd(const char *path, const char *name, unsigned cost, struct err *e)
{
	return set(path, name, cost, false, e);
}

static enum err_kind rm(const char *path, const char *name, unsigned cost, struct err *e)
{
	(void)cost;
	return htpasswd_remove(path, str_of(name), e);
}

static enum err_kind ls(const char *path, const char *name, unsigned cost, struct err *e)
{
	AUTO_HTPASSWD *h = NULL;
	enum err_kind k = htpasswd_load(path, &h, e);

	(void)name, (void)cost;
	for (size_t i = 0; k == ERR_OK && i < htpasswd_count(h); i++)
		(void)printf("%.*s\n", STR_FMT(htpasswd_name(h, i)));
	return k;
}

static const struct verb verbs[] = {
	{ "add", 2, add },
	{ "passwd", 2, passwd },
	{ "rm", 2, rm },
	{ "ls", 1, ls },
};

static const struct verb *find_verb(const struct cli_args *a)
{
	for (size_t i = 0; a->n_words && i < ARRAY_LEN(verbs); i++) {
		if (strcmp(verbs[i].name, a->words[0]) == 0)
			return verbs[i].n_words == a->n_words ? &verbs[i] : NULL;
	}
	return NULL;
}

static bool parse_cost(const char *text, unsigned *ret)
{
	struct str in = str_of(text);
	uint64_t v;

	if (!scan_u64(&in, HTPASSWD_COST_MAX, &v) || !scan_end(&in) || v < HTPASSWD_COST_MIN)
		return false;
	*ret = (unsigned)v;
	return true;
}

int cli_user(int n_args, char *const *args)
{
	struct cli_option options[] = { { "cost", false, NULL }, { NULL, false, NULL } };
	struct cli_args a;
	const struct verb *v;
	unsigned cost = HTPASSWD_COST_PRESET;
	struct err e;
	int status = EXIT_FINE;

	if (cli_parse(n_args, args, options, &a, &e) != ERR_OK) {
		status = cli_complain(EXIT_USAGE, &e);
	} else if (!(v = find_verb(&a)) ||
		   (options[0].value && !parse_cost(options[0].value, &cost))) {
		status = cli_usage(USAGE);
	} else if (a.conf.auth_htpasswd.n == 0) {
		(void)err_set(&e, ERR_INVALID, __func__,
			      "auth.htpasswd is not set: it says which file has the accounts");
		status = cli_complain(EXIT_USAGE, &e);
	} else if (v->run(a.conf.auth_htpasswd.p, a.words[1], cost, &e) != ERR_OK) {
		status = cli_complain(EXIT_FAILED, &e);
	}
	cli_args_clear(&a);
	return status;
}
