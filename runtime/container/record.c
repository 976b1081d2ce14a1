#include "runtime/container/record.h"

#include <signal.h>

#include "base/fd.h"
#include "base/jv.h"

#define ARENA_MAX (16u * 1024 * 1024)
#define FILE_MAX (4u * 1024 * 1024)
#define DEPTH_MAX 8

static const char *const restart_names[] = {
	[RESTART_NO] = "no",
	[RESTART_ON_FAILURE] = "on-failure",
	[RESTART_UNLESS_STOPPED] = "unless-stopped",
	[RESTART_ALWAYS] = "always",
};
static const char *const log_names[] = {
	[LOG_K8S] = "k8s-file",
	[LOG_JSON] = "json-file",
	[LOG_NONE] = "none",
};
static const char *const action_names[] = {
	[HEALTH_DO_NOTHING] = "none",
	[HEALTH_DO_KILL] = "kill",
	[HEALTH_DO_RESTART] = "restart",
	[HEALTH_DO_STOP] = "stop",
};

bool restart_policy_parse(struct str in, enum restart_policy *ret, uint64_t *ret_max)
{
	struct str name, max;
	bool has_max = str_cut(in, ':', &name, &max);

	*ret_max = 0;
	for (unsigned i = 0; i < ARRAY_LEN(restart_names); i++) {
		if (!str_eq(name, str_of(restart_names[i])))
			continue;
		*ret = (enum restart_policy)i;
		return !has_max || (i == RESTART_ON_FAILURE &&
				    scan_u64(&max, UINT32_MAX, ret_max) && scan_end(&max));
	}
	return false;
}

bool log_format_parse(struct str in, enum log_format *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(log_names); i++) {
		if (str_eq(in, str_of(log_names[i]))) {
			*ret = (enum log_format)i;
			return true;
		}
	}
	return false;
}

bool health_action_parse(struct str in, enum health_action *ret)
{
	for (unsigned i = 0; i < ARRAY_LEN(action_names); i++) {
		if (str_eq(in, str_of(action_names[i]))) {
			*ret = (enum health_action)i;
			return true;
		}
	}
	return false;
}

/* RTMIN, RTMIN+3, RTMAX-1, RTMAX; 0 for anything else. */
static int parse_realtime(struct str in)
{
	bool from_min = str_eq_nocase((struct str){ in.p, MIN(in.n, (size_t)5) }, STR("RTMIN"));
	uint64_t n = 0;

	if (!from_min && !str_eq_nocase((struct str){ in.p, MIN(in.n, (size_t)5) }, STR("RTMAX")))
		return 0;
	in = (struct str){ in.p + 5, in.n - 5 };
	if (in.n && (!scan_char(&in, from_min ? '+' : '-') ||
		     !scan_u64(&in, (uint64_t)(SIGRTMAX - SIGRTMIN), &n)))
		return 0;
	if (!scan_end(&in))
		return 0;
	return from_min ? SIGRTMIN + (int)n : SIGRTMAX - (int)n;
}

int signal_parse(struct str in)
{
	uint64_t n;

	if (scan_u64(&in, NSIG - 1, &n) && scan_end(&in))
		return (int)n;
	if (in.n > 3 && str_eq_nocase((struct str){ in.p, 3 }, STR("SIG")))
		in = (struct str){ in.p + 3, in.n - 3 };
	for (int s = 1; s < NSIG; s++) {
		const char *name = sigabbrev_np(s);

		if (name && str_eq_nocase(in, str_of(name)))
			return s;
	}
	return parse_realtime(in);
}

void record_clear(struct record *r)
{
	arena_clear(&r->arena);
	*r = (struct record){ 0 };
}

/* --- Reading: what is missing or of another type shows as NULL or 0, and fails where it matters --- */

static const char *text(struct record *r, const struct jv *v, const char *key)
{
	struct str s = { "", 0 };

	(void)jv_text(jv_member(v, key), &s);
	return arena_text(&r->arena, s);
}

static uint64_t number(const struct jv *v, const char *key)
{
	uint64_t n = 0;

	(void)jv_uint(jv_member(v, key), &n);
	return n;
}

