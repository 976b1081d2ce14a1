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

/* Rows whose key holds a part of them: one byte says how long the key is. */
static void cut_key(struct str in, struct str *key, struct str *value)
{
	size_t n = in.n ? (uint8_t)in.p[0] : 0;

	in = in.n ? (struct str){ in.p + 1, in.n - 1 } : in;
	n = n < in.n ? n : in.n;
	*key = (struct str){ in.p, n };
	*value = (struct str){ in.p + n, in.n - n };
}

static void fuzz_review(struct str in)
{
	struct str key, value;
	struct review_row v;
	struct key again;
	struct row r;

	cut_key(in, &key, &value);
	if (!review_row_unpack(key, value, &v))
		return;
	again = review_key(&v);
	if (!str_eq(key_str(&again), key))
		abort();
	review_row_pack(&r, &v);
	same(&r, value);
}

static void fuzz_trash(struct str in)
{
	struct str key, value, tags, refs;
	struct trash_row v;
	struct tag_name tag;
	struct row r;

	cut_key(in, &key, &value);
	if (!trash_row_unpack(key, value, &v, &tags, &refs))
		return;
	trash_row_pack(&r, &v);
	same(&r, (struct str){ value.p, value.n - tags.n - refs.n - 8 });
	while (tag_next(&tags, &tag)) {
		if (tag.len == 0)
			abort();
	}
	fuzz_refs(refs);
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
		struct object_row object;
		struct totals totals;
		struct closed_row closed;
		struct scrub_row scrub;
	} v;

	if (n == 0)
		return 0;
	in = (struct str){ (const char *)data + 1, n - 1 };
#define TRY(i, name, field)                                                                        \
	if (data[0] % 16 == (i) && name##_unpack(in, &v.field)) {                                  \
		name##_pack(&r, &v.field);                                                         \
		same(&r, in);                                                                      \
	}
	TRY(0, repo_row, repo)
	TRY(1, tag_row, tag)
	TRY(3, upload_row, upload)
	TRY(4, reflog_mark, mark)
	TRY(8, object_row, object)
	TRY(9, totals, totals)
	TRY(10, closed_row, closed)
	TRY(11, scrub_row, scrub)
#undef TRY
	if (data[0] % 16 == 2)
		fuzz_manifest(in);
	if (data[0] % 16 == 5 && u64_unpack(in, &v.number)) {
		u64_pack(&r, v.number);
		same(&r, in);
	}
	if (data[0] % 16 == 6)
		fuzz_refs(in);
	if (data[0] % 16 == 7)
		fuzz_referrer(in);
	if (data[0] % 16 == 12)
		fuzz_review(in);
	if (data[0] % 16 == 13)
		fuzz_trash(in);
	return 0;
}
