/* copy, and inspect of docker://NAME: images in registries, which this machine need not have. */
#include "runtime/cli/image.h"
#include "runtime/cli/remote.h"
#include "runtime/image/relay.h"

struct copy_args {
	struct registry_args registry;
	const char *platform, *source_creds, *sink_creds;
	bool referrers, quiet;
};

static void show(void *arg, const struct digest *d, uint64_t size_bytes, enum relay_how how)
{
	static const char *const texts[] = { [RELAY_THERE] = "there already,",
					     [RELAY_MOUNTED] = "mounted,",
					     [RELAY_SENT] = "sent" };
	char id[DIGEST_HEX_MAX + 1], size[TEXT_SIZE_MAX];

	(void)arg;
	cli_note("%s: %s %s", image_short_id(d, id), texts[how], text_size(size_bytes, size));
}

static enum err_kind make_client(const struct copy_args *a, const char *creds,
				 struct registry_args *own, struct client **ret, struct err *e)
{
	*own = a->registry;
	if (creds)
		own->creds = creds;
	return registry_client(own, ret, e);
}

static enum err_kind copy(struct cli *c, struct digest *ret, struct err *e)
{
	const struct copy_args *a = c->options;
	AUTO_CLIENT *source = NULL;
	AUTO_CLIENT *sink = NULL;
	struct registry_args *own = arena_array(&c->arena, 2, sizeof(*own));
	struct platform want;
	struct relay_options o = { .referrers = a->referrers,
				   .progress = a->quiet || c->json ? NULL : show };
	struct reference from, to;
	enum err_kind k = own ? registry_reference(c->args[0], &from, e)
			      : err_set(e, ERR_NO_MEMORY, __func__, "no memory");

	if (k == ERR_OK)
		k = registry_reference(c->args[1], &to, e);
	if (k == ERR_OK && a->platform) {
		k = platform_parse(&want, str_of(a->platform), e);
		o.platform = &want;
	}
	if (k == ERR_OK)
		k = make_client(a, a->source_creds, &own[0], &source, e);
	if (k == ERR_OK)
		k = make_client(a, a->sink_creds, &own[1], &sink, e);
	if (k == ERR_OK)
		k = relay_image(source, &from, sink, &to, &o, ret, e);
	for (unsigned i = 0; own && i < 2; i++)
		credential_clear(&own[i].given);
	return k;
}

static int run_copy(struct cli *c)
{
	AUTO_SBUF line = { 0 };
	char text[DIGEST_TEXT_MAX];
	struct digest copied;
	struct err e;
	struct jv *v;

	if (copy(c, &copied, &e) != ERR_OK)
		return cli_fail(&e);
	if (c->json) {
		v = jv_pack("{s:s, s:s}", "name", c->args[1], "digest", digest_text(&copied, text));
		return cli_print_json(&v);
	}
	sbuf_init(&line, SBUF_MAX);
	sbuf_addf(&line, "%s\n", digest_text(&copied, text));
	return cli_print(&line);
}

static const struct opt copy_opts[] = {
	{ "platform", 0, OPT_TEXT, offsetof(struct copy_args, platform), "OS/ARCH[/VARIANT]",
	  "of an index this image only (all of it)" },
	{ "referrers", 0, OPT_FLAG, offsetof(struct copy_args, referrers), NULL,
	  "signatures, attestations and what else refers to it, too" },
	{ "src-creds", 0, OPT_TEXT, offsetof(struct copy_args, source_creds), "USER:PASSWORD",
	  "for the source" },
	{ "dest-creds", 0, OPT_TEXT, offsetof(struct copy_args, sink_creds), "USER:PASSWORD",
	  "for the destination" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct copy_args, quiet), NULL, "show no progress" },
	REGISTRY_OPTS(offsetof(struct copy_args, registry)),
	OPTS_END
};

const struct command cmd_copy = {
	.name = "copy",
	.run = run_copy,
	.opts = copy_opts,
	.options_size = sizeof(struct copy_args),
	.args_min = 2,
	.args_max = 2,
	.usage = "[OPTION]... IMAGE DESTINATION",
	.doc = "copy an image from registry to registry",
};

/* --- inspect docker://NAME --- */

struct remote {
	struct client *client;
	struct client_repo repo;
	struct client_manifest top, child; /* child only if top is an index */
	struct imagedoc doc;
	struct sbuf config_bytes;
	struct image_config config;
};

static void remote_clear(struct remote *r)
{
	client_manifest_clear(&r->top);
	client_manifest_clear(&r->child);
	imagedoc_clear(&r->doc);
	sbuf_clear(&r->config_bytes);
	config_clear(&r->config);
	client_free(&r->client);
}

