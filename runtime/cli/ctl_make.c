/* A container made of an image and options: its directory with all that is needed to start it, again and again. */
#include <errno.h>
#include <linux/openat2.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "runtime/cli/ctl.h"
#include "runtime/cli/network_run.h"
#include "runtime/container/overlay.h"
#include "runtime/container/usermap.h"
#include "runtime/container/userns.h"

#define STOP_TIMEOUT_MS 10000
#define HEALTH_INTERVAL_MS 30000
#define HEALTH_RETRIES 3
#define NS_PER_MS 1000000u
#define RESOLV_MAX (64u * 1024)
#define HEALTH_DEPTH_MAX 2

/* --- The image --- */

static enum err_kind find_here(struct images *im, const struct make_options *o, struct image *ret,
			       struct err *e)
{
	struct platform want = platform_host();
	enum err_kind k = o->platform ? platform_parse(&want, str_of(o->platform), e) : ERR_OK;

	if (k == ERR_OK)
		k = images_begin(im, e);
	if (k != ERR_OK)
		return k;
	k = images_find(im, o->image, &want, ret, e);
	images_end(im);
	return k;
}

static enum err_kind pull(struct images *im, const struct make_options *o, struct image *ret,
			  struct err *e)
{
	struct registry_args registry = o->registry;
	struct reference ref;
	enum err_kind k = reference_parse(&ref, str_of(o->image), e);

	return k == ERR_OK ? image_pull(im, &ref, &registry, o->platform, o->quiet, ret, e) : k;
}

static enum err_kind get_image(struct images *im, const struct make_options *o, struct image *ret,
			       struct err *e)
{
	enum err_kind k = ERR_NOT_FOUND;
	struct err here;

	if (o->pull == PULL_MISSING || o->pull == PULL_NEVER)
		k = find_here(im, o, ret, e);
	if (k == ERR_NOT_FOUND && o->pull != PULL_NEVER)
		k = pull(im, o, ret, e);
	/* As podman has it: whoever cannot be asked has nothing newer. */
	if (k != ERR_OK && o->pull == PULL_NEWER && find_here(im, o, ret, &here) == ERR_OK)
		k = ERR_OK;
	return k;
}

/* From now on the image stays, whatever is removed: under the container's id. */
static enum err_kind keep_image(struct images *im, const struct image *i, const char *id,
				struct err *e)
{
	enum err_kind k = images_begin(im, e);

	if (k != ERR_OK)
		return k;
	k = images_use(im, i, id, e);
	images_end(im);
	return k;
}

/* --- Files --- */

static enum err_kind put(int dir, const char *name, const char *text, struct err *e)
{
	return fd_swap_file(dir, name, str_of(text), 0644, e);
}

/* To the container's root, if it has one. */
static enum err_kind give(int dir, const char *name, const struct idmaps *ids, struct err *e)
{
	uid_t uid = 0;
	gid_t gid = 0;

	if (!idmaps_are_set(ids) || !idmaps_owner_out(ids, &uid, &gid))
		return ERR_OK;
	return sys_fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0
		   ? err_sys(e, __func__, "give a container its /etc/%s", name)
		   : ERR_OK;
}

/* The host's, so that names resolve as they do there. */
static enum err_kind put_resolv(int dir, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, "/etc/resolv.conf", O_RDONLY | O_CLOEXEC, 0);
	AUTO_SBUF b;
	enum err_kind k = ERR_OK;

	sbuf_init(&b, RESOLV_MAX);
	if (fd >= 0)
		k = fd_read_rest(fd, &b, "/etc/resolv.conf", e);
	return k == ERR_OK ? fd_swap_file(dir, "resolv.conf", (struct str){ b.p, b.n }, 0644, e)
			   : k;
}

