#include "server/ops.h"
#include "storage/export.h"
#include "storage/import.h"

static bool goes_on(void *arg)
{
	const struct op_call *c = arg;

	return !c->listener_gone && !c->ops->stopping;
}

static void emit_refused(void *arg, const char *what, const char *name, const char *reason)
{
	op_emit(arg, jv_pack("{s:s, s:s, s:s}", "refused", what, "name", name, "reason", reason));
}

static struct jv *result_value(const struct import_result *r)
{
	return jv_pack(
	    "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "repositories", (long long)r->repositories, "manifests", (long long)r->manifests,
	    "manifests-had", (long long)r->manifests_had, "tags", (long long)r->tags, "tags-had",
	    (long long)r->tags_had, "had", (long long)r->had, "mounted", (long long)r->mounted,
	    "cloned", (long long)r->cloned, "linked", (long long)r->linked, "copied",
	    (long long)r->copied, "copied-bytes", (long long)r->copied_bytes, "wanted",
	    (long long)r->wanted, "wanted-bytes", (long long)r->wanted_bytes, "read-bytes",
	    (long long)r->read_bytes, "refused-items", (long long)r->refused);
}

static void emit_progress(void *arg, const char *repo, const struct import_result *r, bool done)
{
	struct jv *v = result_value(r);

	if (v && !jv_set(v, done ? "repository" : "progress", jv_pack("s", repo)))
		jv_free(&v);
	op_emit(arg, v);
}

enum err_kind op_import(struct op_call *c, struct err *e)
{
	const struct import_listener l = {
		.refused = emit_refused, .progress = emit_progress, .goes_on = goes_on, .arg = c
	};
	AUTO_SNAPSHOT *now = c->ops->live ? live_get(c->ops->live) : NULL;
	const struct conf *conf = now ? &now->conf : c->ops->conf;
	struct import_options o = { .manifest_bytes_max = conf->manifest_size_max,
				    .copy = op_flag(c, "copy"),
				    .overwrite = op_flag(c, "overwrite"),
				    .dry_run = op_flag(c, "dry-run") };
	struct import_result r = { 0 };
	struct repo_name repo;
	struct str name;
	enum err_kind k = op_directory(c, &o.source, e);

	if (k == ERR_OK && op_text(c, "repository", &name)) {
		if (!repo_name_parse(&repo, name))
			return err_set(e, ERR_INVALID, __func__,
				       "\"%.*s\" is no name of a repository",
				       (int)MIN(name.n, (size_t)100), name.p);
		o.repo = &repo;
	}
	if (k == ERR_OK)
		k = store_import(c->ops->store, &o, &l, &r, e);
	if (k == ERR_OK)
		op_emit(c, result_value(&r));
	return k;
}

/* REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST */
static enum err_kind parse_what(struct str text, struct export_options *o, struct tag_name *tag,
				struct digest *digest, struct err *e)
{
	struct str repo, rest;
	bool ok = true;

	if (str_cut(text, '@', &repo, &rest)) {
		ok = digest_parse(digest, rest);
		o->digest = digest;
	} else if (str_cut(text, ':', &repo, &rest)) {
		ok = tag_name_parse(tag, rest);
		o->tag = tag;
	}
	if (ok && repo_name_parse(&o->repo, repo))
		return ERR_OK;
	return err_set(e, ERR_INVALID, __func__,
		       "\"%.*s\" is no REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST",
		       (int)MIN(text.n, (size_t)100), text.p);
}

static void emit_exported(struct op_call *c, const struct export_result *r)
{
	op_emit(c,
		jv_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "tags", (long long)r->tags,
			"manifests", (long long)r->manifests, "referrers", (long long)r->referrers,
			"objects", (long long)r->objects, "bytes", (long long)r->bytes, "had",
			(long long)r->had, "cloned", (long long)r->cloned, "copied",
			(long long)r->copied, "copied-bytes", (long long)r->copied_bytes));
}

enum err_kind op_export(struct op_call *c, struct err *e)
{
	struct export_options o = { .goes_on = goes_on, .arg = c };
	struct export_result r = { 0 };
	struct tag_name tag;
	struct digest digest;
	struct str what = { "", 0 };
	enum err_kind k = op_directory(c, &o.dir, e);

	(void)op_text(c, "what", &what);
	if (k == ERR_OK)
		k = parse_what(what, &o, &tag, &digest, e);
	if (k != ERR_OK)
		return k;
	if (!gc_hold(c->ops->gc))
		return err_set(e, ERR_IN_USE, __func__, "the daemon is about to end");
	k = store_export(c->ops->store, &o, &r, e);
	gc_release(c->ops->gc);
	if (k == ERR_OK)
		emit_exported(c, &r);
	return k;
}
