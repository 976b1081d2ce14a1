/* commit, import: images made of what a container changed, or of a tar archive. */
#include "runtime/cli/ctl.h"
#include "runtime/cli/report.h"
#include "runtime/image/newimage.h"
#include "runtime/image/pack.h"
#include "runtime/image/tar.h"
#include "runtime/image/unpack.h"

#define READ_BYTES (256u * 1024)

static int report(const struct cli *c, const struct image *i, const struct reference *to)
{
	char id[DIGEST_TEXT_MAX], name[REFERENCE_TEXT_MAX];
	struct jv *v = jv_pack("{s:s, s:s}", "name", to ? reference_text(to, name) : "", "id",
			       digest_text(&i->doc.config.digest, id));

	return report_one(c, &v, id);
}

/* --- commit --- */

struct commit_args {
	struct text_list changes;
	const char *author, *message;
	enum opt_either pause;
};

static enum err_kind add_member(void *arg, const struct member *m, struct err *e)
{
	return tar_writer_add(arg, m, e);
}

static enum err_kind add_data(void *arg, const void *p, size_t n, struct err *e)
{
	return tar_writer_data(arg, p, n, e);
}

static enum err_kind to_layer(void *arg, const void *p, size_t n, struct err *e)
{
	return newlayer_write(arg, p, n, e);
}

static enum err_kind pack_changes(const struct container *c, struct newlayer *l, struct err *e)
{
	AUTO_TAR_WRITER *tar = NULL;
	AUTO_CLOSE upper = -1;
	struct pack_options o = { .form = PACK_LAYER, .in_userns = c->record.in_userns };
	struct pack_sink sink = { .member = add_member, .data = add_data };
	enum err_kind k = fd_open_at(c->dir, "upper", O_RDONLY | O_DIRECTORY, 0, &upper, e);

	if (k == ERR_OK)
		k = tar_writer_open(to_layer, l, &tar, e);
	sink.arg = tar;
	if (k == ERR_OK)
		k = pack_below(upper, "", &o, &sink, e);
	return k == ERR_OK ? tar_writer_finish(tar, e) : k;
}

/*
 * It stands still meanwhile, unless it is not to, or does anyway; an ordinary user's without a cgroup cannot, which is no
 * reason to have no image of it.
 */
static enum err_kind pack_still(struct ctl *t, struct container *c, const struct commit_args *a,
				struct newlayer *l, struct err *e)
{
	struct status now;
	struct err resumed;
	bool supervised, pause;
	enum err_kind k = status_now(c->dir, &now, &supervised, e), r = ERR_OK;

	pause = k == ERR_OK && supervised && now.phase == PHASE_RUNNING && a->pause != OPT_FALSE;
	if (pause)
		k = ctl_ask(t, c, SHIM_PAUSE, "", NULL, e);
	if (pause && k != ERR_OK && a->pause == OPT_UNSET && c->record.in_userns) {
		cli_note("container %s goes on meanwhile: %s", c->record.name, e->msg);
		pause = false;
		k = ERR_OK;
	}
	if (k != ERR_OK)
		return k;
	k = pack_changes(c, l, e);
	if (pause)
		r = ctl_ask(t, c, SHIM_RESUME, "", NULL, &resumed);
	if (k == ERR_OK && r != ERR_OK)
		*e = resumed;
	return k == ERR_OK ? r : k;
}

static enum err_kind find_base(struct images *im, const struct container *c, struct image *ret,
			       struct err *e)
{
	enum err_kind k;

	if (*c->record.rootfs)
		return err_set(e, ERR_UNSUPPORTED, __func__,
			       "container %s was made of a directory, not of an image",
			       c->record.name);
	k = images_begin(im, e);
	if (k != ERR_OK)
		return k;
	k = images_find(im, c->record.manifest, NULL, ret, e);
	images_end(im);
	return k;
}

static const char *joined(struct arena *a, const struct text_list *words)
{
	const char *all = words->n ? words->v[0] : NULL;

	for (size_t i = 1; all && i < words->n; i++)
		all = arena_printf(a, "%s %s", all, words->v[i]);
	return all;
}

static enum err_kind commit(struct ctl *t, struct container *c, const struct commit_args *a,
			    const struct reference *to, struct image *ret, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_IMAGE base = { 0 };
	AUTO_NEWLAYER *layer = NULL;
	AUTO_CLOSE guard = -1;
	struct newimage n = { .base = &base,
			      .changes = &a->changes,
			      .author = a->author,
			      .comment = a->message,
			      .created_by = joined(&t->c->arena, &c->record.command),
			      .form = image_form(),
			      .mask = CLI_UMASK };
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, e);
	if (k == ERR_OK)
		k = find_base(im, c, &base, e);
	if (k == ERR_OK)
		k = newlayer_new(im, &layer, e);
	n.layer = layer;
	if (k == ERR_OK)
		k = pack_still(t, c, a, layer, e);
	if (k == ERR_OK)
		k = newlayer_finish(layer, &n.digests, e);
	return k == ERR_OK ? newimage_make(im, &n, to, ret, e) : k;
}

