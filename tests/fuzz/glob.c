/* A pattern and a name, one a line: matching ends, and a literal start is one. */
#include "base/glob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str pattern, name;
	const char *why = NULL;

	(void)str_cut((struct str){ (const char *)data, n }, '\n', &pattern, &name);
	if (!glob_is_valid(pattern, &why)) {
		if (!why)
			abort();
		return 0;
	}
	if (glob_match(pattern, name) &&
	    !str_starts(name, (struct str){ pattern.p, glob_literal(pattern) }))
		abort();
	return 0;
}