static enum err_kind put_etc(struct container *c, const char *hostname,
			     const struct text_list *more, struct err *e)
{
	static const char *const names[] = { "hosts", "hostname", "resolv.conf" };
	AUTO_CLOSE etc = -1;
	struct arena *a = &c->record.arena;
	const char *hosts = arena_printf(a,
					 "127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
					 "127.0.1.1 %s\n",
					 hostname);
	const char *name = arena_printf(a, "%s\n", hostname);
	enum err_kind k = fd_open_at(c->dir, "etc", O_RDONLY | O_DIRECTORY, 0, &etc, e);

	if (k == ERR_OK && (!hosts || !name))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a container");
	if (k == ERR_OK)
		k = put(etc, "hosts", hosts, e);
	if (k == ERR_OK)
		k = put(etc, "hostname", name, e);
	if (k == ERR_OK)
		k = put_resolv(etc, e);
	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(names); i++)
		k = give(etc, names[i], &c->record.ids, e);
	for (size_t i = 0; k == ERR_OK && i < more->n; i++)
		k = give(etc, more->v[i], &c->record.ids, e);
	return k;
}

/* The root directory is the upper one's: it gets what the topmost layer says of it. */
static enum err_kind make_upper(struct container *c, int top, struct err *e)
{
	AUTO_CLOSE upper = -1;
	struct stat s = { .st_mode = 0755 };
	enum err_kind k = fd_open_at(c->dir, "upper", O_RDONLY | O_DIRECTORY, 0, &upper, e);

	if (k != ERR_OK)
		return k;
	if ((top >= 0 && fstat(top, &s) < 0) ||
	    (top >= 0 && sys_fchownat(upper, "", s.st_uid, s.st_gid, AT_EMPTY_PATH) < 0) ||
	    sys_fchmod(upper, s.st_mode & 07777) < 0)
		return err_sys(e, __func__, "set up the root directory");
	return ERR_OK;
}

static enum err_kind make_dirs(struct container *c, int top, struct err *e)
{
	static const char *const names[] = { "upper", "work", "rootfs", "etc" };
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(names); i++)
		k = fd_mkdir_at(c->dir, names[i], 0755, e);
	return k == ERR_OK ? make_upper(c, top, e) : k;
}

/* --- The record --- */

static uint64_t duration_ns(const struct jv *health, const char *key, uint64_t preset_ms)
{
	uint64_t ns = 0;

	return jv_uint(jv_member(health, key), &ns) && ns ? ns / NS_PER_MS : preset_ms;
}

static enum err_kind no_memory_for_check(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a health check");
}

static bool shell_command(struct arena *a, struct text_list *ret, const char *text)
{
	return arena_list_add(a, ret, "/bin/sh") && arena_list_add(a, ret, "-c") &&
	       arena_list_add(a, ret, text);
}

/* ["CMD", ...], ["CMD-SHELL", TEXT] or ["NONE"]; podman takes words without one of these, too. */
static bool image_check(struct arena *a, const struct jv *test, struct text_list *ret)
{
	struct str kind, text;

	if (!jv_text(jv_at(test, 0), &kind) || str_eq(kind, STR("NONE")))
		return true;
	if (str_eq(kind, STR("CMD-SHELL")))
		return jv_text(jv_at(test, 1), &text) && shell_command(a, ret, arena_text(a, text));
	for (size_t i = str_eq(kind, STR("CMD")); i < jv_count(test); i++) {
		if (!jv_text(jv_at(test, i), &text) || !arena_list_add(a, ret, arena_text(a, text)))
			return false;
	}
	return true;
}

/* A text for a shell, or what an image would say, as podman takes it: [...], "none", "CMD ...", "CMD-SHELL ...". */
static enum err_kind typed_check(struct arena *a, const char *text, struct text_list *ret,
				 struct err *e)
{
	struct str word, rest;
	AUTO_JV *list = NULL;
	bool ok;

