#include "server/conf_table.h"

static void note(struct faults *f, enum err_kind k, const struct err *e)
{
	if (k != ERR_OK)
		faults_add(f, e);
}

static void set_presets(struct conf *c, struct faults *f)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		struct err e;

		note(f, option_set(o, c, str_of(o->preset), CONF_PRESET, &e), &e);
	}
}

static void read_environment(struct conf *c, struct faults *f)
{
	char name[OPTION_KEY_MAX];

	for (size_t i = 0; i < conf_options_n; i++) {
		const struct option *o = &conf_options[i];
		const char *value;
		struct err e;

		option_variable(o->key, name);
		value = getenv(name); /* NOLINT(concurrency-mt-unsafe): nobody changes it */
		if (value)
			note(f, option_set(o, c, str_of(value), name, &e), &e);
	}
}

static bool is_flag(struct str key)
{
	const struct option *o = option_find(key);

	return o && o->type == CONF_FLAG;
}

bool conf_takes_value(struct str name)
{
	const struct option *o = option_find(name);

	return (o && o->type != CONF_FLAG) || str_eq(name, STR("config"));
}

struct arg {
	struct str key, value;
};

/* One option of the command line; *i moves past it. */
static enum err_kind next_arg(int n_args, char *const *args, int *i, struct arg *ret, struct err *e)
{
	struct str a = str_of(args[*i]);

	(*i)++;
	if (!str_starts(a, STR("--")) || a.n == 2)
		return err_set(e, ERR_INVALID, __func__, "unexpected argument \"%.80s\"",
			       args[*i - 1]);
	a = (struct str){ a.p + 2, a.n - 2 };
	if (str_cut(a, '=', &ret->key, &ret->value))
		return ERR_OK;
	if (is_flag(ret->key))
		ret->value = STR("true");
	else if (!conf_takes_value(ret->key) && *i < n_args && strncmp(args[*i], "--", 2) == 0)
		ret->value = STR(""); /* there is no such option, and this is not its value */
	else if (*i < n_args)
		ret->value = str_of(args[(*i)++]);
	else
		return err_set(e, ERR_INVALID, __func__, "option %.80s needs a value",
			       args[*i - 1]);
	return ERR_OK;
}

static void read_file(struct conf *c, const char *name, struct faults *f)
{
	struct err e;

	sbuf_clear(&c->file);
	sbuf_init(&c->file, SBUF_MAX);
	sbuf_add_str(&c->file, str_of(name));
	if (c->file.failed)
		note(f, err_set(&e, ERR_NO_MEMORY, __func__, "no memory for the name of a file"),
		     &e);
	else
		conf_read_file(c, name, f);
}

/* The file is read before the environment, so it is looked for first; what is wrong in general is told the second time. */
static void read_args(struct conf *c, int n_args, char *const *args, bool only_file,
		      struct faults *f)
{
	for (int i = 0; i < n_args;) {
		struct arg a;
		struct err e;
		enum err_kind k = next_arg(n_args, args, &i, &a, &e);
		bool is_file = k == ERR_OK && str_eq(a.key, STR("config"));

		if (only_file && is_file)
			read_file(c, a.value.p, f);
		else if (!only_file && k == ERR_OK && !is_file)
			k = conf_set(c, a.key, a.value, "command line", &e);
		if (!only_file)
			note(f, k, &e);
	}
}

void conf_load_all(int n_args, char *const *args, struct conf *ret, struct faults *f)
{
	*ret = (struct conf){ 0 };
	set_presets(ret, f);
	read_args(ret, n_args, args, true, f);
	read_environment(ret, f);
	read_args(ret, n_args, args, false, f);
}

enum err_kind conf_load(int n_args, char *const *args, struct conf *ret, struct err *e)
{
	struct faults f = { 0 };
	struct conf c;

	conf_load_all(n_args, args, &c, &f);
	if (f.n) {
		conf_clear(&c);
		return faults_first(&f, e);
	}
	*ret = c;
	return ERR_OK;
}
