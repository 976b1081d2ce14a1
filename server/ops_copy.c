#include <errno.h>

#include "server/ops.h"
#include "storage/backup.h"
#include "storage/rebuild.h"

static void emit_loss(void *arg, const struct rebuild_loss *l)
{
	static const char *const whats[] = {
		[REBUILD_MANIFEST] = "manifest",
		[REBUILD_TAG] = "tag",
		[REBUILD_BLOB] = "blob",
		[REBUILD_UNNAMED] = "unnamed",
	};

	op_emit(arg, jv_pack("{s:s, s:s}", "lost", whats[l->what], "name", l->name));
}

enum err_kind op_rebuild(struct op_call *c, struct err *e)
{
	const struct store_options o = ops_store_options(c->ops->conf, true);
	struct rebuild_result r = { 0 };
	enum err_kind k = store_rebuild(&o, emit_loss, c, &r, e);

	if (k == ERR_OK)
		op_emit(c, jv_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "records",
				   (long long)r.log.records, "missing", (long long)r.log.missing,
				   "unreadable", (long long)r.log.unreadable, "repositories",
				   (long long)r.repos, "tags", (long long)r.tags, "objects",
				   (long long)r.objects, "bytes", (long long)r.bytes, "losses",
				   (long long)r.losses));
	return k;
}

static bool emit_damage(void *arg, const struct digest *d, uint64_t size_bytes)
{
	struct op_call *c = arg;
	char text[DIGEST_TEXT_MAX];

	op_emit(c, jv_pack("{s:s, s:I}", "damaged-file", digest_text(d, text), "size",
			   (long long)size_bytes));
	return !c->listener_gone;
}

static void emit_copied(struct op_call *c, const struct backup_result *r)
{
	op_emit(c, jv_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "objects",
			   (long long)r->objects, "bytes", (long long)r->bytes, "had",
			   (long long)r->had, "cloned", (long long)r->cloned, "linked",
			   (long long)r->linked, "copied", (long long)r->copied, "copied-bytes",
			   (long long)r->copied_bytes, "removed", (long long)r->removed, "damaged",
			   (long long)r->damaged));
}

enum err_kind op_backup(struct op_call *c, struct err *e)
{
	struct backup_result r = { 0 };
	const char *dir;
	enum err_kind k = op_directory(c, &dir, e);

	if (k != ERR_OK)
		return k;
	if (!gc_hold(c->ops->gc))
		return err_set(e, ERR_IN_USE, __func__, "the daemon is about to end");
	k = store_backup(c->ops->store, dir, emit_damage, c, &r, e);
	gc_release(c->ops->gc);
	if (k == ERR_OK)
		emit_copied(c, &r);
	else if (e->sys == EACCES && c->ops->conf->process_confine)
		return err_wrap(e, "not a directory of process.writable");
	return k;
}

enum err_kind op_restore(struct op_call *c, struct err *e)
{
	const struct store_options o = ops_store_options(c->ops->conf, false);
	struct backup_result r = { 0 };
	const char *dir;
	enum err_kind k = op_directory(c, &dir, e);

	if (k == ERR_OK)
		k = store_restore(&o, dir, op_flag(c, "accept-damage"), emit_damage, c, &r, e);
	if (k == ERR_OK)
		emit_copied(c, &r);
	return k;
}