static int run_commit(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_CONTAINER one = CONTAINER_INIT;
	AUTO_IMAGE made = { 0 };
	struct reference to;
	struct err e;
	enum err_kind k = ctl_open(c, &t, &e);

	if (k == ERR_OK && c->args_n > 1)
		k = reference_parse(&to, str_of(c->args[1]), &e);
	if (k == ERR_OK)
		k = container_find(&t.cs, c->args[0], &one, &e);
	if (k == ERR_OK)
		k = commit(&t, &one, c->options, c->args_n > 1 ? &to : NULL, &made, &e);
	return k == ERR_OK ? report(c, &made, c->args_n > 1 ? &to : NULL) : cli_fail(&e);
}

static const struct opt commit_opts[] = {
	{ "change", 'c', OPT_TEXTS, offsetof(struct commit_args, changes), "INSTRUCTION",
	  "of a Dockerfile, applied to the configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, "
	  "ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR" },
	{ "author", 'a', OPT_TEXT, offsetof(struct commit_args, author), "NAME", "who made it" },
	{ "message", 'm', OPT_TEXT, offsetof(struct commit_args, message), "TEXT",
	  "a comment for its history" },
	{ "pause", 'p', OPT_EITHER, offsetof(struct commit_args, pause), NULL,
	  "false: let the container run meanwhile" },
	OPTS_END
};

const struct command cmd_commit = {
	.name = "commit",
	.run = run_commit,
	.opts = commit_opts,
	.options_size = sizeof(struct commit_args),
	.args_min = 1,
	.args_max = 2,
	.usage = "[OPTION]... CONTAINER [IMAGE]",
	.doc = "make an image of a container's changes",
};

/* --- import --- */

struct import_args {
	struct text_list changes;
	const char *author, *message, *platform;
};

/* Whatever it is compressed with; the archive itself is checked when it is unpacked. */
static enum err_kind take_archive(int fd, struct newlayer *l, struct err *e)
{
	AUTO_DECODER *d = NULL;
	AUTO_FREE uint8_t *buf = malloc(READ_BYTES);
	size_t n = 0;
	enum err_kind k = decoder_open(unpack_read_fd, &fd, 0, &d, e);

	if (!buf)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to import");
	do {
		if (k == ERR_OK)
			k = decoder_read(d, buf, READ_BYTES, &n, e);
		if (k == ERR_OK && n > 0)
			k = newlayer_write(l, buf, n, e);
	} while (k == ERR_OK && n > 0);
	return k;
}

static enum err_kind import(struct cli *c, const struct import_args *a, struct reference *to,
			    struct image *ret, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_NEWLAYER *layer = NULL;
	AUTO_CLOSE in = -1;
	AUTO_CLOSE guard = -1;
	bool from_stdin = strcmp(c->args[0], "-") == 0;
	struct platform platform = platform_host();
	struct newimage n = { .platform = &platform,
			      .changes = &a->changes,
			      .author = a->author,
			      .comment = a->message,
			      .form = image_form(),
			      .mask = CLI_UMASK };
	enum err_kind k = reference_parse(to, str_of(c->args[1]), e);

	if (k == ERR_OK && a->platform)
		k = platform_parse(&platform, str_of(a->platform), e);
	if (k == ERR_OK) {
		in = from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				: sys_openat(AT_FDCWD, c->args[0], O_RDONLY | O_CLOEXEC, 0);
		k = in < 0 ? err_sys(e, __func__, "open %s", c->args[0])
			   : images_open(c->root, &im, e);
	}
	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, e);
	if (k == ERR_OK)
		k = newlayer_new(im, &layer, e);
	n.layer = layer;
	if (k == ERR_OK)
		k = take_archive(in, layer, e);
	if (k == ERR_OK)
		k = newlayer_finish(layer, &n.digests, e);
	return k == ERR_OK ? newimage_make(im, &n, to, ret, e) : k;
}

static int run_import(struct cli *c)
{
	AUTO_IMAGE made = { 0 };
	struct reference to;
	struct err e;

	return import(c, c->options, &to, &made, &e) == ERR_OK ? report(c, &made, &to)
							       : cli_fail(&e);
}

static const struct opt import_opts[] = {
	{ "change", 'c', OPT_TEXTS, offsetof(struct import_args, changes), "INSTRUCTION",
	  "as for commit" },
	{ "author", 'a', OPT_TEXT, offsetof(struct import_args, author), "NAME", "who made it" },
	{ "message", 'm', OPT_TEXT, offsetof(struct import_args, message), "TEXT",
	  "a comment for its history" },
	{ "platform", 0, OPT_TEXT, offsetof(struct import_args, platform), "OS/ARCH[/VARIANT]",
	  "what it is for (this machine's)" },
	OPTS_END
};

const struct command cmd_import = {
	.name = "import",
	.run = run_import,
	.opts = import_opts,
	.options_size = sizeof(struct import_args),
	.args_min = 2,
	.args_max = 2,
	.usage = "[OPTION]... FILE|- IMAGE",
	.doc = "make an image of a root file system's tar archive",
};
