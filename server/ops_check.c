#include "base/clock.h"
#include "server/ops.h"
#include "storage/fsck.h"

static bool emit_fault(void *arg, const struct fsck_fault *f)
{
	struct op_call *c = arg;

	op_emit(c, jv_pack("{s:s, s:s, s:s, s:b, s:b}", "fault", f->name, "where", f->where, "what",
			   f->what, "repairable", f->can_repair, "repaired", f->repaired));
	return !c->listener_gone;
}

enum err_kind op_fsck(struct op_call *c, struct err *e)
{
	struct fsck_result r = { 0 };
	enum err_kind k = store_fsck(c->ops->store, op_flag(c, "repair"), emit_fault, c, &r, e);

	if (k == ERR_OK)
		op_emit(c, jv_pack("{s:I, s:I, s:I, s:I}", "rows", (long long)r.rows, "files",
				   (long long)r.files, "faults", (long long)r.faults, "repaired",
				   (long long)r.repaired));
	return k;
}

static struct jv *round_value(const struct scrub_row *r)
{
	char started[TIME_TEXT_MAX] = "", ended[TIME_TEXT_MAX] = "";

	if (r->started_ms)
		(void)time_text(r->started_ms, started);
	if (r->ended_ms)
		(void)time_text(r->ended_ms, ended);
	return jv_pack("{s:s, s:s, s:I, s:I, s:I}", "started", started, "ended", ended, "objects",
		       (long long)r->objects, "bytes", (long long)r->bytes, "damaged",
		       (long long)r->damaged);
}

static bool emit_damage(void *arg, const struct digest *d, uint64_t size_bytes,
			enum scrub_outcome outcome)
{
	struct op_call *c = arg;
	char text[DIGEST_TEXT_MAX];

	op_emit(c, jv_pack("{s:s, s:I, s:b}", "digest", digest_text(d, text), "size",
			   (long long)size_bytes, "healed", outcome == SCRUB_HEALED));
	return !c->listener_gone;
}

enum err_kind op_scrub(struct op_call *c, struct err *e)
{
	struct scrub_row r;
	enum err_kind k = scrubber_run(c->ops->scrubber, emit_damage, c, &r, e);

	if (k == ERR_OK)
		op_emit(c, round_value(&r));
	return k;
}

enum err_kind op_scrub_status(struct op_call *c, struct err *e)
{
	struct scrubber_status s;

	(void)e;
	scrubber_status(c->ops->scrubber, &s);
	op_emit(c,
		jv_pack("{s:b, s:o, s:I, s:I}", "running", s.running, "round", round_value(&s.last),
			"damaged", (long long)s.damaged, "read", (long long)s.bytes));
	return ERR_OK;
}
