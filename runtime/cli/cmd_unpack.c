/* unpack: layers applied to a directory, or a bundle made of an image. */
#include "base/fd.h"
#include "runtime/cli/image.h"
#include "runtime/image/unpack.h"

struct unpack_args {
	struct text_list layers;
	uint64_t expand_limit;
	bool json;
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

static int unpack_layers(const struct unpack_args *a, size_t n, const char *const *files,
			 const char *dir)
{
	AUTO_CLOSE root = -1;
	bool made;
	struct err e, ignored;
	enum err_kind k = open_rootfs(dir, &made, &root, &e);

	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = apply_layer(root, files[i], a, &e);
	if (k == ERR_OK)
		return EXIT_FINE;
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
	return unpack_layers(a, n, files, c->args[c->args_n - 1]);
}

static int run(struct cli *c)
{
	struct unpack_args *a = c->options;

	if (a->expand_limit == 0)
		a->expand_limit = DECODE_LIMIT_BYTES;
	if (a->layers.n)
		return run_layers(c, a);
	return cli_usage(c, "unpack: --layer is needed");
}

static const struct opt opts[] = {
	{ "layer", 0, OPT_TEXTS, offsetof(struct unpack_args, layers), "FILE...",
	  "apply layer files (tar, tar+gzip, tar+zstd) in this order to the directory" },
	{ "expand-limit", 0, OPT_SIZE, offsetof(struct unpack_args, expand_limit), "SIZE",
	  "let a layer grow to this size however small it is (1G)" },
	OPTS_END
};

const struct command cmd_unpack = {
	.name = "unpack",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct unpack_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.as_owner = true,
	.usage = "[OPTION]... --layer FILE... ROOTFS",
	.doc = "apply layers to a directory",
};