static bool list(struct record *r, const struct jv *v, const char *key, struct text_list *ret)
{
	const struct jv *array = jv_member(v, key);
	struct str s;

	for (size_t i = 0; i < jv_count(array); i++) {
		if (!jv_text(jv_at(array, i), &s) ||
		    !arena_list_add(&r->arena, ret, arena_text(&r->arena, s)))
			return false;
	}
	return true;
}

static bool pairs(struct record *r, const struct jv *v, const char *key, struct text_pairs *ret)
{
	const struct jv *object = jv_member(v, key), *value;
	const char *name;
	void *iter = NULL;
	struct str s;

	while (object && jv_next(object, &iter, &name, &value)) {
		if (!jv_text(value, &s) ||
		    !arena_list_add(&r->arena, &ret->keys, arena_text(&r->arena, str_of(name))) ||
		    !arena_list_add(&r->arena, &ret->values, arena_text(&r->arena, s)))
			return false;
	}
	return true;
}

static bool take_health(struct record *r, const struct jv *v)
{
	struct str action;

	if (jv_text(jv_member(v, "action"), &action) &&
	    !health_action_parse(action, &r->health.action))
		return false;
	r->health.interval_ms = number(v, "interval_ms");
	r->health.timeout_ms = number(v, "timeout_ms");
	r->health.start_period_ms = number(v, "start_period_ms");
	r->health.retries = number(v, "retries");
	return list(r, v, "command", &r->health.command);
}

static bool id_map(const struct jv *v, const char *key, struct idmap *ret)
{
	const struct jv *array = jv_member(v, key);
	struct err ignored;
	struct str s;

	for (size_t i = 0; i < jv_count(array); i++) {
		if (!jv_text(jv_at(array, i), &s) || idmap_add_text(ret, s, &ignored) != ERR_OK)
			return false;
	}
	return true;
}

static bool take_ids(struct record *r, const struct jv *v)
{
	r->userns = text(r, v, "userns");
	r->claims_ids = jv_is_true(jv_member(v, "claims_ids"));
	return r->userns && id_map(v, "uid_map", &r->ids.uids) &&
	       id_map(v, "gid_map", &r->ids.gids) && !r->ids.uids.n == !r->ids.gids.n;
}

static bool take(struct record *r, const struct jv *v)
{
	r->id = text(r, v, "id");
	r->name = text(r, v, "name");
	r->image = text(r, v, "image");
	r->image_id = text(r, v, "image_id");
	r->manifest = text(r, v, "manifest");
	r->rootfs = text(r, v, "rootfs");
	r->network = text(r, v, "network");
	r->created_ms = number(v, "created_ms");
	r->terminal = jv_is_true(jv_member(v, "terminal"));
	r->stdin_open = jv_is_true(jv_member(v, "stdin_open"));
	r->auto_remove = jv_is_true(jv_member(v, "auto_remove"));
	r->in_userns = jv_is_true(jv_member(v, "in_userns"));
	r->shares_mounts = jv_is_true(jv_member(v, "shares_mounts"));
	r->restart_max = number(v, "restart_max");
	r->stop_signal = number(v, "stop_signal");
	r->stop_timeout_ms = number(v, "stop_timeout_ms");
	r->log_bytes_max = number(v, "log_bytes_max");
	r->log_files_max = number(v, "log_files_max");
	return list(r, v, "lowers", &r->lowers) && list(r, v, "command", &r->command) &&
	       list(r, v, "net_up", &r->net_up) && list(r, v, "net_down", &r->net_down) &&
	       list(r, v, "volumes", &r->volumes) && list(r, v, "anonymous", &r->anonymous) &&
	       pairs(r, v, "labels", &r->labels) && take_health(r, jv_member(v, "health")) &&
	       take_ids(r, v);
}

static bool take_names(struct record *r, const struct jv *v)
{
	struct str restart, format, overlay;
	uint64_t ignored;

	if (jv_text(jv_member(v, "overlay"), &overlay) &&
	    !overlay_driver_parse(overlay, &r->overlay))
		return false;
	return jv_text(jv_member(v, "restart"), &restart) &&
	       restart_policy_parse(restart, &r->restart, &ignored) &&
	       jv_text(jv_member(v, "log_format"), &format) &&
	       log_format_parse(format, &r->log_format);
}

static bool is_sound(const struct record *r)
{
	return r->id && strlen(r->id) == CONTAINER_ID_LEN && r->name && r->image && r->image_id &&
	       r->manifest && r->rootfs && r->network && r->stop_signal > 0 &&
	       r->stop_signal < NSIG;
}

