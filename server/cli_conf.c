#include "server/cli.h"
#include "server/conf_check.h"

static void complain(void *arg, const struct err *e)
{
	(void)arg;
	(void)cli_complain(EXIT_USAGE, e);
}

enum err_kind cli_load_config(int n_args, char *const *args, struct conf *ret, struct err *e)
{
	struct faults f = { .tell = complain };
	struct conf c;

	conf_load_all(n_args, args, &c, &f);
	conf_check(&c, CHECK_FILES, &f);
	if (f.n)
		conf_clear(&c);
	else
		*ret = c;
	return faults_first(&f, e);
}

static int print(struct sbuf *text)
{
	bool ok = !text->failed && fputs(text->p, stdout) != EOF && fflush(stdout) != EOF;

	sbuf_clear(text);
	return ok ? EXIT_FINE : EXIT_FAILED;
}

int cli_check_config(int n_args, char *const *args)
{
	struct sbuf text = { .max = SBUF_MAX };
	struct conf c;
	struct err e;

	if (cli_load_config(n_args, args, &c, &e) != ERR_OK)
		return EXIT_USAGE;
	conf_dump(&c, &text);
	conf_clear(&c);
	return print(&text);
}

/* Takes --json out of the arguments; the rest are options. */
static bool take_json(int *n_args, char *const *args, char **ret)
{
	bool json = false;
	int n = 0;

	for (int i = 0; i < *n_args; i++) {
		if (strcmp(args[i], "--json") == 0)
			json = true;
		else
			ret[n++] = args[i];
	}
	*n_args = n;
	return json;
}

int cli_show_config(int n_args, char *const *args)
{
	AUTO_FREE char **options = calloc((size_t)n_args + 1, sizeof(*options));
	struct sbuf text = { .max = SBUF_MAX };
	struct conf c;
	struct err e;
	bool json;

	if (!options)
		return EXIT_FAILED;
	json = take_json(&n_args, args, options);
	if (conf_load(n_args, options, &c, &e) != ERR_OK)
		return cli_complain(EXIT_USAGE, &e);
	if (json) {
		AUTO_JV *all = conf_show_json(&c);

		jv_dump_pretty(all, 2, &text);
		sbuf_add(&text, "\n", 1);
	} else {
		conf_show(&c, &text);
	}
	conf_clear(&c);
	return print(&text);
}

static void print_change(const struct jv *item)
{
	if (jv_member(item, "fault")) {
		(void)printf("fault: ");
		cli_put(stdout, cli_text(item, "fault"));
	} else {
		bool restart = jv_member(item, "restart") != NULL;

		(void)printf("%s: ", cli_text(item, restart ? "restart" : "option"));
		cli_put(stdout, cli_text(item, "old"));
		(void)printf(" -> ");
		cli_put(stdout, cli_text(item, "new"));
		(void)printf("%s", restart ? "  (needs a restart)" : "");
	}
	(void)printf("\n");
}

int cli_reload(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "reload", .print = print_change, .only_daemon = true },
	};

	return cli_run("reload", usages, ARRAY_LEN(usages), "", n_args, args);
}
