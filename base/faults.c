#include "base/faults.h"

void faults_add(struct faults *f, const struct err *e)
{
	if (f->n++ == 0)
		f->first = *e;
	if (f->tell)
		f->tell(f->arg, e);
}

enum err_kind faults_first(const struct faults *f, struct err *e)
{
	if (f->n == 0)
		return ERR_OK;
	*e = f->first;
	return err_reported(f->first.kind);
}
