/* Values of the index: the first byte chooses the table.  What decodes encodes to the same bytes. */
#include "storage/index_key.h"

static void same(const struct row *r, struct str in)
{
	if (!str_eq(row_str(r), in))
		abort();
}

static void fuzz_refs(struct str in)
{
	struct manifest_ref ref;
	struct str rest = in;
	size_t n = 0;

	while (refs_next(&rest, &ref)) {
		if (digest_size(ref.digest.alg) == 0)
			abort();
		n++;
	}
	if (n > in.n)
		abort();
}

static void fuzz_manifest(struct str in)
{
	struct manifest_row v;
	struct str refs;
	struct row head;

	if (!manifest_row_unpack(in, &v, &refs))
		return;
	manifest_row_pack(&head, &v);
	same(&head, (struct str){ in.p, in.n - refs.n });
	fuzz_refs(refs);
}

static void fuzz_referrer(struct str in)
{
	AUTO_SBUF b;
	struct str type, descriptor;

	sbuf_init(&b, SBUF_MAX);
	if (!referrer_unpack(in, &type, &descriptor))
		return;
	referrer_pack(&b, type, descriptor);
	if (!b.failed && !str_eq((struct str){ b.p, b.n }, in))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct row r;
	struct str in;
	union {
		struct repo_row repo;
		struct tag_row tag;
		struct upload_row upload;
		struct reflog_mark mark;
		uint64_t number;
	} v;

	if (n == 0)
		return 0;
	in = (struct str){ (const char *)data + 1, n - 1 };
#define TRY(i, name, field)                                                                        \
	if (data[0] % 8 == (i) && name##_unpack(in, &v.field)) {                                   \
		name##_pack(&r, &v.field);                                                         \
		same(&r, in);                                                                      \
	}
	TRY(0, repo_row, repo)
	TRY(1, tag_row, tag)
	TRY(3, upload_row, upload)
	TRY(4, reflog_mark, mark)
#undef TRY
	if (data[0] % 8 == 2)
		fuzz_manifest(in);
	if (data[0] % 8 == 5 && u64_unpack(in, &v.number)) {
		u64_pack(&r, v.number);
		same(&r, in);
	}
	if (data[0] % 8 == 6)
		fuzz_refs(in);
	if (data[0] % 8 == 7)
		fuzz_referrer(in);
	return 0;
}