	if (text[0] == '[' && jv_parse_array(str_of(text), HEALTH_DEPTH_MAX, &list, e) == ERR_OK) {
		ok = jv_count(list) == 1 ? jv_text(jv_at(list, 0), &word) &&
					       (str_eq(word, STR("NONE")) ||
						shell_command(a, ret, arena_text(a, word)))
					 : image_check(a, list, ret);
		return ok ? ERR_OK
			  : err_set(e, ERR_INVALID, __func__, "--health-cmd is no list of texts");
	}
	(void)str_cut(str_of(text), ' ', &word, &rest);
	if (str_eq_nocase(str_of(text), STR("none")))
		return ERR_OK;
	if (str_eq(word, STR("CMD-SHELL")))
		text = arena_text(a, rest);
	ok = text != NULL;
	if (!str_eq(word, STR("CMD")))
		return ok && shell_command(a, ret, text) ? ERR_OK : no_memory_for_check(e);
	while (ok && rest.n) {
		(void)str_cut(rest, ' ', &word, &rest);
		ok = word.n == 0 || arena_list_add(a, ret, arena_text(a, word));
	}
	return ok ? ERR_OK : no_memory_for_check(e);
}

static enum err_kind take_health(const struct make_options *o, const struct image_config *image,
				 struct record *r, struct err *e)
{
	const struct jv *of_image = image ? image->healthcheck : NULL;
	struct health_check *h = &r->health;
	uint64_t retries = 0;
	enum err_kind k = ERR_OK;

	if (o->no_health)
		return ERR_OK;
	h->action = o->health_action;
	if (o->health_cmd)
		k = typed_check(&r->arena, o->health_cmd, &h->command, e);
	else if (of_image && !image_check(&r->arena, jv_member(of_image, "Test"), &h->command))
		k = err_set(e, ERR_INVALID, __func__, "the image's health check is none");
	if (k != ERR_OK)
		return k;
	(void)jv_uint(jv_member(of_image, "Retries"), &retries);
	h->interval_ms = o->health_interval_ms
			     ? o->health_interval_ms
			     : duration_ns(of_image, "Interval", HEALTH_INTERVAL_MS);
	h->timeout_ms = o->health_timeout_ms ? o->health_timeout_ms
					     : duration_ns(of_image, "Timeout", HEALTH_INTERVAL_MS);
	h->start_period_ms =
	    o->health_start_ms ? o->health_start_ms : duration_ns(of_image, "StartPeriod", 0);
	h->retries = o->health_retries ? o->health_retries : retries ? retries : HEALTH_RETRIES;
	return ERR_OK;
}

static enum err_kind take_stop(const struct make_options *o, const struct image_config *image,
			       struct record *r, struct err *e)
{
	const char *name = o->stop_signal ? o->stop_signal : image ? image->stop_signal : "";
	int number = *name ? signal_parse(str_of(name)) : signal_parse(STR("TERM"));

	r->stop_timeout_ms = o->stop_timeout_ms ? o->stop_timeout_ms : STOP_TIMEOUT_MS;
	if (number == 0)
		return err_set(e, ERR_INVALID, __func__, "\"%.40s\" is no signal", name);
	r->stop_signal = (uint64_t)number;
	return ERR_OK;
}

static bool add_label(struct record *r, const char *key, const char *value)
{
	for (size_t i = 0; i < r->labels.keys.n; i++) {
		if (strcmp(r->labels.keys.v[i], key) == 0) {
			r->labels.values.v[i] = value;
			return true;
		}
	}
	return arena_list_add(&r->arena, &r->labels.keys, key) &&
	       arena_list_add(&r->arena, &r->labels.values, value);
}

static bool take_labels(const struct make_options *o, const struct image_config *image,
			struct record *r)
{
	for (size_t i = 0; image && i < image->labels.n; i++) {
		if (!add_label(r, image->labels.keys[i], image->labels.values[i]))
			return false;
	}
	for (size_t i = 0; i < o->bundle.labels.n; i++) {
		const char *pair = o->bundle.labels.v[i], *eq = strchr(pair, '=');
		char *key = arena_text(&r->arena, (struct str){ pair, strcspn(pair, "=") });

		if (!key || !add_label(r, key, eq ? eq + 1 : ""))
			return false;
	}
	return true;
}

