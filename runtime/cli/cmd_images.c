/* images, rmi, tag, prune: the images that this machine has. */
#include "runtime/cli/ctl.h"
#include "runtime/cli/report.h"

/* --- images --- */

struct images_args {
	bool quiet, digests;
};

struct listing {
	struct images *im;
	const struct images_args *args;
	bool json;
	struct sbuf text;
	struct jv *list;
};

static uint64_t size_of(const struct image *i)
{
	uint64_t n = 0;

	for (size_t l = 0; l < i->doc.n_parts; l++)
		n += i->doc.parts[l].size_bytes;
	return n;
}

static const char *tag_shown(const struct image *i)
{
	return i->ref.tag.len ? i->ref.tag.s : "<none>";
}

static bool add_json(struct listing *l, const struct image *i)
{
	char name[REFERENCE_TEXT_MAX], id[DIGEST_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	char platform[PLATFORM_TEXT_MAX];

	return jv_append(l->list, jv_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:I}", "name",
					  reference_text(&i->ref, name), "id",
					  digest_text(&i->doc.config.digest, id), "digest",
					  digest_text(&i->top, digest), "platform",
					  platform_text(&i->config.platform, platform), "created",
					  i->config.created, "pulled_ms", (long long)i->pulled_ms,
					  "size_bytes", (long long)size_of(i)));
}

static void add_line(struct listing *l, const struct image *i)
{
	char name[REFERENCE_TEXT_MAX], id[DIGEST_HEX_MAX + 1], age[IMAGE_AGE_MAX],
	    size[TEXT_SIZE_MAX], digest[DIGEST_TEXT_MAX];
	struct reference bare = i->ref;

	if (l->args->quiet) {
		sbuf_addf(&l->text, "%s\n", image_short_id(&i->doc.config.digest, id));
		return;
	}
	bare.has_digest = false;
	(void)reference_name(&bare, name);
	sbuf_addf(&l->text, "%-40s %-16s %-12s %12s ago %9s",
		  str_starts(str_of(name), STR("docker.io/library/")) ? name + 18 : name,
		  tag_shown(i), image_short_id(&i->doc.config.digest, id),
		  image_age(i->pulled_ms, age), text_size(size_of(i), size));
	if (l->args->digests)
		sbuf_addf(&l->text, " %s", digest_text(&i->top, digest));
	sbuf_addf(&l->text, "\n");
}

static enum err_kind list_entry(void *arg, const struct images_entry *entry, struct err *e)
{
	struct listing *l = arg;
	AUTO_IMAGE i = { 0 };
	struct reference ref = entry->ref;
	struct err why;
	enum err_kind k;

	if (entry->user)
		return ERR_OK;
	k = images_load(l->im, &ref, NULL, &i, &why);
	if (k == ERR_NO_MEMORY || k == ERR_IO) {
		*e = why;
		return k;
	}
	if (k != ERR_OK) { /* of another platform only, or no image that runs */
		i.ref = entry->ref;
		i.top = i.doc.config.digest = entry->top;
		i.pulled_ms = entry->pulled_ms;
		i.config.created = "";
	}
	if (!l->json)
		add_line(l, &i);
	else if (!add_json(l, &i))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the list");
	return ERR_OK;
}

static enum err_kind list_all(struct listing *l, struct err *e)
{
	enum err_kind k = images_begin(l->im, e);

	if (k != ERR_OK)
		return k;
	k = images_each(l->im, list_entry, l, e);
	images_end(l->im);
	return k;
}

static int run_images(struct cli *c)
{
	AUTO_IMAGES *im = NULL;
	AUTO_SBUF text;
	struct listing l = { .args = c->options, .json = c->json, .list = jv_new_array() };
	struct err e;
	enum err_kind k = images_open(c->root, &im, &e);
	int status;

	l.im = im;
	sbuf_init(&l.text, SBUF_MAX);
	if (!l.args->quiet)
		sbuf_addf(&l.text, "%-40s %-16s %-12s %16s %9s\n", "REPOSITORY", "TAG", "IMAGE ID",
			  "PULLED", "SIZE");
	if (k == ERR_OK)
		k = list_all(&l, &e);
	text = l.text;
	if (k != ERR_OK)
		status = cli_fail(&e);
	else
		status = l.json ? cli_print_json(&l.list) : cli_print(&text);
	jv_free(&l.list);
	return status;
}

static const struct opt images_opts[] = {
	{ "quiet", 'q', OPT_FLAG, offsetof(struct images_args, quiet), NULL, "print ids only" },
	{ "digests", 0, OPT_FLAG, offsetof(struct images_args, digests), NULL, "print digests" },
	OPTS_END
};

const struct command cmd_images = {
	.name = "images",
	.run = run_images,
	.opts = images_opts,
	.options_size = sizeof(struct images_args),
	.usage = "[OPTION]...",
	.doc = "list the images that are here",
};

/* --- rmi --- */

/* A name goes alone; an id takes all of its names. */
static enum err_kind untag(struct images *im, const char *name, struct jv **ret_id, struct err *e)
{
	AUTO_IMAGE i = { 0 };
	char id[DIGEST_TEXT_MAX];
	struct reference ref;
	struct tag_name tag;
	struct err of_name;
	enum err_kind k = reference_parse(&ref, str_of(name), &of_name);