static enum err_kind parse(const struct client_manifest *m, struct imagedoc *ret, struct err *e)
{
	return imagedoc_parse((struct str){ m->body.p, m->body.n }, str_of(m->type), &m->digest,
			      ret, e);
}

static enum err_kind read_child(struct remote *r, const struct platform *want, struct err *e)
{
	AUTO_IMAGEDOC index = r->doc;
	const struct descriptor *d;
	enum err_kind k = imagedoc_choose(&index, want, &d, e);

	r->doc = (struct imagedoc){ 0 };
	if (k == ERR_OK)
		k = client_manifest_get(&r->repo, &d->digest, d->size_bytes, &r->child, e);
	return k == ERR_OK ? parse(&r->child, &r->doc, e) : k;
}

/* What is needed of it: the manifest for raw, else the image's configuration, too. */
static enum err_kind read_remote(struct remote *r, const struct reference *ref,
				 const struct platform *want, const struct remote_args *a,
				 struct err *e)
{
	size_t place = 0;
	enum err_kind k = client_pull_manifest(r->client, ref, &place, &r->top, &r->repo, e);

	if (k != ERR_OK || (a->raw && !a->platform))
		return k;
	k = parse(&r->top, &r->doc, e);
	if (k == ERR_OK && r->doc.kind == MEDIA_INDEX)
		k = read_child(r, want, e);
	if (k != ERR_OK || a->raw)
		return k;
	sbuf_init(&r->config_bytes, CONFIG_BYTES_MAX);
	k = client_blob_read(&r->repo, &r->doc.config, CONFIG_BYTES_MAX, &r->config_bytes, e);
	return k == ERR_OK && !a->config
		   ? config_parse((struct str){ r->config_bytes.p, r->config_bytes.n }, &r->config,
				  e)
		   : k;
}

static struct jv *layers_json(const struct imagedoc *doc, bool with_data)
{
	struct jv *list = jv_new_array();
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; list && i < doc->n_parts; i++) {
		const struct descriptor *d = &doc->parts[i];
		struct jv *one = with_data ? jv_pack("{s:s, s:s, s:I}", "MIMEType", d->media_type,
						     "Digest", digest_text(&d->digest, text),
						     "Size", (long long)d->size_bytes)
					   : jv_pack("s", digest_text(&d->digest, text));

		if (!jv_append(list, one))
			jv_free(&list);
	}
	return list;
}

/* As skopeo has it. */
static struct jv *remote_json(const struct remote *r, const struct reference *ref)
{
	const struct image_config *c = &r->config;
	char name[REFERENCE_TEXT_MAX], digest[DIGEST_TEXT_MAX];
	struct jv *labels = jv_pack("{}");
	struct jv *v;

	for (size_t i = 0; labels && i < c->labels.n; i++) {
		if (!jv_set(labels, c->labels.keys[i], jv_pack("s", c->labels.values[i])))
			jv_free(&labels);
	}
	v = jv_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:o, s:o, s:o}", "Name",
		    reference_name(ref, name), "Digest", digest_text(&r->top.digest, digest),
		    "Created", c->created, "Labels", labels, "Architecture", c->platform.arch, "Os",
		    c->platform.os, "Layers", layers_json(&r->doc, false), "LayersData",
		    layers_json(&r->doc, true), "Env", jv_new_texts(c->env.v, c->env.n));
	if (v && *c->platform.variant && !jv_set(v, "Variant", jv_pack("s", c->platform.variant)))
		jv_free(&v);
	return v;
}

static int print_remote(const struct remote *r, const struct reference *ref,
			const struct remote_args *a)
{
	struct jv *v;

	if (a->raw)
		return cli_print(r->child.body.n ? &r->child.body : &r->top.body);
	if (a->config)
		return cli_print(&r->config_bytes);
	v = remote_json(r, ref);
	return cli_print_json(&v);
}

int remote_inspect(const char *name, struct remote_args *a)
{
	CLEANUP(remote_clear) struct remote r = { 0 };
	struct reference ref;
	struct platform want = platform_host();
	struct err e;
	enum err_kind k = registry_reference(name, &ref, &e);

	if (k == ERR_OK && a->platform)
		k = platform_parse(&want, str_of(a->platform), &e);
	if (k == ERR_OK)
		k = registry_client(&a->registry, &r.client, &e);
	if (k == ERR_OK)
		k = read_remote(&r, &ref, &want, a, &e);
	credential_clear(&a->registry.given);
	return k == ERR_OK ? print_remote(&r, &ref, a) : cli_fail(&e);
}
