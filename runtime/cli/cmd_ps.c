/* ps, inspect: what is there, and how it is. */
#include "base/clock.h"
#include "runtime/cli/ctl.h"
#include "runtime/cli/network_view.h"
#include "runtime/cli/remote.h"

#define ID_SHOWN 12
#define COMMAND_SHOWN 24
#define STATUS_TEXT_MAX 96

struct ps_args {
	bool all, quiet, no_trunc;
	struct text_list filters;
};

struct listing {
	const struct ps_args *args;
	bool json;
	struct network_view networks;
	struct sbuf text;
	struct jv *list;
};

/* "Up 3 minutes (healthy)", "Exited (1) 2 hours ago" */
static const char *status_text(const struct status *s, bool supervised,
			       char buf[static STATUS_TEXT_MAX])
{
	char age[IMAGE_AGE_MAX];

	switch (s->phase) {
	case PHASE_CREATED:
		return "Created";
	case PHASE_STARTING:
		return "Starting";
	case PHASE_RUNNING:
	case PHASE_PAUSED:
		(void)snprintf(
		    buf, STATUS_TEXT_MAX, "Up %s%s%s%s%s%s", image_age(s->started_ms, age),
		    s->phase == PHASE_PAUSED ? " (Paused)" : "",
		    s->health != HEALTH_NONE ? " (" : "",
		    s->health != HEALTH_NONE ? health_text(s->health) : "",
		    s->health != HEALTH_NONE ? ")" : "", supervised ? "" : " (without its shim)");
		return buf;
	case PHASE_RESTARTING:
		(void)snprintf(buf, STATUS_TEXT_MAX, "Restarting (%d) %s ago", s->exit_code,
			       image_age(s->finished_ms, age));
		return buf;
	case PHASE_EXITED:
		break;
	}
	if (!s->exit_is_known)
		return "Exited (nobody saw it)";
	(void)snprintf(buf, STATUS_TEXT_MAX, "Exited (%d) %s ago%s", s->exit_code,
		       image_age(s->finished_ms, age), s->oom ? " (out of memory)" : "");
	return buf;
}

static struct jv *pairs_json(const struct text_pairs *p)
{
	AUTO_JV *v = jv_pack("{}");

	for (size_t i = 0; v && i < p->keys.n; i++) {
		if (!jv_set(v, p->keys.v[i], jv_pack("s", p->values.v[i])))
			return NULL;
	}
	return TAKE(v);
}

static struct jv *entry_json(const struct container *c, const struct status *s, bool supervised,
			     const struct network_view *networks)
{
	const struct record *r = &c->record;

	return jv_pack(
	    "{s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:i, s:I, s:I, s:i, s:b, s:b, s:I, s:s, "
	    "s:b, s:s, s:o, s:o}",
	    "id", r->id, "name", r->name, "image", r->image, "image_id", r->image_id, "command",
	    jv_new_texts(r->command.v, r->command.n), "created_ms", (long long)r->created_ms,
	    "status", phase_text(s->phase), "pid", (int)s->pid, "started_ms",
	    (long long)s->started_ms, "finished_ms", (long long)s->finished_ms, "exit_code",
	    s->exit_code, "exit_is_known", s->exit_is_known, "oom", s->oom, "restarts",
	    (long long)s->restarts, "health", health_text(s->health), "supervised", supervised,
	    "error", s->error, "labels", pairs_json(&r->labels), "networks",
	    network_view_of(networks, r->id));
}

static void add_command(struct sbuf *b, const struct record *r)
{
	AUTO_SBUF whole;

	sbuf_init(&whole, 64u * 1024);
	for (size_t i = 0; i < r->command.n; i++) {
		sbuf_addf(&whole, "%s", i ? " " : "");
		text_show(&whole, str_of(r->command.v[i]));
	}
	sbuf_addf(b, "%-*.*s", COMMAND_SHOWN, COMMAND_SHOWN, whole.failed ? "..." : whole.p);
}

/* 0.0.0.0:8080->80/tcp, ...: in a column of its own, so that the name stays the last word. */
static void add_ports(struct listing *l, const struct record *r)
{
	AUTO_JV *networks = network_view_of(&l->networks, r->id);
	AUTO_SBUF ports;

	sbuf_init(&ports, SBUF_MAX);
	network_view_ports(networks, &ports);
	sbuf_addf(&l->text, "%-24s ", ports.p ? ports.p : "");
}

static void add_line(struct listing *l, const struct container *c, const struct status *s,
		     bool supervised)
{
	const struct record *r = &c->record;
	int shown = l->args->no_trunc ? CONTAINER_ID_LEN : ID_SHOWN;
	char text[STATUS_TEXT_MAX], age[IMAGE_AGE_MAX];

	if (l->args->quiet) {
		sbuf_addf(&l->text, "%.*s\n", shown, r->id);
		return;
	}
	sbuf_addf(&l->text, "%.*s  %-32s ", shown, r->id, *r->rootfs ? r->rootfs : r->image);
	add_command(&l->text, r);
	sbuf_addf(&l->text, " %12s ago  %-28s ", image_age(r->created_ms, age),
		  status_text(s, supervised, text));
	add_ports(l, r);
	sbuf_addf(&l->text, "%s\n", r->name);
}

