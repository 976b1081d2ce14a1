#include "base/late.h"

#include <dlfcn.h>

/* NOLINTBEGIN(concurrency-mt-unsafe): glibc's dlerror is of the calling thread */
enum err_kind late_load(struct late *l, struct err *e)
{
	void *library;

	if (l->ready)
		return ERR_OK;
	library = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err_set(e, ERR_IO, __func__, "%s", dlerror());
	/* several threads may be at it: they find the same */
	for (size_t i = 0; i < l->n; i++) {
		late_fn *at = (late_fn *)dlsym(library, l->functions[i].name);

		if (!at)
			return err_set(e, ERR_IO, __func__, "%s", dlerror());
		__atomic_store_n(l->functions[i].to, at, __ATOMIC_RELAXED);
	}
	l->ready = true;
	return ERR_OK;
}
/* NOLINTEND(concurrency-mt-unsafe) */
