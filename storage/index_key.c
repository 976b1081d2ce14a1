#include "storage/index_key.h"

#include <assert.h>

#define REF_WAS_ABSENT 0x80u

static size_t u64_bytes(uint8_t *to, uint64_t v)
{
	for (unsigned i = 0; i < 8; i++)
		to[i] = (uint8_t)(v >> (56 - 8 * i));
	return 8;
}

static size_t digest_bytes(uint8_t *to, const struct digest *d)
{
	size_t n = digest_size(d->alg);

	to[0] = d->alg;
	memcpy(to + 1, d->bytes, n);
	return 1 + n;
}

static size_t text_bytes(uint8_t *to, struct str s)
{
	to[0] = (uint8_t)(s.n >> 8);
	to[1] = (uint8_t)s.n;
	if (s.n)
		memcpy(to + 2, s.p, s.n);
	return 2 + s.n;
}

struct str key_str(const struct key *k)
{
	return (struct str){ (const char *)k->b, k->n };
}

struct key entry_key(uint64_t repo, const struct digest *d, enum entry_kind kind)
{
	struct key k = { 0 };

	key_u64(&k, repo);
	key_digest(&k, d);
	key_u8(&k, (uint8_t)kind);
	return k;
}

struct key content_key(const struct digest *d, enum content_kind kind)
{
	struct key k = { 0 };

	key_digest(&k, d);
	key_u8(&k, (uint8_t)kind);
	return k;
}

void key_u8(struct key *k, uint8_t v)
{
	assert(k->n < sizeof(k->b));
	k->b[k->n++] = v;
}

void key_u64(struct key *k, uint64_t v)
{
	assert(k->n + 8 <= sizeof(k->b));
	k->n += u64_bytes(k->b + k->n, v);
}

void key_digest(struct key *k, const struct digest *d)
{
	assert(k->n + DIGEST_PACKED_MAX <= sizeof(k->b));
	k->n += digest_bytes(k->b + k->n, d);
}

void key_text(struct key *k, struct str s)
{
	assert(s.n <= sizeof(k->b) - k->n);
	if (s.n)
		memcpy(k->b + k->n, s.p, s.n);
	k->n += s.n;
}

void key_upload(struct key *k, const struct upload_id *id)
{
	key_text(k, (struct str){ (const char *)id->bytes, sizeof(id->bytes) });
}

static struct str advance(struct str in, size_t n)
{
	return (struct str){ in.p + n, in.n - n };
}

bool unpack_u8(struct str *in, uint8_t *ret)
{
	if (in->n < 1)
		return false;
	*ret = (uint8_t)in->p[0];
	*in = advance(*in, 1);
	return true;
}

bool unpack_u64(struct str *in, uint64_t *ret)
{
	uint64_t v = 0;

	if (in->n < 8)
		return false;
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | (uint8_t)in->p[i];
	*in = advance(*in, 8);
	*ret = v;
	return true;
}

bool unpack_digest(struct str *in, struct digest *ret)
{
	struct digest d = { 0 };
	size_t n = in->n ? digest_size((uint8_t)in->p[0]) : 0;

	if (n == 0 || in->n < 1 + n)
		return false;
	d.alg = (uint8_t)in->p[0];
	memcpy(d.bytes, in->p + 1, n);
	*in = advance(*in, 1 + n);
	*ret = d;
	return true;
}

bool unpack_text(struct str *in, size_t max, struct str *ret)
{
	size_t n;

	if (in->n < 2)
		return false;
	n = (size_t)(uint8_t)in->p[0] << 8 | (uint8_t)in->p[1];
	if (n > max || in->n - 2 < n)
		return false;
	*ret = (struct str){ in->p + 2, n };
	*in = advance(*in, 2 + n);
	return true;
}

struct str row_str(const struct row *r)
{
	return (struct str){ (const char *)r->b, r->n };
}

void repo_row_pack(struct row *r, const struct repo_row *v)
{
	r->n = u64_bytes(r->b, v->id);
	r->n += u64_bytes(r->b + r->n, v->created_ms);
}

