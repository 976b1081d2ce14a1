#include <unistd.h>

#include "auth/apikey.h"
#include "base/clock.h"
#include "base/glob.h"
#include "server/cli.h"
#include "server/guard.h"

#define USAGE                                                                                      \
	"key add NAME [--repositories PATTERN,..] [--allow pull,push,delete,admin] [--expires "    \
	"90d] "                                                                                    \
	"[--user] | rm ID|NAME | ls   [--config FILE] [--root DIR]"

enum { OPTION_REPOSITORIES, OPTION_ALLOW, OPTION_EXPIRES, OPTION_USER, OPTION_N };

struct grant_list {
	size_t n;
	struct grant items[APIKEY_GRANTS_MAX];
};

static enum err_kind parse_allow(const char *text, unsigned *ret, struct err *e)
{
	struct str rest = str_of(text), word;
	bool more = true;

	*ret = 0;
	while (more) {
		enum action a;

		more = str_cut(rest, ',', &word, &rest);
		if (!action_parse(word, &a))
			return err_set(e, ERR_INVALID, __func__,
				       "--allow: \"%.*s\" must be pull, push, delete or admin",
				       (int)MIN(word.n, (size_t)60), word.p);
		*ret |= (unsigned)a;
	}
	return ERR_OK;
}

static enum err_kind parse_grants(const struct cli_option *o, struct grant_list *ret, struct err *e)
{
	const char *allow = o[OPTION_ALLOW].value, *why;
	struct str rest = str_of(o[OPTION_REPOSITORIES].value), pattern;
	unsigned actions;
	bool more = true;
	enum err_kind k = parse_allow(allow ? allow : "pull", &actions, e);

	for (ret->n = 0; k == ERR_OK && more; ret->n++) {
		more = str_cut(rest, ',', &pattern, &rest);
		if (ret->n == APIKEY_GRANTS_MAX)
			return err_set(e, ERR_INVALID, __func__,
				       "--repositories: more than %d patterns", APIKEY_GRANTS_MAX);
		if (!glob_is_valid(pattern, &why))
			return err_set(e, ERR_INVALID, __func__, "--repositories: \"%.*s\" %s",
				       (int)MIN(pattern.n, (size_t)60), pattern.p, why);
		ret->items[ret->n] = (struct grant){ pattern, actions };
	}
	return k;
}

static enum err_kind parse_expiry(const char *text, uint64_t *ret, struct err *e)
{
	uint64_t ms;

	*ret = 0;
	if (!text)
		return ERR_OK;
	if (!conf_parse_duration(str_of(text), &ms) || ms == 0 || ms > INT64_MAX / 2)
		return err_set(e, ERR_INVALID, __func__,
			       "--expires: \"%.60s\" must be a duration such as 90d", text);
	*ret = wall_ms() + ms;
	return ERR_OK;
}

/* Who runs this, for the record. */
static const char *invoker(char buf[static 32])
{
	(void)snprintf(buf, 32, "uid:%u", (unsigned)getuid());
	return buf;
}

static enum err_kind add(const struct cli_args *a, const struct cli_option *o, const char *path,
			 struct err *e)
{
	char text[APIKEY_TEXT_MAX], by[32];
	struct grant_list grants = { .n = 0 };
	struct apikey like = { .name = str_of(a->words[1]),
			       .is_user = o[OPTION_USER].value != NULL,
			       .has_grants = o[OPTION_REPOSITORIES].value || o[OPTION_ALLOW].value,
			       .by = str_of(invoker(by)) };
	enum err_kind k = parse_expiry(o[OPTION_EXPIRES].value, &like.until_ms, e);

	if (k == ERR_OK && like.has_grants && !o[OPTION_REPOSITORIES].value)
		k = err_set(e, ERR_INVALID, __func__, "--allow needs --repositories");
	if (k == ERR_OK && like.has_grants)
		k = parse_grants(o, &grants, e);
	if (k == ERR_OK && !name_is_valid(like.name))
		k = err_set(e, ERR_INVALID, __func__, "\"%.60s\" cannot be a name", like.name.p);
	like.grants = (struct grants){ grants.n, grants.items };
	if (k == ERR_OK)
		k = guard_make_directory(&a->conf, e);
	if (k == ERR_OK)
		k = apikey_add(path, &like, text, e);
	if (k != ERR_OK)
		return k;
	(void)printf("%s\n", text);
	(void)fprintf(stderr, "This is the password of %s; it is not shown again.\n", like.name.p);
	secret_wipe(text, sizeof(text));
	return ERR_OK;
}

static enum err_kind rm(const struct cli_args *a, const struct cli_option *o, const char *path,
			struct err *e)
{
	size_t n;
	enum err_kind k = apikey_remove(path, str_of(a->words[1]), &n, e);

	(void)o;
	if (k == ERR_OK)
		(void)printf("%zu revoked\n", n);
	return k;
}

static void show(const struct apikey *k, uint64_t now)
{
	char until[TIME_TEXT_MAX] = "-", made[TIME_TEXT_MAX], actions[ACTIONS_TEXT_MAX];

	if (k->until_ms)
		(void)time_text(k->until_ms, until);
	(void)printf("%s\t%s%.*s\t%s\t%s%s", k->id, k->is_user ? "user:" : "key:", STR_FMT(k->name),
		     time_text(k->made_ms, made), until,
		     k->until_ms && now >= k->until_ms ? " (ended)" : "");
	for (size_t i = 0; i < k->grants.n; i++)
		(void)printf("\t%.*s:%s", STR_FMT(k->grants.items[i].repositories),
			     actions_text(k->grants.items[i].actions, actions));
	(void)printf("%s\n", k->has_grants ? "" : "\tas access says");
}

static enum err_kind ls(const struct cli_args *a, const struct cli_option *o, const char *path,
			struct err *e)
{
	AUTO_APIKEYS *keys = NULL;
	enum err_kind k = apikeys_load(path, &keys, e);

	(void)a, (void)o;
	for (size_t i = 0; k == ERR_OK && i < apikeys_count(keys); i++)
		show(apikeys_at(keys, i), wall_ms());
	return k;
}

static const struct verb {
	const char *name;
	size_t n_words;
	enum err_kind (*run)(const struct cli_args *a, const struct cli_option *o, const char *path,
			     struct err *e);
} verbs[] = {
	{ "add", 2, add },
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

int cli_key(int n_args, char *const *args)
{
	struct cli_option options[OPTION_N + 1] = {
		[OPTION_REPOSITORIES] = { "repositories", false, NULL },
		[OPTION_ALLOW] = { "allow", false, NULL },
		[OPTION_EXPIRES] = { "expires", false, NULL },
		[OPTION_USER] = { "user", true, NULL },
	};
	char path[GUARD_PATH_MAX];
	struct cli_args a;
	const struct verb *v;
	struct err e;
	int status = EXIT_FINE;

	if (cli_parse(n_args, args, options, &a, &e) != ERR_OK) {
		status = cli_complain(EXIT_USAGE, &e);
	} else if (!(v = find_verb(&a))) {
		status = cli_usage(USAGE);
	} else if (v->run(&a, options, guard_path(&a.conf, GUARD_KEYS, path), &e) != ERR_OK) {
		status = cli_complain(e.kind == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED, &e);
	}
	cli_args_clear(&a);
	return status;
}
