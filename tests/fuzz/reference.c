/* Names, tags, session ids, media types: what parses is within its bounds and reads back the same. */
#include "base/mediatype.h"
#include "storage/blob.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n };
	char text[UPLOAD_ID_TEXT_MAX], pending[BLOB_FILE_NAME_MAX];
	struct repo_name repo;
	struct tag_name tag;
	struct upload_id id;
	struct digest d;

	if (repo_name_parse(&repo, in) && !str_eq(repo_name_str(&repo), in))
		abort();
	if (tag_name_parse(&tag, in) && (!str_eq(tag_name_str(&tag), in) || n > TAG_NAME_MAX))
		abort();
	if (upload_id_parse(&id, in) && !str_eq(str_of(upload_id_text(&id, text)), in))
		abort();
	if (blob_pending_parse(in, &d, &id)) {
		blob_pending_name(&d, &id, pending);
		if (!str_eq(str_of(pending), in))
			abort();
	}
	if (media_type_is_valid(in) && n > MEDIA_TYPE_MAX)
		abort();
	(void)media_kind_of(media_type_bare(in));
	return 0;
}
