/* pull: an image from a registry, into the store and unpacked. */
#include "runtime/cli/image.h"

struct pull_args {
	struct registry_args registry;
	const char *platform;
	bool quiet;
};

static struct jv *image_json(const struct image *i)
{
	char ref[REFERENCE_TEXT_MAX], id[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];

	return jv_pack("{s:s, s:s, s:s}", "name", reference_text(&i->ref, ref), "id",
		       digest_text(&i->doc.config.digest, id), "digest",
		       digest_text(&i->top, digest));
}

static int report(const struct image *i, bool json)
{
	AUTO_SBUF text = { 0 };
	char id[DIGEST_TEXT_MAX];
	struct jv *v;

	if (json) {
		v = image_json(i);
		return cli_print_json(&v);
	}
	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text, "%s\n", digest_text(&i->doc.config.digest, id));
	return cli_print(&text);
}

static int run(struct cli *c)
{
	struct pull_args *a = c->options;
	AUTO_IMAGES *im = NULL;
	AUTO_IMAGE image = { 0 };
	struct reference ref;
	struct err e;
	enum err_kind k = reference_parse(&ref, str_of(c->args[0]), &e);

	if (k == ERR_OK)
		k = images_open(c->root, &im, &e);
	if (k == ERR_OK)
		k = image_pull(im, &ref, &a->registry, a->platform, a->quiet || c->json, &image,
			       &e);
	return k == ERR_OK ? report(&image, c->json) : cli_fail(&e);
}

static const struct opt opts[] = {
	{ "platform", 0, OPT_TEXT, offsetof(struct pull_args, platform), "OS/ARCH[/VARIANT]",
	  "the image of an index to pull (this machine's)" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct pull_args, quiet), NULL, "show no progress" },
	REGISTRY_OPTS(offsetof(struct pull_args, registry)),
	OPTS_END
};

const struct command cmd_pull = {
	.name = "pull",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct pull_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... IMAGE",
	.doc = "fetch an image from a registry",
};
