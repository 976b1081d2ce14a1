#include "server/ops.h"

#include "base/clock.h"
#include "base/glob.h"
#include "base/hash.h"
#include "server/conf_table.h"
#include "server/events.h"
#include "storage/quota.h"

struct store_options ops_store_options(const struct conf *c, bool must_exist)
{
	return (struct store_options){
		.root = c->root.p,
		.must_exist = must_exist,
		.map_bytes = c->index_map_size,
		.uploads_max = c->uploads_sessions_max,
		.uploads_idle_ms = c->uploads_idle_ms,
		.lease_ms = c->gc_lease_ms,
		.trash_keep_ms = c->trash_keep_ms,
		.json_depth_max = (unsigned)c->manifest_json_depth_max,
		.sparse = c->manifest_sparse,
		.single_thread = c->threads == 1,
	};
}

/* NULL without a rule: then nothing is counted. */
static enum err_kind make_quotas(const struct conf *c, struct quotas **ret, struct err *e)
{
	return jv_count(c->quotas) ? quotas_new(c->quotas, NULL, ret, e) : ERR_OK;
}

static enum err_kind open_store(struct ops *o, bool must_exist, struct err *e)
{
	const struct conf *c = o->conf;
	struct store_options options = ops_store_options(c, must_exist);
	struct store_recovery found;
	AUTO_QUOTAS *quotas = NULL;
	uint64_t start = mono_ms();
	enum err_kind k = make_quotas(c, &quotas, e);

	options.quotas = quotas;
	if (k == ERR_OK)
		k = store_open(&options, &o->store, &found, e);

	if (k == ERR_OK)
		log_event(LOG_INFO, "store.open",
			  "root=%s resumable=%llu discarded=%llu rewritten=%llu ms=%llu", c->root.p,
			  (unsigned long long)found.resumable, (unsigned long long)found.discarded,
			  (unsigned long long)found.rewritten,
			  (unsigned long long)(mono_ms() - start));
	return k;
}

/* See gc_options. */
static enum err_kind number_of_rules(const struct conf *c, uint64_t *ret, struct err *e)
{
	AUTO_SBUF text = { .max = SBUF_MAX };
	struct digest d;
	enum err_kind k;

	if (c->retention)
		jv_dump(c->retention, &text);
	sbuf_addf(&text, " %llu %llu", (unsigned long long)c->gc_untagged_keep_ms,
		  (unsigned long long)c->gc_lease_ms);
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for the rules");
	k = hash_bytes(DIGEST_SHA256, text.p, text.n, &d, e);
	memcpy(ret, d.bytes, sizeof(*ret));
	return k;
}

static enum err_kind prepare_upkeep(const struct conf *c, struct ops_change *ret, struct err *e)
{
	enum err_kind k = retention_new(c->retention, NULL, &ret->retention, e);

	ret->gc = (struct gc_options){
		.interval_ms = c->gc_interval_ms,
		.max_share = (unsigned)c->gc_max_share,
		.untagged_keep_ms = c->gc_untagged_keep_ms,
		.trash_keep_ms = c->trash_keep_ms,
		.lease_ms = c->gc_lease_ms,
		.retention = ret->retention,
	};
	ret->store = ops_store_options(c, true);
	ret->scrub =
	    (struct scrubber_options){ .rate = c->scrub_rate, .interval_ms = c->scrub_interval_ms };
	return k == ERR_OK ? number_of_rules(c, &ret->gc.rules, e) : k;
}

enum err_kind ops_prepare(struct ops *o, const struct conf *c, struct ops_change *ret,
			  struct err *e)
{
	enum err_kind k = prepare_upkeep(c, ret, e);

	return k == ERR_OK ? events_prepare(o->events, c, &ret->events, e) : k;
}

enum err_kind ops_take_quotas(struct ops *o, const struct conf *old, const struct conf *new,
			      struct err *e)
{
	AUTO_QUOTAS *q = NULL;
	enum err_kind k;

	if (conf_same("quotas", old, new))
		return ERR_OK;
	k = make_quotas(new, &q, e);
	return k == ERR_OK ? store_set_quotas(o->store, q, e) : k;
}

void ops_commit(struct ops *o, struct ops_change *change)
{
	gc_set_options(o->gc, &change->gc);
	scrubber_set_options(o->scrubber, &change->scrub);
	store_set_limits(o->store, &change->store);
	events_commit(o->events, change->events);
}

void ops_change_clear(struct ops_change *change)
{
	retention_put(&change->retention);
	events_change_free(&change->events);
}

bool ops_can_take(const struct ops *o, const char *key, const struct conf *c)
{
	if (strcmp(key, "scrub.rate") == 0) /* whether there is a thread */
		return o->conf->scrub_rate && c->scrub_rate;
	return true;
}

enum err_kind ops_open(struct ops *o, bool must_exist, struct err *e)
{
	struct ops_change options = { 0 };
	enum err_kind k = prepare_upkeep(o->conf, &options, e);

