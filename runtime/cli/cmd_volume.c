/* volume: directories that outlive containers. */
#include "base/clock.h"
#include "runtime/cli/ctl.h"
#include "runtime/cli/report.h"
#include "runtime/container/volumes.h"

struct volume_args {
	struct text_list labels;
	bool quiet, force, all;
};

struct work {
	struct cli *c;
	const struct volume_args *args;
	bool json;
	struct ctl t;
	int dir;
	/* of lists and prune */
	struct sbuf text;
	struct jv *list;
	struct text_list names;
};

/* --- Showing --- */

static const char *path_of(const struct work *w, const char *name)
{
	return arena_printf(&w->c->arena, "%s/volumes/%s/" VOLUME_DATA, w->c->root, name);
}

static struct jv *volume_json(const struct work *w, const struct volume *v, const char *user)
{
	AUTO_JV *labels = jv_pack("{}");
	bool ok = labels != NULL;

	for (size_t i = 0; ok && i < v->labels.keys.n; i++)
		ok = jv_set(labels, v->labels.keys.v[i], jv_pack("s", v->labels.values.v[i]));
	return ok ? jv_pack("{s:s, s:s, s:I, s:b, s:o, s:b}", "name", v->name, "path",
			    path_of(w, v->name), "created_ms", (long long)v->created_ms,
			    "anonymous", v->anonymous, "labels", TAKE(labels), "used",
			    *user != '\0')
		  : NULL;
}

static enum err_kind show(void *arg, const struct volume *v, struct err *e)
{
	struct work *w = arg;
	char user[CONTAINER_NAME_MAX + 1], age[IMAGE_AGE_MAX];
	enum err_kind k = volume_user(&w->t.cs, v->name, user, sizeof(user), e);

	if (k != ERR_OK)
		return k;
	if (w->json)
		return jv_append(w->list, volume_json(w, v, user))
			   ? ERR_OK
			   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
	if (w->args->quiet)
		sbuf_addf(&w->text, "%s\n", v->name);
	else
		sbuf_addf(&w->text, "%-24s %-16s %s\n", v->name, image_age(v->created_ms, age),
			  user);
	return ERR_OK;
}

static int print(struct work *w)
{
	return w->json ? cli_print_json(&w->list) : cli_print(&w->text);
}

static int run_ls(struct work *w)
{
	struct err e;

	if (!w->json && !w->args->quiet)
		sbuf_addf(&w->text, "%-24s %-16s %s\n", "VOLUME", "AGE", "CONTAINER");
	if (volumes_each(w->dir, show, w, &e) != ERR_OK)
		return cli_fail(&e);
	return print(w);
}

static int run_inspect(struct work *w)
{
	struct err e;

	w->json = true;
	for (size_t i = 1; i < w->c->args_n; i++) {
		AUTO_VOLUME v = { 0 };

		if (volume_read(w->dir, w->c->args[i], &v, &e) != ERR_OK ||
		    show(w, &v, &e) != ERR_OK)
			return cli_fail(&e);
	}
	return print(w);
}

/* --- Changing --- */

static bool take_labels(struct work *w, struct text_pairs *ret)
{
	const struct text_list *labels = &w->args->labels;

	for (size_t i = 0; i < labels->n; i++) {
		const char *eq = strchr(labels->v[i], '=');

		if (!arena_list_add(
			&w->c->arena, &ret->keys,
			arena_text(&w->c->arena,
				   (struct str){ labels->v[i], strcspn(labels->v[i], "=") })) ||
		    !arena_list_add(&w->c->arena, &ret->values, eq ? eq + 1 : ""))
			return false;
	}
	return true;
}

static int run_create(struct work *w)
{
	struct text_pairs labels = { 0 };
	struct volume_wish wish = { .name = w->c->args[1], .labels = &labels };
	AUTO_CLOSE guard = -1;
	AUTO_CLOSE data = -1;
	bool made = false;
	struct err e;
	struct jv *v;
	enum err_kind k = volumes_guard(w->dir, false, &guard, &e);

	if (!take_labels(w, &labels))
		return cli_usage(w->c, "no memory for labels");
	if (k == ERR_OK)
		k = volume_make(w->dir, &wish, &data, &made, &e);
	if (k == ERR_OK && !made && !w->args->force)
		k = err_set(&e, ERR_EXISTS, __func__, "volume %s is there already", wish.name);
	if (k != ERR_OK)
		return cli_fail(&e);
	v = jv_pack("{s:s, s:s}", "name", wish.name, "path", path_of(w, wish.name));
	return report_one(w->c, &v, wish.name);
}

