#include "server/ops.h"

enum err_kind op_reload(struct op_call *c, struct err *e)
{
	AUTO_JV *items = NULL;
	enum err_kind k;

	if (!c->ops->live)
		return err_set(e, ERR_UNSUPPORTED, __func__, "only a daemon reloads its options");
	k = live_ask(c->ops->live, &items, e);
	for (size_t i = 0; i < jv_count(items); i++)
		op_emit(c, jv_share(jv_at(items, i)));
	return k;
}