bool repo_row_unpack(struct str in, struct repo_row *ret)
{
	struct repo_row v;

	if (!unpack_u64(&in, &v.id) || !unpack_u64(&in, &v.created_ms) || in.n)
		return false;
	*ret = v;
	return true;
}

void tag_row_pack(struct row *r, const struct tag_row *v)
{
	r->n = u64_bytes(r->b, v->pushed_ms);
	r->n += u64_bytes(r->b + r->n, v->pulled_ms);
	r->n += digest_bytes(r->b + r->n, &v->digest);
}

bool tag_row_unpack(struct str in, struct tag_row *ret)
{
	struct tag_row v;

	if (!unpack_u64(&in, &v.pushed_ms) || !unpack_u64(&in, &v.pulled_ms) ||
	    !unpack_digest(&in, &v.digest) || in.n)
		return false;
	*ret = v;
	return true;
}

void manifest_row_pack(struct row *r, const struct manifest_row *v)
{
	r->n = u64_bytes(r->b, v->id);
	r->n += u64_bytes(r->b + r->n, v->pushed_ms);
	r->n += u64_bytes(r->b + r->n, v->size_bytes);
	r->n += text_bytes(r->b + r->n, str_of(v->media_type));
	r->n += text_bytes(r->b + r->n, str_of(v->artifact_type));
	r->b[r->n++] = v->has_subject;
	if (v->has_subject)
		r->n += digest_bytes(r->b + r->n, &v->subject);
}

bool manifest_row_unpack(struct str in, struct manifest_row *ret, struct str *ret_refs)
{
	struct manifest_row v = { 0 };
	struct str media, artifact;
	uint8_t has_subject;

	if (!unpack_u64(&in, &v.id) || !unpack_u64(&in, &v.pushed_ms) ||
	    !unpack_u64(&in, &v.size_bytes) || !unpack_text(&in, MEDIA_TYPE_MAX, &media) ||
	    !unpack_text(&in, MEDIA_TYPE_MAX, &artifact) ||
	    !str_copy(media, v.media_type, sizeof(v.media_type)) ||
	    !str_copy(artifact, v.artifact_type, sizeof(v.artifact_type)) ||
	    !unpack_u8(&in, &has_subject) || has_subject > 1)
		return false;
	v.has_subject = has_subject;
	if (v.has_subject && !unpack_digest(&in, &v.subject))
		return false;
	*ret = v;
	*ret_refs = in;
	return true;
}

void upload_row_pack(struct row *r, const struct upload_row *v)
{
	r->n = u64_bytes(r->b, v->started_ms);
	r->b[r->n++] = v->alg;
	r->n += text_bytes(r->b + r->n, repo_name_str(&v->repo));
}

bool upload_row_unpack(struct str in, struct upload_row *ret)
{
	struct upload_row v;
	struct str name;

	if (!unpack_u64(&in, &v.started_ms) || !unpack_u8(&in, &v.alg) || digest_size(v.alg) == 0 ||
	    !unpack_text(&in, REPO_NAME_MAX, &name) || in.n || !repo_name_parse(&v.repo, name))
		return false;
	*ret = v;
	return true;
}

void reflog_mark_pack(struct row *r, const struct reflog_mark *v)
{
	r->n = u64_bytes(r->b, v->segment);
	r->n += u64_bytes(r->b + r->n, v->offset);
	r->n += u64_bytes(r->b + r->n, v->seq);
}

bool reflog_mark_unpack(struct str in, struct reflog_mark *ret)
{
	struct reflog_mark v;

	if (!unpack_u64(&in, &v.segment) || !unpack_u64(&in, &v.offset) ||
	    !unpack_u64(&in, &v.seq) || in.n)
		return false;
	*ret = v;
	return true;
}

void object_row_pack(struct row *r, const struct object_row *v)
{
	r->n = u64_bytes(r->b, v->size_bytes);
	if (v->damaged_ms)
		r->n += u64_bytes(r->b + r->n, v->damaged_ms);
}

bool object_row_unpack(struct str in, struct object_row *ret)
{
	struct object_row v = { 0 };

	if (!unpack_u64(&in, &v.size_bytes))
		return false;
	if (in.n && (!unpack_u64(&in, &v.damaged_ms) || v.damaged_ms == 0))
		return false;
	if (in.n)
		return false;
	*ret = v;
	return true;
}

