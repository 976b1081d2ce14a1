#include "runtime/image/relay.h"

#include <errno.h>
#include <pthread.h>

#include "base/hash.h"
#include "runtime/image/pipe.h"

#define BLOCKS 4
#define BLOCK_BYTES (256u * 1024)
#define DEPTH_MAX 8 /* of indexes in indexes, and of referrers of referrers */

struct relay {
	struct client_repo from, to;
	bool same_registry, same_repo;
	const struct relay_options *o;
};

/* --- A blob on its way --- */

struct passage {
	const struct relay *r;
	const struct descriptor *d;
	struct pipe *pipe;
	pthread_t thread;
	bool runs; /* the thread */

	/* The thread's. */
	struct hash *hash;
	uint64_t have, skip;
	uint8_t *block;
	size_t filled;

	/* The reader's. */
	uint64_t at;
	const uint8_t *rest;
	size_t rest_n;
};

static enum err_kind accept_answer(void *arg, const struct transfer_job *j, struct err *e)
{
	struct passage *p = arg;

	return client_blob_accept(j, p->have, &p->skip, e);
}

static uint64_t offset(void *arg)
{
	return ((const struct passage *)arg)->have;
}

static enum err_kind pass_on(struct passage *p, const uint8_t *bytes, size_t n, struct err *e)
{
	while (n > 0) {
		size_t part;

		if (p->filled == BLOCK_BYTES) { /* not sooner: the last one waits for its digest */
			pipe_push(p->pipe, p->filled);
			p->filled = 0;
			p->block = NULL;
		}
		if (!p->block)
			p->block = pipe_space(p->pipe);
		if (!p->block)
			return err_set(e, ERR_IO, __func__, "the destination takes no more");
		part = MIN(n, BLOCK_BYTES - p->filled);
		memcpy(p->block + p->filled, bytes, part);
		p->filled += part;
		bytes += part;
		n -= part;
	}
	return ERR_OK;
}

static enum err_kind take_bytes(void *arg, const void *bytes, size_t n, struct err *e)
{
	struct passage *p = arg;
	size_t skipped = (size_t)MIN(p->skip, (uint64_t)n);
	enum err_kind k;

	p->skip -= skipped;
	bytes = (const uint8_t *)bytes + skipped;
	n -= skipped;
	if (n > p->d->size_bytes - p->have)
		return err_set(e, ERR_SIZE, __func__,
			       "a blob of more than the announced %llu bytes",
			       (unsigned long long)p->d->size_bytes);
	k = hash_update(p->hash, bytes, n, e);
	if (k == ERR_OK)
		k = pass_on(p, bytes, n, e);
	p->have += n;
	return k;
}

static enum err_kind check_whole(struct passage *p, struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	struct digest got;
	enum err_kind k;

	if (p->have != p->d->size_bytes)
		return err_set(e, ERR_SIZE, __func__, "blob %.80s: %llu bytes, not %llu",
			       digest_text(&p->d->digest, text), (unsigned long long)p->have,
			       (unsigned long long)p->d->size_bytes);
	k = hash_final(p->hash, &got, e);
	if (k == ERR_OK && !digest_eq(&got, &p->d->digest))
		k = err_set(e, ERR_DIGEST, __func__, "a blob does not hash to %.80s",
			    digest_text(&p->d->digest, text));
	return k;
}

static enum err_kind fetch(struct passage *p, struct err *e)
{
	char rest[DIGEST_TEXT_MAX + 16];
	AUTO_EXCHANGE x = { 0 };
	long status;
	enum err_kind k;

	client_blob_exchange(&p->r->from, &p->d->digest, rest, &x);
	x.offset = offset;
	x.body.sink = take_bytes;
	x.body.accept = accept_answer;
	x.body.arg = p;
	k = exchange_run(&x, e);
	if (k != ERR_OK)
		return k;
	status = transfer_status(x.job);
	if (status != 200 && status != 206)
		return exchange_refused(&x, "blob", e);
	k = check_whole(p, e);
	if (k == ERR_OK && p->filled)
		pipe_push(p->pipe, p->filled);
	return k;
}

static void *fetch_thread(void *arg)
{
	struct passage *p = arg;
	struct err e;
	enum err_kind k = fetch(p, &e);

	pipe_end(p->pipe, k == ERR_OK ? NULL : &e);
	return NULL;
}

static void end(struct passage *p)
{
	if (p->runs) {
		pipe_stop(p->pipe);
		(void)pthread_join(p->thread, NULL);
	}
	p->runs = false;
	pipe_free(&p->pipe);
	hash_free(&p->hash);
}

static enum err_kind begin(struct passage *p, struct err *e)
{
	int failed;
	enum err_kind k;

	end(p);
	*p = (struct passage){ .r = p->r, .d = p->d };
	k = pipe_new(BLOCKS, BLOCK_BYTES, &p->pipe, e);
	if (k == ERR_OK)
		k = hash_new((enum digest_alg)p->d->digest.alg, &p->hash, e);
	if (k != ERR_OK)
		return k;
	failed = pthread_create(&p->thread, NULL, fetch_thread, p);
	p->runs = failed == 0;
	errno = failed;
	return failed ? err_sys(e, __func__, "start a thread") : ERR_OK;
}