	if (k == ERR_OK)
		k = open_store(o, must_exist, e);
	if (k == ERR_OK)
		k = gc_new(o->store, &options.gc, &o->gc, e);
	if (k == ERR_OK)
		k = scrubber_new(o->store, &options.scrub, &o->scrubber, e);
	ops_change_clear(&options);
	return k;
}

void ops_stop(struct ops *o)
{
	o->stopping = true;
	if (o->gc)
		gc_stop(o->gc);
	if (o->scrubber)
		scrubber_stop(o->scrubber);
}

void ops_close(struct ops *o)
{
	scrubber_free(&o->scrubber);
	gc_free(&o->gc);
	store_close(&o->store);
}

static const struct op ops[] = {
	{ "stats", op_stats },
	{ "repos", op_repos },
	{ "tags", op_tags },
	{ "inspect", op_inspect },
	{ "rm", op_rm },
	{ "cp", op_cp },
	{ "mv", op_mv },
	{ "history", op_history },
	{ "rollback", op_rollback },
	{ "events", op_events },
	{ "backup", op_backup },
	{ "export", op_export },
	{ "gc", op_gc },
	{ "gc.pause", op_gc_pause },
	{ "gc.resume", op_gc_resume },
	{ "gc.status", op_gc_status },
	{ "fsck", op_fsck },
	{ "import", op_import },
	{ "reload", op_reload },
	{ "scrub", op_scrub },
	{ "scrub.status", op_scrub_status },
	{ "trash.ls", op_trash_ls },
	{ "trash.restore", op_trash_restore },
	{ "trash.empty", op_trash_empty },
};

const struct op *op_find(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
		if (str_eq(name, str_of(ops[i].name)))
			return &ops[i];
	}
	return NULL;
}

void op_emit(struct op_call *c, struct jv *take)
{
	if (c->listener_gone)
		jv_free(&take);
	else
		c->listener_gone = !c->emit(c->emit_arg, take);
}

bool op_flag(const struct op_call *c, const char *name)
{
	struct str text;

	return jv_text(jv_member(c->args, name), &text) && str_eq(text, STR("true"));
}

bool op_text(const struct op_call *c, const char *name, struct str *ret)
{
	return jv_text(jv_member(c->args, name), ret);
}

bool op_number(const struct op_call *c, const char *name, uint64_t *ret)
{
	struct str text;

	return op_text(c, name, &text) && scan_u64(&text, UINT64_MAX, ret) && scan_end(&text);
}

bool op_goes_on(const struct op_call *c)
{
	return !c->ops->stopping && !c->listener_gone;
}

struct change_guard ops_local_guard(unsigned uid, char buf[static OPS_WHO_MAX])
{
	(void)snprintf(buf, OPS_WHO_MAX, "uid:%u", uid);
	return (struct change_guard){ .who = buf, .by_admin = true };
}

enum err_kind op_named(const struct op_call *c, const char *name, struct named *ret, struct err *e)
{
	struct str text = { "", 0 };

	if (op_text(c, name, &text) && named_parse(text, ret))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "\"%.*s\" is no REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST",
		       (int)MIN(text.n, (size_t)100), text.p);
}

/* --- lists --- */

/* Of characters that are in names, and those that stand for others. */
static bool is_pattern(struct str s, const char **ret_why)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		*ret_why = "has characters that are in no name";
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (!c || !strchr("-._/*?", c)))
			return false;
	}
	return glob_is_valid(s, ret_why);
}

enum err_kind op_page_parse(const struct op_call *c, struct op_page *ret, struct err *e)
{
	struct str ignored;
	const char *why;

	*ret = (struct op_page){ .n = UINT64_MAX };
	if (op_text(c, "n", &ignored) && (!op_number(c, "n", &ret->n) || ret->n == 0))
		return err_set(e, ERR_INVALID, __func__, "n must be a number above 0");
	(void)op_text(c, "last", &ret->last);
	(void)op_text(c, "pattern", &ret->pattern);
	if (ret->pattern.p && !is_pattern(ret->pattern, &why))
		return err_set(e, ERR_INVALID, __func__, "the pattern \"%.*s\" %s",
			       (int)MIN(ret->pattern.n, (size_t)80), ret->pattern.p, why);
	return ERR_OK;
}

bool op_page_takes(const struct op_page *p, struct str name)
{
	return !p->pattern.p || glob_match(p->pattern, name);
}

void op_emit_end(struct op_call *c, uint64_t count, const char *next)
{
	op_emit(c, jv_pack("{s:I, s:s*}", "count", (long long)count, "next", next));
}

const char *op_time(uint64_t wall_ms, char buf[static 32])
{
	return wall_ms ? time_text(wall_ms, buf) : NULL;
}

enum err_kind op_directory(const struct op_call *c, const char **ret, struct err *e)
{
	struct str path;

	if (!op_text(c, "directory", &path) || path.p[0] != '/')
		return err_set(e, ERR_INVALID, __func__,
			       "an absolute path of a directory is needed");
	*ret = path.p;
	return ERR_OK;
}