void u64_pack(struct row *r, uint64_t v)
{
	r->n = u64_bytes(r->b, v);
}

bool u64_unpack(struct str in, uint64_t *ret)
{
	uint64_t v;

	if (!unpack_u64(&in, &v) || in.n)
		return false;
	*ret = v;
	return true;
}

void usage_row_pack(struct row *r, const struct usage_row *v)
{
	r->n = u64_bytes(r->b, v->bytes);
	r->n += u64_bytes(r->b + r->n, v->objects);
	r->n += u64_bytes(r->b + r->n, v->tags);
}

bool usage_row_unpack(struct str in, struct usage_row *ret)
{
	struct usage_row v;

	if (!unpack_u64(&in, &v.bytes) || !unpack_u64(&in, &v.objects) ||
	    !unpack_u64(&in, &v.tags) || in.n)
		return false;
	*ret = v;
	return true;
}

void totals_pack(struct row *r, const struct totals *v)
{
	r->n = u64_bytes(r->b, v->objects);
	r->n += u64_bytes(r->b + r->n, v->bytes);
}

bool totals_unpack(struct str in, struct totals *ret)
{
	struct totals v;

	if (!unpack_u64(&in, &v.objects) || !unpack_u64(&in, &v.bytes) || in.n)
		return false;
	*ret = v;
	return true;
}

void scrub_row_pack(struct row *r, const struct scrub_row *v)
{
	struct key position = { 0 };

	r->n = u64_bytes(r->b, v->started_ms);
	r->n += u64_bytes(r->b + r->n, v->ended_ms);
	r->n += u64_bytes(r->b + r->n, v->objects);
	r->n += u64_bytes(r->b + r->n, v->bytes);
	r->n += u64_bytes(r->b + r->n, v->damaged);
	if (v->has_position)
		key_digest(&position, &v->position);
	memcpy(r->b + r->n, position.b, position.n);
	r->n += position.n;
}

bool scrub_row_unpack(struct str in, struct scrub_row *ret)
{
	struct scrub_row v = { 0 };

	if (!unpack_u64(&in, &v.started_ms) || !unpack_u64(&in, &v.ended_ms) ||
	    !unpack_u64(&in, &v.objects) || !unpack_u64(&in, &v.bytes) ||
	    !unpack_u64(&in, &v.damaged))
		return false;
	v.has_position = in.n > 0;
	if (v.has_position && (!unpack_digest(&in, &v.position) || in.n))
		return false;
	*ret = v;
	return true;
}

void closed_row_pack(struct row *r, const struct closed_row *v)
{
	memcpy(r->b, v->boot, sizeof(v->boot));
	r->n = sizeof(v->boot);
	r->n += u64_bytes(r->b + r->n, v->up_ms);
}

bool closed_row_unpack(struct str in, struct closed_row *ret)
{
	struct closed_row v;

	if (in.n < sizeof(v.boot))
		return false;
	memcpy(v.boot, in.p, sizeof(v.boot));
	in = advance(in, sizeof(v.boot));
	if (!unpack_u64(&in, &v.up_ms) || in.n)
		return false;
	*ret = v;
	return true;
}

struct key review_key(const struct review_row *v)
{
	struct key k = { 0 };

	key_u64(&k, v->due_ms);
	key_u64(&k, v->repo);
	key_digest(&k, &v->digest);
	return k;
}

void review_row_pack(struct row *r, const struct review_row *v)
{
	r->n = u64_bytes(r->b, v->since_ms);
	r->b[r->n++] = v->why;
}

bool review_row_unpack(struct str key, struct str value, struct review_row *ret)
{
	struct review_row v;

	if (!unpack_u64(&key, &v.due_ms) || !unpack_u64(&key, &v.repo) ||
	    !unpack_digest(&key, &v.digest) || key.n || !unpack_u64(&value, &v.since_ms) ||
	    !unpack_u8(&value, &v.why) || value.n || v.why < REVIEW_FREE || v.why > REVIEW_CONTENT)
		return false;
	*ret = v;
	return true;
}