static bool take_image(const struct image *i, struct record *r)
{
	char text[REFERENCE_TEXT_MAX], d[DIGEST_TEXT_MAX];

	r->image = arena_text(&r->arena, str_of(reference_text(&i->ref, text)));
	r->image_id = arena_text(&r->arena, str_of(digest_text(&i->doc.config.digest, d)));
	r->manifest = arena_text(&r->arena, str_of(digest_text(&i->doc.digest, d)));
	for (size_t l = 0; l < i->config.n_diff_ids; l++) {
		if (!arena_list_add(
			&r->arena, &r->lowers,
			arena_text(&r->arena, str_of(digest_text(&i->chain_ids[l], d)))))
			return false;
	}
	return r->image && r->image_id && r->manifest;
}

static enum err_kind fill_record(const struct make_options *o, const struct image *i,
				 const struct bundle *b, struct record *r, struct err *e)
{
	const struct image_config *config = i ? &i->config : NULL;
	enum err_kind k = take_stop(o, config, r, e);

	r->created_ms = wall_ms();
	r->image = r->image_id = r->manifest = "";
	r->rootfs = o->rootfs ? o->rootfs : "";
	r->network = o->bundle.network ? o->bundle.network : "none";
	r->command = b->command;
	r->volumes = b->volumes.names;
	r->shares_mounts = b->volumes.shares_mounts;
	r->terminal = o->bundle.terminal;
	r->stdin_open = o->stdin_open;
	r->auto_remove = o->auto_remove;
	r->in_userns = cli_is_in_userns();
	r->overlay = o->overlay;
	r->restart = o->restart;
	r->restart_max = o->restart_max;
	r->log_format = o->log_format;
	r->log_bytes_max = o->log_bytes_max;
	r->log_files_max = o->log_files_max ? o->log_files_max : 1;
	if (k == ERR_OK && ((i && !take_image(i, r)) || !take_labels(o, config, r)))
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a container");
	return k == ERR_OK ? take_health(o, config, r, e) : k;
}

/* --- config.json --- */

static enum err_kind put_json(int dir, const char *name, const struct jv *v, struct err *e)
{
	AUTO_SBUF b;

	sbuf_init(&b, SBUF_MAX);
	jv_dump_pretty(v, 2, &b);
	if (b.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", name);
	return fd_swap_file(dir, name, (struct str){ b.p, b.n }, 0600, e);
}

/* The process of health checks: the container's own with another command, and no terminal. */
static enum err_kind put_health_process(const struct container *c, const struct jv *config,
					struct err *e)
{
	const struct text_list *command = &c->record.health.command;
	const struct jv *process = jv_member(config, "process"), *value;
	AUTO_JV *v = jv_pack("{}");
	const char *key;
	void *iter = NULL;
	bool ok = v != NULL;

