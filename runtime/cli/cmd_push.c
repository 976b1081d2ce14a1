/* push: an image to a registry. */
#include "runtime/cli/image.h"
#include "runtime/image/push.h"

struct push_args {
	struct registry_args registry;
	const char *platform;
	bool quiet;
};

static void show(void *arg, const struct digest *d, uint64_t size_bytes, bool sent)
{
	char id[DIGEST_HEX_MAX + 1], size[TEXT_SIZE_MAX];

	(void)arg;
	cli_note("%s: %s %s", image_short_id(d, id), sent ? "sent" : "there already,",
		 text_size(size_bytes, size));
}

static enum err_kind find(struct images *im, const char *name, const struct platform *want,
			  struct image *ret, struct err *e)
{
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = images_find(im, name, want, ret, e);
	images_end(im);
	return k;
}

static enum err_kind push(struct cli *c, struct digest *ret, struct err *e)
{
	struct push_args *a = c->options;
	AUTO_IMAGES *im = NULL;
	AUTO_IMAGE image = { 0 };
	AUTO_CLIENT *client = NULL;
	AUTO_CLOSE guard = -1;
	struct reference to;
	struct platform want = platform_host();
	enum err_kind k = reference_parse(&to, str_of(c->args[c->args_n - 1]), e);

	if (k == ERR_OK && a->platform)
		k = platform_parse(&want, str_of(a->platform), e);
	if (k == ERR_OK)
		k = images_open(c->root, &im, e);
	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, e);
	if (k == ERR_OK)
		k = find(im, c->args[0], &want, &image, e);
	if (k == ERR_OK)
		k = registry_client(&a->registry, &client, e);
	if (k == ERR_OK)
		k = push_image(im, client, &image, &to, a->quiet || c->json ? NULL : show, NULL,
			       ret, e);
	return k;
}

static int run(struct cli *c)
{
	AUTO_SBUF line = { 0 };
	char text[DIGEST_TEXT_MAX];
	struct digest pushed;
	struct err e;
	struct jv *v;

	if (push(c, &pushed, &e) != ERR_OK)
		return cli_fail(&e);
	if (c->json) {
		v = jv_pack("{s:s, s:s}", "name", c->args[c->args_n - 1], "digest",
			    digest_text(&pushed, text));
		return cli_print_json(&v);
	}
	sbuf_init(&line, SBUF_MAX);
	sbuf_addf(&line, "%s\n", digest_text(&pushed, text));
	return cli_print(&line);
}

static const struct opt opts[] = {
	{ "platform", 0, OPT_TEXT, offsetof(struct push_args, platform), "OS/ARCH[/VARIANT]",
	  "the image of an index to push, if not all of it is here" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct push_args, quiet), NULL, "show no progress" },
	REGISTRY_OPTS(offsetof(struct push_args, registry)),
	OPTS_END
};

const struct command cmd_push = {
	.name = "push",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct push_args),
	.args_min = 1,
	.args_max = 2,
	.usage = "[OPTION]... IMAGE [DESTINATION]",
	.doc = "send an image to a registry",
};