static bool has_label(const struct record *r, struct str label)
{
	struct str key, value;
	bool has_value = str_cut(label, '=', &key, &value);

	for (size_t i = 0; i < r->labels.keys.n; i++) {
		if (str_eq(str_of(r->labels.keys.v[i]), key) &&
		    (!has_value || str_eq(str_of(r->labels.values.v[i]), value)))
			return true;
	}
	return false;
}

static bool matches(const struct record *r, const struct status *s, struct str filter)
{
	struct str key, value;

	(void)str_cut(filter, '=', &key, &value);
	if (str_eq(key, STR("name")))
		return memmem(r->name, strlen(r->name), value.p, value.n) != NULL;
	if (str_eq(key, STR("id")))
		return str_starts(str_of(r->id), value);
	if (str_eq(key, STR("status")))
		return str_eq(value, str_of(phase_text(s->phase)));
	if (str_eq(key, STR("label")))
		return has_label(r, value);
	return str_eq(key, STR("ancestor")) && str_eq(value, str_of(r->image));
}

static enum err_kind list_one(void *arg, struct container *c, struct err *e)
{
	struct listing *l = arg;
	struct status s;
	bool supervised;
	enum err_kind k = status_now(c->dir, &s, &supervised, e);

	if (k != ERR_OK)
		return k;
	if (!l->args->all && l->args->filters.n == 0 &&
	    (s.phase == PHASE_EXITED || s.phase == PHASE_CREATED))
		return ERR_OK;
	for (size_t i = 0; i < l->args->filters.n; i++) {
		if (!matches(&c->record, &s, str_of(l->args->filters.v[i])))
			return ERR_OK;
	}
	if (!l->json)
		add_line(l, c, &s, supervised);
	else if (!jv_append(l->list, entry_json(c, &s, supervised, &l->networks)))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the list");
	return ERR_OK;
}

static bool filter_is_known(const char *filter)
{
	static const char *const known[] = { "name=", "id=", "status=", "label=", "ancestor=" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (str_starts(str_of(filter), str_of(known[i])))
			return true;
	}
	return false;
}

static int run_ps(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	struct listing l = { .args = c->options, .json = c->json, .list = jv_new_array() };
	struct err e;
	enum err_kind k;
	int status;

	for (size_t i = 0; i < l.args->filters.n; i++) {
		if (!filter_is_known(l.args->filters.v[i]))
			return cli_usage(c, "ps: --filter name=, id=, status=, label=, ancestor=");
	}
	sbuf_init(&l.text, SBUF_MAX);
	if (!l.args->quiet)
		sbuf_addf(&l.text, "%-12s  %-32s %-24s %16s  %-28s %-24s %s\n", "CONTAINER",
			  "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME");
	k = ctl_open(c, &t, &e);
	if (k == ERR_OK)
		k = network_view_open(&l.networks, &e);
	if (k == ERR_OK)
		k = containers_each(&t.cs, list_one, &l, &e);
	if (k != ERR_OK)
		status = cli_fail(&e);
	else
		status = l.json ? cli_print_json(&l.list) : cli_print(&l.text);
	network_view_close(&l.networks);
	sbuf_clear(&l.text);
	jv_free(&l.list);
	return status;
}

static const struct opt ps_opts[] = {
	{ "all", 'a', OPT_FLAG, offsetof(struct ps_args, all), NULL, "also those that do not run" },
	{ "quiet", 'q', OPT_FLAG, offsetof(struct ps_args, quiet), NULL, "print ids only" },
	{ "filter", 'f', OPT_TEXTS, offsetof(struct ps_args, filters), "NAME=VALUE",
	  "name, id, status, label, ancestor" },
	{ "no-trunc", 0, OPT_FLAG, offsetof(struct ps_args, no_trunc), NULL, "print whole ids" },
	OPTS_END
};

const struct command cmd_ps = {
	.name = "ps",
	.run = run_ps,
	.opts = ps_opts,
	.options_size = sizeof(struct ps_args),
	.usage = "[OPTION]...",
	.doc = "list containers",
};

/* --- inspect --- */

static enum err_kind inspect_container(struct ctl *t, const char *name, struct jv *list,
				       struct err *e)
{
	AUTO_CONTAINER c = CONTAINER_INIT;
	AUTO_NETWORK_VIEW networks = { .all = { 0 } };
	struct jv *record = NULL, *config = NULL;
	struct status s;
	bool supervised;
	enum err_kind k = container_find(&t->cs, name, &c, e);

