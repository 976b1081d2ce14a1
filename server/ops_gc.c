#include "base/clock.h"
#include "server/ops.h"

static const char *const whats[] = {
	[GC_TAG] = "tag",         [GC_MANIFEST] = "manifest", [GC_BLOB] = "blob",
	[GC_CONTENT] = "content", [GC_TRASH] = "trash",
};

static void emit_action(void *arg, const struct gc_action *a)
{
	char text[DIGEST_TEXT_MAX];

	op_emit(arg,
		jv_pack("{s:s, s:b, s:s, s:s*, s:s*, s:s, s:I}", "what", whats[a->what], "removes",
			a->removes, "reason", a->reason, "repository",
			a->repo.len ? a->repo.s : NULL, "tag", a->tag.len ? a->tag.s : NULL,
			"digest", digest_text(&a->digest, text), "size", (long long)a->size_bytes));
}

static struct jv *result_value(const struct gc_result *r)
{
	return jv_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:I}", "tags",
		       (long long)r->tags, "manifests", (long long)r->manifests, "blobs",
		       (long long)r->blobs, "contents", (long long)r->contents, "trash",
		       (long long)r->trash, "bytes", (long long)r->bytes, "leased",
		       (long long)r->leased, "kept", (long long)r->kept, "ms",
		       (long long)r->took_ms, "braked", r->braked, "share", (long long)r->share);
}

enum err_kind op_gc(struct op_call *c, struct err *e)
{
	struct gc_result result;
	enum gc_mode mode = op_flag(c, "dry-run")   ? GC_DRY_RUN
			    : op_flag(c, "confirm") ? GC_CONFIRMED
						    : GC_NORMAL;
	bool tells = mode == GC_DRY_RUN || op_flag(c, "verbose");
	enum err_kind k = gc_run(c->ops->gc, mode, tells ? emit_action : NULL, c, &result, e);

	if (k == ERR_OK)
		op_emit(c, result_value(&result));
	return k;
}

static enum err_kind emit_status(struct op_call *c)
{
	char ended[TIME_TEXT_MAX] = "";
	struct gc_status s;

	gc_status(c->ops->gc, &s);
	if (s.last_end_wall_ms)
		(void)time_text(s.last_end_wall_ms, ended);
	op_emit(c, jv_pack("{s:b, s:b, s:b, s:I, s:s, s:s, s:o, s:o}", "running", s.running,
			   "paused", s.paused, "braked", s.braked, "cycles", (long long)s.cycles,
			   "ended", ended, "error", s.last_error, "last", result_value(&s.last),
			   "total", result_value(&s.total)));
	return ERR_OK;
}

enum err_kind op_gc_pause(struct op_call *c, struct err *e)
{
	(void)e;
	gc_pause(c->ops->gc);
	return emit_status(c);
}

enum err_kind op_gc_resume(struct op_call *c, struct err *e)
{
	(void)e;
	gc_resume(c->ops->gc);
	return emit_status(c);
}

enum err_kind op_gc_status(struct op_call *c, struct err *e)
{
	(void)e;
	return emit_status(c);
}