	while (ok && jv_next(process, &iter, &key, &value))
		ok = jv_set(v, key, jv_share(value));
	ok = ok && jv_set(v, "args", jv_new_texts(command->v, command->n)) &&
	     jv_set(v, "terminal", jv_pack("b", 0));
	return ok ? put_json(c->dir, "health.json", v, e) : no_memory_for_check(e);
}

/* The image's files, to look for users in. */
static enum err_kind open_image_root(const struct layer_list *l, enum overlay_driver driver,
				     int *ret, struct err *e)
{
	struct overlay o = { .driver = driver,
			     .lowers = l->fds,
			     .n_lowers = l->n,
			     .dir = -1,
			     .in_userns = cli_is_in_userns() };

	if (l->n == 0) {
		*ret = -1;
		return ERR_OK;
	}
	if (l->n > 1)
		return overlay_mount(&o, ret, e);
	*ret = fcntl(l->fds[0], F_DUPFD_CLOEXEC, 3);
	return *ret < 0 ? err_sys(e, __func__, "open the image's files") : ERR_OK;
}

static enum err_kind make_bundle(struct ctl *t, const struct make_options *o, const struct image *i,
				 int root, struct container *c, struct bundle *b, struct err *e)
{
	struct arena *a = &c->record.arena;
	const char *dir = arena_printf(a, "%s/containers/%s", t->cs.root, c->record.id);
	struct bundle_place place = {
		.id = c->record.id,
		.rootfs = o->rootfs ? o->rootfs : arena_printf(a, "%s/rootfs", dir),
		.root = root,
		.files = arena_printf(a, "%s/etc", dir),
		.accounts = o->accounts,
		.volumes = arena_printf(a, "%s/volumes", t->cs.root),
		.in_userns = cli_is_in_userns(),
		.alone = userns_is_alone(),
		.ids = &c->record.ids,
		.init = o->bundle.init ? ctl_program(t, "berth-init") : NULL,
		.files_soft = t->c->files_soft,
	};

	if (!dir || !place.rootfs || !place.files || !place.volumes)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a container");
	b->arena = a;
	return bundle_make(&o->bundle, i ? &i->config : NULL, &place, b, e);
}

/* --- Ids --- */

/* An ordinary user who keeps ids has a name by them, and is who runs, unless user or image say otherwise. */
static enum err_kind keep_user(const struct image *i, int root, struct container *c,
			       struct make_options *o, struct err *e)
{
	const struct usermap_wish *w = &o->ids;
	struct arena *a = &c->record.arena;
	AUTO_CLOSE etc = -1;
	uint64_t uid, gid;
	enum err_kind k = usermap_caller(&uid, &gid, e);

	if (k != ERR_OK)
		return k;
	uid = w->has_uid ? w->uid : uid;
	gid = w->has_gid ? w->gid : gid;
	k = fd_open_at(c->dir, "etc", O_RDONLY | O_DIRECTORY, 0, &etc, e);
	if (k == ERR_OK)
		k = ctl_put_accounts(root, etc, uid, gid, a, &o->accounts, e);
	if (k != ERR_OK || o->bundle.user || (i && *i->config.user))
		return k;
	o->bundle.user =
	    arena_printf(a, "%llu:%llu", (unsigned long long)uid, (unsigned long long)gid);
	return o->bundle.user ? ERR_OK
			      : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a user");
}

static enum err_kind choose_ids(struct ctl *t, const struct image *i, int root, struct container *c,
				struct make_options *o, int *ret_lock, struct err *e)
{
	const struct usermap_wish *w = &o->ids;
	struct usermap_who who = { .is_ordinary = cli_is_in_userns() };
	struct record *r = &c->record;
	enum err_kind k = ERR_OK;

