/* save, load: images in archives. */
#include <unistd.h>

#include "runtime/cli/image.h"
#include "runtime/cli/report.h"
#include "runtime/image/load.h"
#include "runtime/image/save.h"

/* --- save --- */

struct save_args {
	const char *output;
};

static enum err_kind find_all(struct images *im, const struct cli *c, struct image *list,
			      struct err *e)
{
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	for (size_t i = 0; k == ERR_OK && i < c->args_n; i++)
		k = images_find(im, c->args[i], NULL, &list[i], e);
	images_end(im);
	return k;
}

static enum err_kind open_output(const struct save_args *a, int *ret, struct err *e)
{
	if (!a->output && isatty(STDOUT_FILENO))
		return err_set(e, ERR_INVALID, __func__,
			       "an archive is not for a terminal: name a file with --output");
	*ret = a->output
		   ? sys_openat(AT_FDCWD, a->output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
		   : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? err_sys(e, __func__, "open %s", a->output ? a->output : "stdout")
			: ERR_OK;
}

static int report_saved(struct cli *c, const struct image *list)
{
	struct report r;

	report_begin(&r, c);
	for (size_t i = 0; i < c->args_n; i++) {
		char id[DIGEST_TEXT_MAX];
		struct jv *v = jv_pack("{s:s}", "id", digest_text(&list[i].doc.config.digest, id));

		report_add(&r, c->args[i], &v, false, NULL);
	}
	return report_end(&r);
}

static int run_save(struct cli *c)
{
	const struct save_args *a = c->options;
	AUTO_IMAGES *im = NULL;
	AUTO_CLOSE guard = -1;
	AUTO_CLOSE out = -1;
	struct image *list = arena_array(&c->arena, c->args_n, sizeof(*list));
	struct err e;
	int status;
	enum err_kind k = list ? images_open(c->root, &im, &e)
			       : err_set(&e, ERR_NO_MEMORY, __func__, "no memory to save");

	if (c->json && !a->output)
		return report_refuse(c, "save",
				     "wants --output: the archive goes to standard output");
	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, &e);
	if (k == ERR_OK)
		k = find_all(im, c, list, &e);
	if (k == ERR_OK)
		k = open_output(a, &out, &e);
	if (k == ERR_OK)
		k = save_images(im, list, c->args_n, out, &e);
	status = k == ERR_OK ? report_saved(c, list) : cli_fail(&e);
	for (size_t i = 0; list && i < c->args_n; i++)
		image_clear(&list[i]);
	return status;
}

static const struct opt save_opts[] = { { "output", 'o', OPT_TEXT,
					  offsetof(struct save_args, output), "FILE",
					  "in place of standard output" },
					OPTS_END };

const struct command cmd_save = {
	.name = "save",
	.run = run_save,
	.opts = save_opts,
	.options_size = sizeof(struct save_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... IMAGE...",
	.doc = "write images as an OCI layout in a tar archive",
};

/* --- load --- */

struct load_args {
	const char *input;
};

static void tell(void *arg, const struct reference *ref)
{
	char text[REFERENCE_TEXT_MAX];
	struct jv *no_more = NULL;

	report_add(arg, reference_text(ref, text), &no_more, true, NULL);
}

static int run_load(struct cli *c)
{
	const struct load_args *a = c->options;
	AUTO_IMAGES *im = NULL;
	AUTO_CLOSE in = -1;
	struct reference name;
	struct report r;
	struct load_options o = {
		.form = image_form(), .mask = CLI_UMASK, .loaded = tell, .arg = &r
	};
	struct err e;
	enum err_kind k = images_open(c->root, &im, &e);

	report_begin(&r, c);
	if (k == ERR_OK && c->args_n) {
		k = reference_parse(&name, str_of(c->args[0]), &e);
		o.name = &name;
	}
	if (k == ERR_OK) {
		in = a->input ? sys_openat(AT_FDCWD, a->input, O_RDONLY | O_CLOEXEC, 0)
			      : fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
		k = in < 0 ? err_sys(&e, __func__, "open %s", a->input ? a->input : "stdin")
			   : load_images(im, in, &o, &e);
	}
	if (k != ERR_OK)
		r.status = cli_fail(&e);
	return report_end(&r);
}

static const struct opt load_opts[] = { { "input", 'i', OPT_TEXT, offsetof(struct load_args, input),
					  "FILE", "in place of standard input" },
					OPTS_END };

const struct command cmd_load = {
	.name = "load",
	.run = run_load,
	.opts = load_opts,
	.options_size = sizeof(struct load_args),
	.args_max = 1,
	.usage = "[OPTION]... [NAME]",
	.doc = "take images from an archive: an OCI layout, or docker's",
};
