/* unpack: layers applied to a directory, or a bundle made of an image. */
#include "base/fd.h"
#include "runtime/bundle/bundle.h"
#include "runtime/cli/image.h"
#include "runtime/cli/report.h"
#include "runtime/image/unpack.h"

struct unpack_args {
	struct text_list layers;
	struct registry_args registry;
	const char *platform;
	uint64_t expand_limit;
};

static enum err_kind apply_layer(int root, const char *file, const struct unpack_args *a,
				 struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct unpack_source from = { .read = unpack_read_fd, .arg = &fd };
	struct unpack_options o = { .tree = { .form = TREE_FLAT, .umask = CLI_UMASK },
				    .limit_bytes = a->expand_limit };
	struct unpack_result r;
	enum err_kind k;

	/* A name of the user's, who may well mean a link. */
	fd = sys_openat(AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return err_sys(e, __func__, "open layer %s", file);
	k = unpack_layer(root, &from, &o, &r, e);
	if (k != ERR_OK)
		return err_wrap(e, "layer %s", file);
	image_tell_left_out(&r.stats);
	return ERR_OK;
}

static enum err_kind open_rootfs(const char *dir, bool *ret_made, int *ret, struct err *e)
{
	*ret_made = sys_mkdirat(AT_FDCWD, dir, 0755) == 0;
	*ret = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	return *ret < 0 ? err_sys(e, __func__, "open %s", dir) : ERR_OK;
}

static int unpack_layers(const struct cli *c, const struct unpack_args *a, size_t n,
			 const char *const *files, const char *dir)
{
	AUTO_CLOSE root = -1;
	bool made;
	struct err e, ignored;
	struct jv *v;
	enum err_kind k = open_rootfs(dir, &made, &root, &e);

	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = apply_layer(root, files[i], a, &e);
	if (k == ERR_OK) {
		v = jv_pack("{s:s, s:o}", "directory", dir, "layers", jv_new_texts(files, n));
		return report_one(c, &v, NULL);
	}
	if (root >= 0 && made)
		(void)!tree_remove(AT_FDCWD, dir, &ignored); /* the failure at hand is told */
	else if (root >= 0)
		(void)err_wrap(&e, "%s is left incomplete", dir);
	return cli_fail(&e);
}

/* --layer A B C DIR and --layer A --layer B --layer C DIR mean the same. */
static int run_layers(struct cli *c, struct unpack_args *a)
{
	size_t n = a->layers.n + c->args_n - 1;
	const char **files = arena_array(&c->arena, n + 1, sizeof(*files));

	if (!files)
		return cli_usage(c, "unpack: too many layers");
	if (a->layers.n > 1 && c->args_n > 1)
		return cli_usage(
		    c, "unpack: name all layers after one --layer, or each after its own");
	for (size_t i = 0; i < a->layers.n; i++)
		files[i] = a->layers.v[i];
	for (size_t i = a->layers.n; i < n; i++)
		files[i] = c->args[i - a->layers.n];
	return unpack_layers(c, a, n, files, c->args[c->args_n - 1]);
}

/* --- An image as a bundle --- */

static enum err_kind find_or_pull(struct images *im, const char *name, struct unpack_args *a,
				  struct image *ret, struct err *e)
{
	struct platform want = platform_host();
	struct reference ref;
	enum err_kind k = a->platform ? platform_parse(&want, str_of(a->platform), e) : ERR_OK;

	if (k == ERR_OK)
		k = images_begin(im, e);
	if (k != ERR_OK)
		return k;
	k = images_find(im, name, &want, ret, e);
	images_end(im);
	if (k != ERR_NOT_FOUND)
		return k;
	k = reference_parse(&ref, str_of(name), e);
	return k == ERR_OK ? image_pull(im, &ref, &a->registry, a->platform, false, ret, e) : k;
}

/* Each layer onto the one before, into one tree. */
static enum err_kind apply_blob(struct images *im, const struct image *i, size_t l, int root,
				struct tree_stats *total, struct err *e)
{
	AUTO_CLOSE fd = -1;
	struct unpack_source from = { .read = unpack_read_fd, .arg = &fd };
	struct unpack_options o = {
		.tree = { .form = TREE_FLAT, .in_userns = cli_is_in_userns(), .umask = CLI_UMASK },
		.limit_bytes = DECODE_LIMIT_BYTES,
		.diff_id = &i->config.diff_ids[l]
	};
	struct unpack_result r;
	uint64_t size;
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = images_blob_open(im, &i->repo, &i->doc.parts[l].digest, &fd, &size, e);
	images_end(im);
	if (k == ERR_OK)
		k = unpack_layer(root, &from, &o, &r, e);
	if (k != ERR_OK)
		return err_wrap(e, "layer %zu of %zu", l + 1, i->doc.n_parts);
	total->devices_left_out += r.stats.devices_left_out;
	total->xattrs_left_out += r.stats.xattrs_left_out;
	return ERR_OK;
}

static enum err_kind put_config(struct cli *c, const struct image *i, int dir, int root,
				struct err *e)
{
	AUTO_BUNDLE b = { .arena = &c->arena };
	AUTO_SBUF text = { 0 };
	struct bundle_options o = { .terminal = true };
	struct bundle_place place = { .id = "berth-bundle", .rootfs = "rootfs", .root = root };
	enum err_kind k = ERR_OK;

	/* A bundle is for people to go on with: one that says not what to run gets a shell. */
	if (i->config.entrypoint.n + i->config.cmd.n == 0 &&
	    !arena_list_add(&c->arena, &o.args, "sh"))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for config.json");
	if (k == ERR_OK)
		k = bundle_make(&o, &i->config, &place, &b, e);
	if (k != ERR_OK)
		return k;
	sbuf_init(&text, SBUF_MAX);
	jv_dump_pretty(b.config, 2, &text);
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for config.json");
	return fd_swap_file(dir, "config.json", (struct str){ text.p, text.n }, 0644, e);
}

static enum err_kind fill_bundle(struct cli *c, struct images *im, const struct image *i, int dir,
				 struct err *e)
{
	AUTO_CLOSE root = -1;
	struct tree_stats total = { 0 };
	enum err_kind k = fd_mkdir_at(dir, "rootfs", 0755, e);

	if (k == ERR_OK)
		k = fd_open_at(dir, "rootfs", O_RDONLY | O_DIRECTORY, 0, &root, e);
	for (size_t l = 0; k == ERR_OK && l < i->doc.n_parts; l++)
		k = apply_blob(im, i, l, root, &total, e);
	if (k == ERR_OK)
		k = put_config(c, i, dir, root, e);
	if (k == ERR_OK)
		image_tell_left_out(&total);
	return k;
}

static int run_image(struct cli *c, struct unpack_args *a)
{
	const char *to = c->args[1];
	AUTO_IMAGES *im = NULL;
	AUTO_IMAGE i = { 0 };
	AUTO_CLOSE guard = -1;
	AUTO_CLOSE dir = -1;
	char id[DIGEST_TEXT_MAX];
	struct err e, ignored;
	struct jv *v;
	enum err_kind k = images_open(c->root, &im, &e);

	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, &e);
	if (k == ERR_OK)
		k = find_or_pull(im, c->args[0], a, &i, &e);
	if (k == ERR_OK && sys_mkdirat(AT_FDCWD, to, 0755) < 0)
		k = err_sys(&e, __func__, "make %s", to);
	if (k != ERR_OK)
		return cli_fail(&e);
	dir = sys_openat(AT_FDCWD, to, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	k = dir < 0 ? err_sys(&e, __func__, "open %s", to) : fill_bundle(c, im, &i, dir, &e);
	if (k == ERR_OK) {
		v = jv_pack("{s:s, s:s, s:s}", "name", c->args[0], "id",
			    digest_text(&i.doc.config.digest, id), "directory", to);
		return report_one(c, &v, NULL);
	}
	(void)!tree_remove(AT_FDCWD, to, &ignored); /* the failure at hand is told */
	return cli_fail(&e);
}

static int run(struct cli *c)
{
	struct unpack_args *a = c->options;

	if (a->expand_limit == 0)
		a->expand_limit = DECODE_LIMIT_BYTES;
	if (a->layers.n)
		return run_layers(c, a);
	if (c->args_n != 2)
		return cli_usage(c, "unpack: IMAGE and DIRECTORY, or --layer FILE... ROOTFS");
	return run_image(c, a);
}

static const struct opt opts[] = {
	{ "layer", 0, OPT_TEXTS, offsetof(struct unpack_args, layers), "FILE...",
	  "apply layer files (tar, tar+gzip, tar+zstd) in this order to the directory" },
	{ "expand-limit", 0, OPT_SIZE, offsetof(struct unpack_args, expand_limit), "SIZE",
	  "let a layer grow to this size however small it is (1G)" },
	{ "platform", 0, OPT_TEXT, offsetof(struct unpack_args, platform), "OS/ARCH[/VARIANT]",
	  "which image of an index" },
	REGISTRY_OPTS(offsetof(struct unpack_args, registry)),
	OPTS_END
};

const struct command cmd_unpack = {
	.name = "unpack",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct unpack_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "[OPTION]... IMAGE DIRECTORY | --layer FILE... ROOTFS",
	.doc = "make a bundle of an image, or apply layers to a directory",
};
