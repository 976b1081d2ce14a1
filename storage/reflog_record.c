#include "storage/reflog_record.h"

#include "base/jv.h"

#define DEPTH_MAX 4

/* What a line says of each kind of change; a mount is the link that it makes. */
static const struct {
	const char *op;
	enum change_kind read_as;
	bool has_digest, has_size, has_tags;
} ops[CHANGE_KIND_N] = {
	[CHANGE_BLOB_LINK] = { "blob.link", CHANGE_BLOB_LINK, true, true, false },
	[CHANGE_BLOB_MOUNT] = { "blob.link", CHANGE_BLOB_LINK, true, true, false },
	[CHANGE_BLOB_UNLINK] = { "blob.unlink", CHANGE_BLOB_UNLINK, true, false, false },
	[CHANGE_MANIFEST_PUT] = { "manifest.put", CHANGE_MANIFEST_PUT, true, true, true },
	[CHANGE_MANIFEST_DELETE] = { "manifest.delete", CHANGE_MANIFEST_DELETE, true, false,
				     false },
	[CHANGE_TAG_DELETE] = { "tag.delete", CHANGE_TAG_DELETE, false, false, true },
};

/* As what a change is recorded; CHANGE_KIND_N: not at all. */
static enum change_kind recorded_as(const struct change *c)
{
	if (c->kind != CHANGE_COLLECT)
		return ops[c->kind].op ? c->kind : CHANGE_KIND_N;
	if (c->verdict == VERDICT_LINK)
		return CHANGE_BLOB_UNLINK;
	return c->verdict == VERDICT_MANIFEST ? CHANGE_MANIFEST_DELETE : CHANGE_KIND_N;
}

bool reflog_records(const struct change *c)
{
	return recorded_as(c) != CHANGE_KIND_N;
}

static struct jv *tags_value(const struct change *c)
{
	AUTO_JV *a = jv_new_array();

	for (size_t i = 0; a && i < c->n_tags; i++) {
		if (!jv_append(a, jv_pack("s", c->tags[i].s)))
			return NULL;
	}
	return TAKE(a);
}

enum err_kind reflog_record_write(const struct change *c, uint64_t seq, struct sbuf *b,
				  struct err *e)
{
	enum change_kind kind = recorded_as(c);
	char text[DIGEST_TEXT_MAX], trace[TRACE_TEXT_MAX];
	AUTO_JV *v = jv_pack("{s:I, s:I, s:s, s:s}", "seq", (long long)seq, "ts",
			     (long long)c->at_ms, "op", ops[kind].op, "repo", c->repo.s);
	bool ok = v != NULL;

	if (ok && ops[kind].has_digest)
		ok = jv_set(v, "digest", jv_pack("s", digest_text(&c->digest, text)));
	if (ok && ops[kind].has_size)
		ok = jv_set(v, "size",
			    jv_pack("I", (long long)(c->manifest ? c->manifest->size_bytes
								 : c->size_bytes)));
	if (ok && kind == CHANGE_MANIFEST_PUT)
		ok = jv_set(v, "mediaType", jv_pack("s", c->manifest->media_type));
	if (ok && kind == CHANGE_MANIFEST_PUT && c->pushed_ms)
		ok = jv_set(v, "pushed", jv_pack("I", (long long)c->pushed_ms));
	if (ok && ops[kind].has_tags)
		ok = jv_set(v, "tags", tags_value(c));
	if (ok && (c->by_gc || (c->guard && c->guard->by_admin)))
		ok = jv_set(v, "by", jv_pack("s", c->by_gc ? "gc" : "admin"));
	if (ok && c->guard && c->guard->who)
		ok = jv_set(v, "who", jv_pack("s", c->guard->who));
	if (ok && c->trace)
		ok = jv_set(v, "trace", jv_pack("s", trace_text(c->trace, trace)));
	if (ok)
		jv_dump(v, b);
	sbuf_add(b, "\n", 1);
	if (!ok || b->failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a reflog record");
	return ERR_OK;
}

static enum err_kind bad(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "reflog_record_parse", "reflog record: %s", what);
}