void trash_row_pack(struct row *r, const struct trash_row *v)
{
	r->n = u64_bytes(r->b, v->at_ms);
	r->b[r->n++] = v->kind;
	r->b[r->n++] = v->by_gc;
	r->n += digest_bytes(r->b + r->n, &v->digest);
	r->n += u64_bytes(r->b + r->n, v->size_bytes);
	r->n += text_bytes(r->b + r->n, repo_name_str(&v->repo));
	r->n += text_bytes(r->b + r->n, str_of(v->media_type));
}

bool trash_row_unpack(struct str key, struct str value, struct trash_row *ret, struct str *ret_tags,
		      struct str *ret_refs)
{
	struct trash_row v = { 0 };
	struct str repo, media;
	uint64_t n_tags;
	uint8_t by_gc;

	if (!unpack_u64(&key, &v.id) || key.n || !unpack_u64(&value, &v.at_ms) ||
	    !unpack_u8(&value, &v.kind) || v.kind < TRASH_MANIFEST || v.kind > TRASH_TAG ||
	    !unpack_u8(&value, &by_gc) || by_gc > 1 || !unpack_digest(&value, &v.digest) ||
	    !unpack_u64(&value, &v.size_bytes) || !unpack_text(&value, REPO_NAME_MAX, &repo) ||
	    !repo_name_parse(&v.repo, repo) || !unpack_text(&value, MEDIA_TYPE_MAX, &media) ||
	    !str_copy(media, v.media_type, sizeof(v.media_type)) || !unpack_u64(&value, &n_tags) ||
	    n_tags > value.n)
		return false;
	v.by_gc = by_gc;
	*ret = v;
	*ret_tags = (struct str){ value.p, (size_t)n_tags };
	*ret_refs = advance(value, (size_t)n_tags);
	return true;
}

void tag_pack(struct sbuf *b, struct str tag)
{
	uint8_t one[2 + TAG_NAME_MAX];

	sbuf_add(b, one, text_bytes(one, tag));
}

bool tag_next(struct str *in, struct tag_name *ret)
{
	struct str at = *in, text;

	if (!unpack_text(&at, TAG_NAME_MAX, &text) || !tag_name_parse(ret, text))
		return false;
	*in = at;
	return true;
}

void refs_pack(struct sbuf *b, const struct manifest_ref *refs, size_t n)
{
	uint8_t one[1 + DIGEST_PACKED_MAX];

	for (size_t i = 0; i < n; i++) {
		one[0] = refs[i].kind | (refs[i].was_absent ? REF_WAS_ABSENT : 0);
		sbuf_add(b, one, 1 + digest_bytes(one + 1, &refs[i].digest));
	}
}

bool refs_next(struct str *in, struct manifest_ref *ret)
{
	struct str at = *in;
	struct manifest_ref ref = { 0 };

	if (!unpack_u8(&at, &ref.kind))
		return false;
	ref.was_absent = ref.kind & REF_WAS_ABSENT;
	ref.kind &= (uint8_t)~REF_WAS_ABSENT;
	if (ref.kind < REF_CONFIG || ref.kind > REF_CHILD || !unpack_digest(&at, &ref.digest))
		return false;
	*in = at;
	*ret = ref;
	return true;
}

void referrer_pack(struct sbuf *b, struct str artifact_type, struct str descriptor)
{
	uint8_t head[2 + MEDIA_TYPE_MAX];

	sbuf_add(b, head, text_bytes(head, artifact_type));
	sbuf_add_str(b, descriptor);
}

bool referrer_unpack(struct str in, struct str *ret_type, struct str *ret_descriptor)
{
	if (!unpack_text(&in, MEDIA_TYPE_MAX, ret_type) || in.n == 0)
		return false;
	*ret_descriptor = in;
	return true;
}

/* FNV-1a, 64 bits: fixed by FORMAT.md.  Types that collide are told apart by the value. */
uint64_t artifact_type_hash(struct str type)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < type.n; i++)
		h = (h ^ (uint8_t)type.p[i]) * 0x100000001b3u;
	return h;
}
