#include "runtime/image/push.h"

struct push {
	struct images *im;
	const struct image *image;
	const struct reference *to;
	struct client_repo repo;
	push_progress_fn *progress;
	void *arg;
};

/* A manifest of the store with its parts. */
struct document {
	struct sbuf body;
	char type[MEDIA_TYPE_MAX + 1];
	struct imagedoc doc;
};

static void document_clear(struct document *d)
{
	sbuf_clear(&d->body);
	imagedoc_clear(&d->doc);
}

static enum err_kind read_document(struct push *p, const struct digest *d, struct document *ret,
				   struct err *e)
{
	enum err_kind k;

	sbuf_init(&ret->body, IMAGEDOC_BYTES_MAX);
	k = images_begin(p->im, e);
	if (k != ERR_OK)
		return k;
	k = images_manifest_read(p->im, &p->image->repo, d, &ret->body, ret->type, e);
	images_end(p->im);
	return k == ERR_OK ? imagedoc_parse((struct str){ ret->body.p, ret->body.n },
					    str_of(ret->type), d, &ret->doc, e)
			   : k;
}

static enum err_kind open_blob(struct push *p, const struct digest *d, int *ret_fd,
			       uint64_t *ret_size, struct err *e)
{
	enum err_kind k = images_begin(p->im, e);

	if (k != ERR_OK)
		return k;
	k = images_blob_open(p->im, &p->image->repo, d, ret_fd, ret_size, e);
	images_end(p->im);
	return k;
}

static enum err_kind source(void *arg, uint64_t at, void *buf, size_t cap, size_t *ret_n,
			    struct err *e)
{
	ssize_t n = sys_pread(*(const int *)arg, buf, cap, (off_t)at);

	if (n < 0)
		return err_sys(e, __func__, "read a blob");
	*ret_n = (size_t)n;
	return ERR_OK;
}

static enum err_kind send(struct push *p, const struct digest *d, struct err *e)
{
	AUTO_CLOSE fd = -1;
	uint64_t size = 0;
	enum err_kind k = open_blob(p, d, &fd, &size, e);

	return k == ERR_OK ? client_blob_push(&p->repo, d, size, source, &fd, e) : k;
}

static enum err_kind push_blob(struct push *p, const struct descriptor *d, struct err *e)
{
	const struct reference *from = &p->image->ref;
	bool sent = false;
	enum err_kind k = client_blob_exists(&p->repo, &d->digest, e);

	if (k == ERR_NOT_FOUND && strcmp(from->host, p->to->host) == 0 &&
	    strcmp(from->repo.s, p->to->repo.s) != 0)
		k = client_blob_mount(&p->repo, &d->digest, from->repo.s, e);
	if (k == ERR_NOT_FOUND) {
		k = send(p, &d->digest, e);
		sent = true;
	}
	if (k == ERR_OK && p->progress)
		p->progress(p->arg, &d->digest, d->size_bytes, sent);
	return k;
}

static enum err_kind push_manifest(struct push *p, const struct digest *d, const char *tag,
				   struct err *e)
{
	CLEANUP(document_clear) struct document m = { 0 };
	enum err_kind k = read_document(p, d, &m, e);

	if (k != ERR_OK)
		return k;
	k = push_blob(p, &m.doc.config, e);
	for (size_t i = 0; k == ERR_OK && i < m.doc.n_parts; i++)
		k = push_blob(p, &m.doc.parts[i], e);
	return k == ERR_OK ? client_manifest_push(&p->repo, (struct str){ m.body.p, m.body.n },
						  m.type, d, tag, e)
			   : k;
}

/* The children that are here; *ret_all is false if some are not. */
static enum err_kind push_children(struct push *p, const struct imagedoc *index, bool *ret_all,
				   struct err *e)
{
	enum err_kind k = ERR_OK;

	*ret_all = true;
	for (size_t i = 0; k == ERR_OK && i < index->n_parts; i++) {
		k = push_manifest(p, &index->parts[i].digest, NULL, e);
		if (k == ERR_NOT_FOUND) {
			*ret_all = false;
			k = ERR_OK;
		}
	}
	return k;
}

static enum err_kind push_top(struct push *p, struct digest *ret, struct err *e)
{
	CLEANUP(document_clear) struct document top = { 0 };
	const char *tag = p->to->tag.len ? p->to->tag.s : NULL;
	bool all = false;
	enum err_kind k = read_document(p, &p->image->top, &top, e);

	*ret = p->image->top;
	if (k == ERR_OK && top.doc.kind == MEDIA_INDEX)
		k = push_children(p, &top.doc, &all, e);
	if (k != ERR_OK)
		return k;
	if (all)
		return client_manifest_push(&p->repo, (struct str){ top.body.p, top.body.n },
					    top.type, ret, tag, e);
	*ret = p->image->doc.digest;
	return push_manifest(p, ret, tag, e);
}

enum err_kind push_image(struct images *im, struct client *c, const struct image *image,
			 const struct reference *to, push_progress_fn *progress, void *arg,
			 struct digest *ret, struct err *e)
{
	struct push p = { .im = im, .image = image, .to = to, .progress = progress, .arg = arg };
	char name[REFERENCE_TEXT_MAX];
	enum err_kind k = client_repo_open(c, to, "pull,push", &p.repo, e);

	if (k == ERR_OK)
		k = push_top(&p, ret, e);
	return k == ERR_OK ? k : err_wrap(e, "push %s", reference_text(to, name));
}