static enum err_kind remove_one(struct work *w, const char *name, struct err *e)
{
	AUTO_VOLUME v = { 0 };
	enum err_kind k = volume_read(w->dir, name, &v, e);

	return k == ERR_OK ? volume_remove(&w->t.cs, w->dir, name, e) : k;
}

static int run_rm(struct work *w)
{
	AUTO_CLOSE guard = -1;
	struct report r;
	struct err e;

	if (volumes_guard(w->dir, true, &guard, &e) != ERR_OK)
		return cli_fail(&e);
	report_begin(&r, w->c);
	for (size_t i = 1; i < w->c->args_n; i++) {
		enum err_kind k = remove_one(w, w->c->args[i], &e);
		struct jv *no_more = NULL;

		if (k != ERR_NOT_FOUND || !w->args->force)
			report_add(&r, w->c->args[i], &no_more, true, k == ERR_OK ? NULL : &e);
	}
	return report_end(&r);
}

static enum err_kind note_unused(void *arg, const struct volume *v, struct err *e)
{
	struct work *w = arg;
	char user[CONTAINER_NAME_MAX + 1];
	enum err_kind k = volume_user(&w->t.cs, v->name, user, sizeof(user), e);

	if (k != ERR_OK || *user || (!v->anonymous && !w->args->all))
		return k;
	return arena_list_add(&w->c->arena, &w->names, arena_text(&w->c->arena, str_of(v->name)))
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a list");
}

static int run_prune(struct work *w)
{
	AUTO_CLOSE guard = -1;
	struct err e;
	enum err_kind k = volumes_guard(w->dir, true, &guard, &e);

	if (k == ERR_OK)
		k = volumes_each(w->dir, note_unused, w, &e);
	for (size_t i = 0; k == ERR_OK && i < w->names.n; i++) {
		k = volume_remove(&w->t.cs, w->dir, w->names.v[i], &e);
		if (k == ERR_OK && w->json && !jv_append(w->list, jv_pack("s", w->names.v[i])))
			k = err_set(&e, ERR_NO_MEMORY, __func__, "no memory for a list");
		sbuf_addf(&w->text, "%s\n", w->names.v[i]);
	}
	return k == ERR_OK ? print(w) : cli_fail(&e);
}

/* --- The command --- */

static const struct verb {
	const char *name;
	int (*run)(struct work *w);
	size_t args_min, args_max;
} verbs[] = {
	{ "ls", run_ls, 0, 0 },
	{ "create", run_create, 1, 1 },
	{ "inspect", run_inspect, 1, SIZE_MAX },
	{ "rm", run_rm, 1, SIZE_MAX },
	{ "prune", run_prune, 0, 0 },
};

static int run_verb(struct cli *c, const struct verb *v)
{
	struct work w = { .c = c, .args = c->options, .json = c->json, .t = CTL_INIT, .dir = -1 };
	struct err e;
	int status;

	sbuf_init(&w.text, SBUF_MAX);
	w.list = jv_new_array();
	if (ctl_open(c, &w.t, &e) != ERR_OK || volumes_open(&w.t.cs, &w.dir, &e) != ERR_OK)
		status = cli_fail(&e);
	else
		status = v->run(&w);
	fd_close(&w.dir);
	ctl_close(&w.t);
	jv_free(&w.list);
	sbuf_clear(&w.text);
	return status;
}

static int run(struct cli *c)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
		const struct verb *v = &verbs[i];

		if (strcmp(v->name, c->args[0]) == 0 && c->args_n - 1 >= v->args_min &&
		    c->args_n - 1 <= v->args_max)
			return run_verb(c, v);
	}
	return cli_usage(c, "volume: usage: berth volume %s", cmd_volume.usage);
}

#define A(m) offsetof(struct volume_args, m)
static const struct opt opts[] = {
	{ "label", 'l', OPT_TEXTS, A(labels), "NAME[=VALUE]", "create: label" },
	{ "quiet", 'q', OPT_FLAG, A(quiet), NULL, "ls: names alone" },
	{ "force", 'f', OPT_FLAG, A(force), NULL,
	  "rm: what is not there is no failure; create: nor is what is there" },
	{ "all", 'a', OPT_FLAG, A(all), NULL, "prune: those with names, too" },
	OPTS_END
};

const struct command cmd_volume = {
	.name = "volume",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct volume_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "ls | create NAME | inspect NAME... | rm NAME... | prune",
	.doc = "directories that outlive containers",
};