/* It is asked for from 0 again when a connection to the destination broke. */
static enum err_kind give_bytes(void *arg, uint64_t at, void *buf, size_t cap, size_t *ret_n,
				struct err *e)
{
	struct passage *p = arg;
	const void *block = NULL;
	enum err_kind k = ERR_OK;

	if (!p->runs || at != p->at)
		k = at == 0 ? begin(p, e)
			    : err_set(e, ERR_BUG, __func__, "a blob that is sent from its middle");
	if (k == ERR_OK && p->rest_n == 0) {
		k = pipe_next(p->pipe, &block, &p->rest_n, e);
		p->rest = block;
	}
	if (k != ERR_OK)
		return k;
	*ret_n = MIN(cap, p->rest_n);
	if (*ret_n)
		memcpy(buf, p->rest, *ret_n);
	p->rest += *ret_n;
	p->rest_n -= *ret_n;
	p->at += *ret_n;
	return ERR_OK;
}

static enum err_kind send(const struct relay *r, const struct descriptor *d, struct err *e)
{
	struct passage p = { .r = r, .d = d };
	enum err_kind k = client_blob_push(&r->to, &d->digest, d->size_bytes, give_bytes, &p, e);

	end(&p);
	return k;
}

static enum err_kind relay_blob(const struct relay *r, const struct descriptor *d, struct err *e)
{
	enum relay_how how = RELAY_THERE;
	enum err_kind k;

	if (media_is_nondistributable(str_of(d->media_type)))
		return ERR_OK; /* it is where it always is */
	k = client_blob_exists(&r->to, &d->digest, e);
	if (k == ERR_NOT_FOUND && r->same_registry && !r->same_repo) {
		how = RELAY_MOUNTED;
		k = client_blob_mount(&r->to, &d->digest, r->from.repo.s, e);
	}
	if (k == ERR_NOT_FOUND) {
		how = RELAY_SENT;
		k = send(r, d, e);
	}
	if (k == ERR_OK && r->o->progress)
		r->o->progress(r->o->arg, &d->digest, d->size_bytes, how);
	return k;
}

/* --- Manifests --- */

static enum err_kind relay_manifest(const struct relay *r, const struct client_manifest *m,
				    const char *tag, unsigned depth, struct err *e);

static enum err_kind relay_by_digest(const struct relay *r, const struct descriptor *d,
				     unsigned depth, struct err *e)
{
	AUTO_CLIENT_MANIFEST m = { 0 };
	enum err_kind k = client_manifest_get(&r->from, &d->digest, d->size_bytes, &m, e);

	if (k == ERR_OK && !*m.type)
		(void)str_copy(str_of(d->media_type), m.type, sizeof(m.type));
	return k == ERR_OK ? relay_manifest(r, &m, NULL, depth, e) : k;
}

static enum err_kind relay_parts(const struct relay *r, const struct imagedoc *doc, unsigned depth,
				 struct err *e)
{
	enum err_kind k = ERR_OK;

	if (doc->kind == MEDIA_MANIFEST)
		k = relay_blob(r, &doc->config, e);
	for (size_t i = 0; k == ERR_OK && i < doc->n_parts; i++) {
		const struct descriptor *d = &doc->parts[i];
		enum media_kind kind = media_kind_of(str_of(d->media_type));

		k = doc->kind == MEDIA_INDEX && kind != MEDIA_OTHER
			? relay_by_digest(r, d, depth + 1, e)
			: relay_blob(r, d, e);
	}
	return k;
}

static bool has_descriptor(const struct jv *list, const struct jv *one)
{
	struct str want, got;

	for (size_t i = 0; i < jv_count(list); i++) {
		if (jv_text(jv_member(one, "digest"), &want) &&
		    jv_text(jv_member(jv_at(list, i), "digest"), &got) && str_eq(want, got))
			return true;
	}
	return false;
}

/* R4 */
static enum err_kind tag_referrers(const struct relay *r, const struct digest *subject,
				   struct jv *there, const struct jv *came, struct err *e)
{
	AUTO_JV *index = NULL;
	AUTO_SBUF text = { 0 };
	char tag[TAG_NAME_MAX + 1];
	struct digest d;
	enum err_kind k;

	for (size_t i = 0; i < jv_count(came); i++) {
		if (!has_descriptor(there, jv_at(came, i)) &&
		    !jv_append(there, jv_share(jv_at(came, i))))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for referrers");
	}
	sbuf_init(&text, IMAGEDOC_BYTES_MAX);
	index = jv_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
			"manifests", jv_share(there));
	jv_dump(index, &text);
	if (text.failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "a list of referrers that is too long");
	k = hash_bytes(DIGEST_SHA256, text.p, text.n, &d, e);
	client_referrers_tag(subject, tag);
	return k == ERR_OK ? client_manifest_push(&r->to, (struct str){ text.p, text.n },
						  MEDIA_OCI_INDEX, &d, tag, e)
			   : k;
}