	if (w->kind == USERMAP_KEEP_ID && who.is_ordinary)
		k = keep_user(i, root, c, o, e);
	if (k == ERR_OK && w->kind == USERMAP_AUTO)
		k = bundle_count_ids(&o->bundle, i ? &i->config : NULL, root, &who.ids, e);
	if (k == ERR_OK && usermap_claims(w))
		k = usermap_lock(&t->cs, ret_lock, e);
	if (k == ERR_OK)
		k = usermap_choose(w, &who, &t->cs, &r->ids, e);
	r->userns = o->userns ? o->userns : "";
	r->claims_ids = usermap_claims(w);
	return k;
}

/* --- The whole --- */

static enum err_kind fill_with(struct ctl *t, const struct make_options *o, const struct image *i,
			       int root, struct container *c, struct err *e)
{
	AUTO_BUNDLE b = { 0 };
	AUTO_CLOSE guard = -1; /* of volumes, until the record is written */
	struct status created = { .phase = PHASE_CREATED };
	enum err_kind k = make_bundle(t, o, i, root, c, &b, e);

	c->record.anonymous = b.volumes.anonymous; /* for what goes wrong from here */
	if (k == ERR_OK)
		k = ctl_make_volumes(t, &b, root, &c->record.ids, &guard, e);
	if (k == ERR_OK)
		k = put_etc(c, b.hostname, &o->accounts, e);
	if (k == ERR_OK)
		k = put_json(c->dir, "config.json", b.config, e);
	if (k == ERR_OK)
		k = fill_record(o, i, &b, &c->record, e);
	if (k == ERR_OK && strcmp(c->record.network, "private") == 0)
		k = network_commands(
		    t, &o->network, b.hostname,
		    arena_printf(&t->c->arena, "%s/containers/%s/etc", t->cs.root, c->record.id),
		    &c->record, e);
	if (k == ERR_OK && c->record.health.command.n)
		k = put_health_process(c, b.config, e);
	if (k == ERR_OK)
		k = status_write(c->dir, &created, e);
	return k == ERR_OK ? record_write(c->dir, &c->record, e) : k;
}

static enum err_kind fill(struct ctl *t, const struct make_options *o, const struct image *i,
			  int root, int top, struct container *c, struct err *e)
{
	AUTO_CLOSE ids = -1; /* a lock on who has which, until the record is written */
	struct make_options mine = *o;
	enum err_kind k = make_dirs(c, top, e);

	if (k == ERR_OK)
		k = choose_ids(t, i, root, c, &mine, &ids, e);
	return k == ERR_OK ? fill_with(t, &mine, i, root, c, e) : k;
}

static enum err_kind make_from_image(struct ctl *t, struct images *im, const struct image *i,
				     const struct make_options *o, struct container *c,
				     struct err *e)
{
	AUTO_LAYER_LIST lowers = { 0 };
	AUTO_CLOSE root = -1;
	struct tree_stats stats = { 0 };
	enum err_kind k = keep_image(im, i, c->record.id, e);

	if (k == ERR_OK)
		k = pull_unpack(im, i, image_form(), CLI_UMASK, &stats, e);
	if (k == ERR_OK) {
		image_tell_left_out(&stats);
		k = layer_list_open(im, i->chain_ids, i->config.n_diff_ids, image_form(), &lowers,
				    e);
	}
	if (k == ERR_OK)
		k = open_image_root(&lowers, o->overlay, &root, e);
	return k == ERR_OK ? fill(t, o, i, root, lowers.n ? lowers.fds[0] : -1, c, e) : k;
}

static enum err_kind make_from_dir(struct ctl *t, const struct make_options *o, struct container *c,
				   struct err *e)
{
	AUTO_CLOSE root = sys_openat(AT_FDCWD, o->rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (root < 0)
		return err_sys(e, __func__, "open %s", o->rootfs);
	return fill(t, o, NULL, root, -1, c, e);
}

static void undo(struct ctl *t, struct container *c)
{
	struct err ignored;

	/* The failure at hand is told. */
	(void)!ctl_remove(t, c, true, &ignored);
	(void)!ctl_drop_volumes(t, &c->record.anonymous, &ignored);
}

enum err_kind ctl_make(struct ctl *t, const struct make_options *o, struct container *ret,
		       struct err *e)
{
	AUTO_IMAGES *im = NULL;
	AUTO_IMAGE image = { 0 };
	AUTO_CLOSE guard = -1;
	enum err_kind k = images_open(t->cs.root, &im, e);

	if (k == ERR_OK)
		k = images_guard(im, IMAGES_SHARED, &guard, e);
	if (k == ERR_OK && !o->rootfs)
		k = get_image(im, o, &image, e);
	if (k == ERR_OK)
		k = container_make(&t->cs, o->name, ret, e);
	if (k != ERR_OK)
		return k;
	k = o->rootfs ? make_from_dir(t, o, ret, e) : make_from_image(t, im, &image, o, ret, e);
	if (k != ERR_OK)
		undo(t, ret);
	return k;
}