static bool parse_op(const struct jv *v, enum change_kind *ret)
{
	struct str op;

	if (!jv_text(v, &op))
		return false;
	for (unsigned i = 0; i < CHANGE_KIND_N; i++) {
		if (ops[i].op && str_eq(op, str_of(ops[i].op))) {
			*ret = ops[i].read_as;
			return true;
		}
	}
	return false;
}

static enum err_kind parse_tags(const struct jv *v, struct reflog_record *r, struct err *e)
{
	struct str tag;

	if (!jv_is_array(v))
		return bad(e, "tags is not an array");
	r->tags = calloc(jv_count(v) + 1, sizeof(*r->tags));
	if (!r->tags)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	for (; r->n_tags < jv_count(v); r->n_tags++) {
		if (!jv_text(jv_at(v, r->n_tags), &tag) ||
		    !tag_name_parse(&r->tags[r->n_tags], tag))
			return bad(e, "invalid tag");
	}
	return ERR_OK;
}

static enum err_kind parse_members(const struct jv *v, struct reflog_record *r, struct err *e)
{
	struct trace trace;
	struct str text;

	if (!jv_uint(jv_member(v, "seq"), &r->seq) || r->seq == 0)
		return bad(e, "invalid seq");
	if (!jv_uint(jv_member(v, "ts"), &r->at_ms))
		return bad(e, "invalid ts");
	if (!parse_op(jv_member(v, "op"), &r->kind))
		return bad(e, "unknown op");
	if (!jv_text(jv_member(v, "repo"), &text) || !repo_name_parse(&r->repo, text))
		return bad(e, "invalid repo");
	if (ops[r->kind].has_digest &&
	    (!jv_text(jv_member(v, "digest"), &text) || !digest_parse(&r->digest, text)))
		return bad(e, "invalid digest");
	if (ops[r->kind].has_size && !jv_uint(jv_member(v, "size"), &r->size_bytes))
		return bad(e, "invalid size");
	if (r->kind == CHANGE_MANIFEST_PUT &&
	    (!jv_text(jv_member(v, "mediaType"), &text) || media_kind_of(text) == MEDIA_OTHER ||
	     !str_copy(text, r->media_type, sizeof(r->media_type))))
		return bad(e, "invalid mediaType");
	if (r->kind == CHANGE_MANIFEST_PUT && jv_member(v, "pushed") &&
	    !jv_uint(jv_member(v, "pushed"), &r->pushed_ms))
		return bad(e, "invalid pushed");
	r->by_gc = jv_text(jv_member(v, "by"), &text) && str_eq(text, STR("gc"));
	r->by_admin = jv_text(jv_member(v, "by"), &text) && str_eq(text, STR("admin"));
	if (!jv_text(jv_member(v, "who"), &text) || !str_copy(text, r->who, sizeof(r->who)))
		r->who[0] = '\0'; /* as any member of a later version */
	if (!jv_text(jv_member(v, "trace"), &text) || !trace_parse(text, &trace) ||
	    !str_copy(text, r->trace, sizeof(r->trace)))
		r->trace[0] = '\0';
	return ops[r->kind].has_tags ? parse_tags(jv_member(v, "tags"), r, e) : ERR_OK;
}

enum err_kind reflog_record_parse(struct str line, struct reflog_record *ret, struct err *e)
{
	AUTO_JV *v = NULL;
	AUTO_REFLOG_RECORD r = { 0 };
	enum err_kind k = jv_parse_object(line, DEPTH_MAX, &v, e);

	if (k == ERR_OK)
		k = parse_members(v, &r, e);
	else if (k == ERR_INVALID)
		k = bad(e, "not a JSON object");
	if (k != ERR_OK)
		return k;
	*ret = r;
	r = (struct reflog_record){ 0 };
	return ERR_OK;
}

void reflog_record_clear(struct reflog_record *r)
{
	free(r->tags);
	*r = (struct reflog_record){ 0 };
}
