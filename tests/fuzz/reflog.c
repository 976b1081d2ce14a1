/* Lines of the reference log: what parses has valid parts. */
#include "storage/reflog_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO_REFLOG_RECORD r = { 0 };
	struct repo_name again;
	struct err e;

	if (reflog_record_parse((struct str){ (const char *)data, n }, &r, &e) != ERR_OK)
		return 0;
	if (!repo_name_parse(&again, repo_name_str(&r.repo)) || r.seq == 0)
		abort();
	for (size_t i = 0; i < r.n_tags; i++) {
		struct tag_name tag;

		if (!tag_name_parse(&tag, tag_name_str(&r.tags[i])))
			abort();
	}
	return 0;
}