	if (k != ERR_OK || images_load(im, &ref, NULL, &i, &of_name) == ERR_NOT_FOUND) {
		k = images_find(im, name, NULL, &i, e);
		ref = i.ref;
	}
	if (k != ERR_OK)
		return k;
	*ret_id = jv_pack("{s:s}", "id", digest_text(&i.doc.config.digest, id));
	tag = images_tag_of(&ref);
	return reference_to_store(&ref, &i.repo)
		   ? images_untag(im, &i.repo, &tag, e)
		   : err_set(e, ERR_INVALID, __func__, "\"%.100s\" is too long a name", name);
}

/* All that can go do, whatever is wrong with others. */
static enum err_kind untag_all(struct images *im, const struct cli *c, struct report *r,
			       struct err *e)
{
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	for (size_t i = 0; i < c->args_n; i++) {
		struct jv *id = NULL;
		struct err why;
		enum err_kind one = untag(im, c->args[i], &id, &why);

		report_add(r, c->args[i], &id, false, one == ERR_OK ? NULL : &why);
	}
	images_end(im);
	return ERR_OK;
}

static int run_rmi(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_IMAGES *im = NULL;
	struct pruned pruned = { 0 };
	struct report r;
	struct err e;
	enum err_kind k = ctl_open(c, &t, &e);

	report_begin(&r, c);
	if (k == ERR_OK)
		k = images_open(c->root, &im, &e);
	if (k == ERR_OK)
		k = untag_all(im, c, &r, &e);
	if (k == ERR_OK)
		k = ctl_prune(&t, im, &pruned, &e);
	if (k == ERR_IN_USE)
		cli_note("names are removed; contents go with the next berth prune: images are "
			 "being pulled or started");
	else if (k != ERR_OK)
		r.status = cli_fail(&e);
	return report_end(&r);
}

static const struct opt no_opts[] = { OPTS_END };

const struct command cmd_rmi = {
	.name = "rmi",
	.run = run_rmi,
	.opts = no_opts,
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "IMAGE...",
	.doc = "remove images; what containers use of them stays until they are gone",
};

/* --- tag --- */

static enum err_kind tag(struct images *im, const char *from, const struct reference *to,
			 struct digest *ret_id, struct err *e)
{
	AUTO_IMAGE i = { 0 };
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = images_find(im, from, NULL, &i, e);
	if (k == ERR_OK)
		k = images_tag(im, &i, to, e);
	*ret_id = i.doc.config.digest;
	images_end(im);
	return k;
}

static int run_tag(struct cli *c)
{
	AUTO_IMAGES *im = NULL;
	AUTO_CLOSE guard = -1;
	char name[REFERENCE_TEXT_MAX], text[DIGEST_TEXT_MAX];
	struct reference to;
	struct digest id;
	struct err e;
	struct jv *v;
	enum err_kind k = reference_parse(&to, str_of(c->args[1]), &e);

	if (k == ERR_OK)
		k = images_open(c->root, &im, &e);
	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, &e);
	if (k == ERR_OK)
		k = tag(im, c->args[0], &to, &id, &e);
	if (k != ERR_OK)
		return cli_fail(&e);
	v = jv_pack("{s:s, s:s}", "name", reference_text(&to, name), "id", digest_text(&id, text));
	return report_one(c, &v, NULL);
}

const struct command cmd_tag = {
	.name = "tag",
	.run = run_tag,
	.opts = no_opts,
	.args_min = 2,
	.args_max = 2,
	.usage = "IMAGE NAME[:TAG]",
	.doc = "give an image another name",
};

/* --- prune --- */

static int run_prune(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	AUTO_IMAGES *im = NULL;
	AUTO_SBUF text = { 0 };
	struct pruned p = { 0 };
	uint64_t swept = 0;
	char size[TEXT_SIZE_MAX];
	struct err e;
	struct jv *v;
	enum err_kind k = images_open(c->root, &im, &e);

	if (k == ERR_OK)
		k = ctl_open(c, &t, &e);
	if (k == ERR_OK)
		k = containers_sweep(&t.cs, &swept, &e);
	if (k == ERR_OK)
		k = ctl_prune(&t, im, &p, &e);
	if (k == ERR_OK)
		k = prune_leftovers(im, &p, &e);
	if (k == ERR_OK)
		k = layers_settle(im, &e);
	if (k != ERR_OK)
		return cli_fail(&e);
	if (c->json) {
		v = jv_pack("{s:I, s:I}", "layers", (long long)p.layers, "bytes",
			    (long long)p.bytes);
		return cli_print_json(&v);
	}
	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text, "%llu layers and %s of content removed\n", (unsigned long long)p.layers,
		  text_size(p.bytes, size));
	return cli_print(&text);
}

const struct command cmd_prune = {
	.name = "prune",
	.run = run_prune,
	.opts = no_opts,
	.usage = "[OPTION]...",
	.doc = "remove what no image and no container needs, and make the rest last",
};