static enum err_kind referrer_of(const struct jv *v, struct descriptor *ret, char *type, size_t cap,
				 struct err *e)
{
	struct str digest, media;

	*ret = (struct descriptor){ .media_type = type };
	if (!jv_text(jv_member(v, "digest"), &digest) || !digest_parse(&ret->digest, digest) ||
	    !jv_uint(jv_member(v, "size"), &ret->size_bytes) ||
	    !jv_text(jv_member(v, "mediaType"), &media) || !str_copy(media, type, cap))
		return err_set(e, ERR_INVALID, __func__, "a referrer that is no descriptor");
	return ERR_OK;
}

static enum err_kind relay_referrers(const struct relay *r, const struct digest *subject,
				     unsigned depth, struct err *e)
{
	AUTO_JV *came = NULL;
	AUTO_JV *there = NULL;
	bool has_api = false;
	enum err_kind k = client_referrers(&r->from, subject, &came, NULL, e);

	for (size_t i = 0; k == ERR_OK && i < jv_count(came); i++) {
		struct descriptor d;
		char type[MEDIA_TYPE_MAX + 1];

		k = referrer_of(jv_at(came, i), &d, type, sizeof(type), e);
		if (k == ERR_OK)
			k = relay_by_digest(r, &d, depth + 1, e);
	}
	if (k != ERR_OK || jv_count(came) == 0)
		return k;
	k = client_referrers(&r->to, subject, &there, &has_api, e);
	return k == ERR_OK && !has_api ? tag_referrers(r, subject, there, came, e) : k;
}

/* A manifest that is there has all that it consists of; who refers to it may still be new. */
static enum err_kind relay_manifest(const struct relay *r, const struct client_manifest *m,
				    const char *tag, unsigned depth, struct err *e)
{
	AUTO_IMAGEDOC doc = { 0 };
	struct str body = { m->body.p, m->body.n };
	bool is_there = false;
	enum err_kind k = imagedoc_parse(body, str_of(m->type), &m->digest, &doc, e);

	if (k == ERR_OK && depth > DEPTH_MAX)
		return err_set(e, ERR_UNSUPPORTED, __func__, "documents nested too deeply");
	if (k == ERR_OK) {
		k = client_manifest_exists(&r->to, &m->digest, e);
		is_there = k == ERR_OK;
		k = k == ERR_NOT_FOUND ? ERR_OK : k;
	}
	/* Of an index that is there the children may have new referrers. */
	if (k == ERR_OK && (!is_there || (r->o->referrers && doc.kind == MEDIA_INDEX)))
		k = relay_parts(r, &doc, depth, e);
	if (k == ERR_OK && (!is_there || tag))
		k = client_manifest_push(&r->to, body, doc.media_type, &m->digest, tag, e);
	return k == ERR_OK && r->o->referrers ? relay_referrers(r, &m->digest, depth, e) : k;
}

/* --- The whole --- */

/* Of an index the platform's image, under the new name by itself. */
static enum err_kind choose(const struct relay *r, struct client_manifest *m, struct err *e)
{
	AUTO_IMAGEDOC doc = { 0 };
	AUTO_CLIENT_MANIFEST child = { 0 };
	struct client_manifest index;
	const struct descriptor *d;
	enum err_kind k = imagedoc_parse((struct str){ m->body.p, m->body.n }, str_of(m->type),
					 &m->digest, &doc, e);

	if (k != ERR_OK || doc.kind != MEDIA_INDEX)
		return k;
	k = imagedoc_choose(&doc, r->o->platform, &d, e);
	if (k == ERR_OK)
		k = client_manifest_get(&r->from, &d->digest, d->size_bytes, &child, e);
	if (k != ERR_OK)
		return k;
	index = *m;
	*m = child;
	child = index;
	return ERR_OK;
}

enum err_kind relay_image(struct client *source, const struct reference *from, struct client *sink,
			  const struct reference *to, const struct relay_options *o,
			  struct digest *ret, struct err *e)
{
	AUTO_CLIENT_MANIFEST m = { 0 };
	struct relay r = { .o = o };
	char a[REFERENCE_TEXT_MAX], b[REFERENCE_TEXT_MAX];
	size_t place = 0;
	enum err_kind k = client_pull_manifest(source, from, &place, &m, &r.from, e);

	if (k == ERR_OK)
		k = client_repo_open(sink, to, "pull,push", &r.to, e);
	r.same_registry = strcmp(from->host, to->host) == 0;
	r.same_repo = r.same_registry && strcmp(from->repo.s, to->repo.s) == 0;
	if (k == ERR_OK && o->platform)
		k = choose(&r, &m, e);
	if (k == ERR_OK)
		k = relay_manifest(&r, &m, to->tag.len ? to->tag.s : NULL, 0, e);
	*ret = m.digest;
	return k == ERR_OK
		   ? k
		   : err_wrap(e, "copy %s to %s", reference_short(from, a), reference_short(to, b));
}
