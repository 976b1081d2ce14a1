/* Range, Content-Range and entity tag lists; the first eight bytes are the size of the representation. */
#include "server/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t size = 0, first, last;
	struct str in, head, rest;

	if (n < sizeof(size))
		return 0;
	memcpy(&size, data, sizeof(size));
	in = (struct str){ (const char *)data + sizeof(size), n - sizeof(size) };
	if (range_parse(in, size, &first, &last) == RANGE_PART && (first > last || last >= size))
		abort();
	if (content_range_parse(in, &first, &last) && (first > last || last > INT64_MAX))
		abort();
	(void)str_cut(in, '\n', &head, &rest);
	(void)etag_list_has(head, rest);
	return 0;
}