	if (k == ERR_OK)
		k = status_now(c.dir, &s, &supervised, e);
	if (k == ERR_OK)
		k = ctl_read_json(&c, RECORD_FILE, &record, e);
	if (k == ERR_OK)
		k = ctl_read_json(&c, "config.json", &config, e);
	if (k == ERR_OK)
		k = network_view_open(&networks, e);
	if (k == ERR_OK &&
	    !jv_append(list, jv_pack("{s:o, s:o, s:o, s:s}", "state",
				     entry_json(&c, &s, supervised, &networks), "container",
				     TAKE(record), "config", TAKE(config), "log_path",
				     arena_printf(&t->c->arena, "%s/containers/%s/log", t->cs.root,
						  c.record.id))))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for the description");
	jv_free(&record);
	jv_free(&config);
	return k;
}

static struct jv *layers_json(const struct image *i)
{
	AUTO_JV *list = jv_new_array();
	char d[DIGEST_TEXT_MAX], chain[DIGEST_TEXT_MAX];

	for (size_t l = 0; list && l < i->doc.n_parts; l++) {
		const struct descriptor *part = &i->doc.parts[l];

		if (!jv_append(list, jv_pack("{s:s, s:s, s:I, s:s}", "digest",
					     digest_text(&part->digest, d), "mediaType",
					     part->media_type, "size", (long long)part->size_bytes,
					     "chain_id", digest_text(&i->chain_ids[l], chain))))
			return NULL;
	}
	return TAKE(list);
}

static enum err_kind load_config(struct images *im, const struct image *i, struct jv **ret,
				 struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF b;
	uint64_t size;
	enum err_kind k = images_blob_open(im, &i->repo, &i->doc.config.digest, &fd, &size, e);

	sbuf_init(&b, CONFIG_BYTES_MAX);
	if (k == ERR_OK)
		k = fd_read_rest(fd, &b, "image config", e);
	return k == ERR_OK ? jv_parse_object_u64((struct str){ b.p, b.n }, 32, ret, e) : k;
}

static enum err_kind describe_image(struct images *im, const char *name, struct jv *list,
				    struct err *e)
{
	AUTO_IMAGE i = { 0 };
	AUTO_JV *config = NULL;
	char ref[REFERENCE_TEXT_MAX], id[DIGEST_TEXT_MAX], d[DIGEST_TEXT_MAX], m[DIGEST_TEXT_MAX];
	enum err_kind k = images_find(im, name, NULL, &i, e);

	if (k == ERR_OK)
		k = load_config(im, &i, &config, e);
	if (k != ERR_OK)
		return k;
	return jv_append(list, jv_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "name",
				       reference_text(&i.ref, ref), "id",
				       digest_text(&i.doc.config.digest, id), "digest",
				       digest_text(&i.top, d), "manifest",
				       digest_text(&i.doc.digest, m), "mediaType", i.doc.media_type,
				       "layers", layers_json(&i), "config", TAKE(config)))
		   ? ERR_OK
		   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for the description");
}

static enum err_kind inspect_image(struct ctl *t, const char *name, struct jv *list, struct err *e)
{
	AUTO_IMAGES *im = NULL;
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = images_begin(im, e);
	if (k != ERR_OK)
		return k;
	k = describe_image(im, name, list, e);
	images_end(im);
	return k;
}

static bool is_remote(const char *name)
{
	return strncmp(name, REGISTRY_SCHEME, sizeof(REGISTRY_SCHEME) - 1) == 0;
}

static int inspect_here(struct cli *c)
{
	AUTO_CTL t = CTL_INIT;
	struct jv *list = jv_new_array();
	struct err e;
	enum err_kind k = ctl_open(c, &t, &e);
	int status;

	for (size_t i = 0; k == ERR_OK && i < c->args_n; i++) {
		k = inspect_container(&t, c->args[i], list, &e);
		if (k == ERR_NOT_FOUND && inspect_image(&t, c->args[i], list, &e) == ERR_OK)
			k = ERR_OK;
	}
	status = k == ERR_OK ? cli_print_json(&list) : cli_fail(&e);
	jv_free(&list);
	return status;
}

static int run_inspect(struct cli *c)
{
	return c->args_n == 1 && is_remote(c->args[0]) ? remote_inspect(c->args[0], c->options)
						       : inspect_here(c);
}

static const struct opt inspect_opts[] = {
	{ "raw", 0, OPT_FLAG, offsetof(struct remote_args, raw), NULL,
	  "of docker://IMAGE: its manifest or index, byte by byte" },
	{ "config", 0, OPT_FLAG, offsetof(struct remote_args, config), NULL,
	  "of docker://IMAGE: its configuration, byte by byte" },
	{ "platform", 0, OPT_TEXT, offsetof(struct remote_args, platform), "OS/ARCH[/VARIANT]",
	  "of docker://IMAGE: the image of an index (this machine's)" },
	REGISTRY_OPTS(offsetof(struct remote_args, registry)),
	OPTS_END
};

const struct command cmd_inspect = {
	.name = "inspect",
	.run = run_inspect,
	.opts = inspect_opts,
	.options_size = sizeof(struct remote_args),
	.args_min = 1,
	.args_max = SIZE_MAX,
	.usage = "CONTAINER|IMAGE...\n       berth inspect [OPTION]... docker://IMAGE",
	.doc = "print all that is known of containers or images, as JSON",
};