enum err_kind record_read(int dir, struct record *ret, struct err *e)
{
	AUTO_SBUF bytes;
	AUTO_JV *v = NULL;
	AUTO_RECORD r = { 0 };
	enum err_kind k;

	sbuf_init(&bytes, FILE_MAX);
	arena_init(&r.arena, ARENA_MAX);
	k = fd_read_file(dir, RECORD_FILE, &bytes, e);
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ bytes.p, bytes.n }, DEPTH_MAX, &v, e);
	if (k != ERR_OK)
		return err_wrap(e, RECORD_FILE);
	if (!take(&r, v) || !take_names(&r, v) || !is_sound(&r))
		return err_set(e, ERR_CORRUPT, __func__, RECORD_FILE ": not what berth writes");
	*ret = r;
	r = (struct record){ 0 };
	return ERR_OK;
}

/* --- Writing --- */

static struct jv *list_json(const struct text_list *l)
{
	return jv_new_texts(l->v, l->n);
}

static struct jv *pairs_json(const struct text_pairs *p)
{
	AUTO_JV *object = jv_pack("{}");

	for (size_t i = 0; object && i < p->keys.n; i++) {
		if (!jv_set(object, p->keys.v[i], jv_pack("s", p->values.v[i])))
			return NULL;
	}
	return TAKE(object);
}

static struct jv *health_json(const struct health_check *h)
{
	return jv_pack("{s:o, s:I, s:I, s:I, s:I, s:s}", "command", list_json(&h->command),
		       "interval_ms", (long long)h->interval_ms, "timeout_ms",
		       (long long)h->timeout_ms, "start_period_ms", (long long)h->start_period_ms,
		       "retries", (long long)h->retries, "action", action_names[h->action]);
}

/* As --uidmap has it. */
static struct jv *id_map_json(const struct idmap *m)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < m->n; i++) {
		const struct idmap_piece *p = &m->v[i];
		char piece[40];

		(void)snprintf(piece, sizeof(piece), "%u:%u:%u", p->inside, p->outside, p->n);
		if (!jv_append(list, jv_pack("s", piece)))
			return NULL;
	}
	return TAKE(list);
}

static struct jv *record_json(const struct record *r)
{
	return jv_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:s, s:I, s:I, s:I, s:s, "
	    "s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o, s:b, s:s, s:b, s:o, s:o}",
	    "id", r->id, "name", r->name, "image", r->image, "image_id", r->image_id, "manifest",
	    r->manifest, "rootfs", r->rootfs, "network", r->network, "created_ms",
	    (long long)r->created_ms, "terminal", r->terminal, "stdin_open", r->stdin_open,
	    "auto_remove", r->auto_remove, "in_userns", r->in_userns, "restart",
	    restart_names[r->restart], "restart_max", (long long)r->restart_max, "stop_signal",
	    (long long)r->stop_signal, "stop_timeout_ms", (long long)r->stop_timeout_ms,
	    "log_format", log_names[r->log_format], "log_bytes_max", (long long)r->log_bytes_max,
	    "log_files_max", (long long)r->log_files_max, "lowers", list_json(&r->lowers),
	    "command", list_json(&r->command), "labels", pairs_json(&r->labels), "health",
	    health_json(&r->health), "net_up", list_json(&r->net_up), "net_down",
	    list_json(&r->net_down), "overlay", overlay_driver_text(r->overlay), "volumes",
	    list_json(&r->volumes), "anonymous", list_json(&r->anonymous), "shares_mounts",
	    r->shares_mounts, "userns", r->userns, "claims_ids", r->claims_ids, "uid_map",
	    id_map_json(&r->ids.uids), "gid_map", id_map_json(&r->ids.gids));
}

enum err_kind record_write(int dir, const struct record *r, struct err *e)
{
	AUTO_JV *v = record_json(r);
	AUTO_SBUF bytes;

	sbuf_init(&bytes, FILE_MAX);
	jv_dump_pretty(v, 2, &bytes);
	if (bytes.failed)
		return err_set(e, ERR_INVALID, __func__,
			       "no memory for " RECORD_FILE ", or texts that are no UTF-8");
	return fd_swap_file(dir, RECORD_FILE, (struct str){ bytes.p, bytes.n }, 0600, e);
}
