#include "runtime/image/save.h"

#include "runtime/image/tar.h"

#define COPY_BYTES (256u * 1024)
#define FILE_MODE 0644

struct save {
	struct images *im;
	int fd;
	struct tar_writer *tar;
	struct member *member;
	struct digest *written;
	size_t n_written, cap;
};

static enum err_kind sink(void *arg, const void *p, size_t n, struct err *e)
{
	return fd_write_all(((const struct save *)arg)->fd, p, n, "the archive", e);
}

static enum err_kind begin_file(struct save *s, const char *name, uint64_t size, struct err *e)
{
	*s->member = (struct member){ .kind = MEMBER_FILE, .mode = FILE_MODE, .size_bytes = size };
	s->member->path_n = strlen(name);
	if (!str_copy(str_of(name), s->member->path, sizeof(s->member->path)))
		return err_set(e, ERR_BUG, __func__, "a name that is too long");
	return tar_writer_add(s->tar, s->member, e);
}

static enum err_kind put_text(struct save *s, const char *name, struct str text, struct err *e)
{
	enum err_kind k = begin_file(s, name, text.n, e);

	return k == ERR_OK ? tar_writer_data(s->tar, text.p, text.n, e) : k;
}

/* True the first time that it is asked for a digest. */
static bool is_new(struct save *s, const struct digest *d, bool *ret_failed)
{
	for (size_t i = 0; i < s->n_written; i++) {
		if (digest_eq(&s->written[i], d))
			return false;
	}
	if (s->n_written == s->cap) {
		struct digest *more = reallocarray(s->written, 2 * s->cap + 16, sizeof(*more));

		*ret_failed = !more;
		if (!more)
			return false;
		s->written = more;
		s->cap = 2 * s->cap + 16;
	}
	s->written[s->n_written++] = *d;
	return true;
}

static const char *blob_name(const struct digest *d, char buf[static DIGEST_TEXT_MAX + 16])
{
	char hex[DIGEST_HEX_MAX + 1];

	(void)snprintf(buf, DIGEST_TEXT_MAX + 16, "blobs/%s/%s", digest_alg_text(d->alg),
		       digest_hex(d, hex));
	return buf;
}

static enum err_kind copy(struct save *s, int fd, uint64_t size, struct err *e)
{
	AUTO_FREE char *buf = malloc(COPY_BYTES);
	enum err_kind k = buf ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory to copy");

	for (uint64_t at = 0; k == ERR_OK && at < size;) {
		size_t n = (size_t)MIN(size - at, (uint64_t)COPY_BYTES);

		k = fd_pread_exact(fd, buf, n, at, "a blob", e);
		if (k == ERR_OK)
			k = tar_writer_data(s->tar, buf, n, e);
		at += n;
	}
	return k;
}

static enum err_kind open_blob(struct save *s, const struct image *i, const struct digest *d,
			       int *ret_fd, uint64_t *ret_size, struct err *e)
{
	enum err_kind k = images_begin(s->im, e);

	if (k != ERR_OK)
		return k;
	k = images_blob_open(s->im, &i->repo, d, ret_fd, ret_size, e);
	images_end(s->im);
	return k;
}

static enum err_kind put_blob(struct save *s, const struct image *i, const struct digest *d,
			      struct err *e)
{
	AUTO_CLOSE fd = -1;
	char name[DIGEST_TEXT_MAX + 16];
	uint64_t size = 0;
	bool failed = false;
	enum err_kind k;

	if (!is_new(s, d, &failed))
		return failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory to save") : ERR_OK;
	k = open_blob(s, i, d, &fd, &size, e);
	if (k == ERR_OK)
		k = begin_file(s, blob_name(d, name), size, e);
	return k == ERR_OK ? copy(s, fd, size, e) : k;
}

static enum err_kind put_manifest(struct save *s, const struct image *i, struct err *e)
{
	AUTO_SBUF body = { 0 };
	char name[DIGEST_TEXT_MAX + 16], type[MEDIA_TYPE_MAX + 1];
	bool failed = false;
	enum err_kind k;

	if (!is_new(s, &i->doc.digest, &failed))
		return failed ? err_set(e, ERR_NO_MEMORY, __func__, "no memory to save") : ERR_OK;
	sbuf_init(&body, IMAGEDOC_BYTES_MAX);
	k = images_begin(s->im, e);
	if (k != ERR_OK)
		return k;
	k = images_manifest_read(s->im, &i->repo, &i->doc.digest, &body, type, e);
	images_end(s->im);
	return k == ERR_OK
		   ? put_text(s, blob_name(&i->doc.digest, name), (struct str){ body.p, body.n }, e)
		   : k;
}

static enum err_kind put_image(struct save *s, const struct image *i, struct err *e)
{
	enum err_kind k = put_blob(s, i, &i->doc.config.digest, e);

	for (size_t l = 0; k == ERR_OK && l < i->doc.n_parts; l++)
		k = put_blob(s, i, &i->doc.parts[l].digest, e);
	return k == ERR_OK ? put_manifest(s, i, e) : k;
}

static struct jv *entry_json(const struct image *i)
{
	char d[DIGEST_TEXT_MAX], name[REFERENCE_TEXT_MAX];

	return jv_pack("{s:s, s:s, s:I, s:{s:s, s:s}}", "mediaType", i->doc.media_type, "digest",
		       digest_text(&i->doc.digest, d), "size", (long long)i->doc.size_bytes,
		       "annotations", "io.containerd.image.name", reference_text(&i->ref, name),
		       "org.opencontainers.image.ref.name",
		       i->ref.tag.len ? i->ref.tag.s : "latest");
}

static enum err_kind put_index(struct save *s, const struct image *list, size_t n, struct err *e)
{
	AUTO_JV *entries = jv_new_array();
	AUTO_JV *index = NULL;
	AUTO_SBUF text = { 0 };

	for (size_t i = 0; entries && i < n; i++) {
		if (!jv_append(entries, entry_json(&list[i])))
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory to save");
	}
	index = jv_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
			"manifests", TAKE(entries));
	sbuf_init(&text, SBUF_MAX);
	jv_dump(index, &text);
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to save");
	return put_text(s, "index.json", (struct str){ text.p, text.n }, e);
}

static enum err_kind save_all(struct save *s, const struct image *list, size_t n, struct err *e)
{
	enum err_kind k = tar_writer_open(sink, s, &s->tar, e);

	if (k == ERR_OK)
		k = put_text(s, "oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"), e);
	for (size_t i = 0; k == ERR_OK && i < n; i++)
		k = put_image(s, &list[i], e);
	if (k == ERR_OK)
		k = put_index(s, list, n, e);
	return k == ERR_OK ? tar_writer_finish(s->tar, e) : k;
}

enum err_kind save_images(struct images *im, const struct image *list, size_t n, int fd,
			  struct err *e)
{
	struct save s = { .im = im, .fd = fd, .member = calloc(1, sizeof(*s.member)) };
	enum err_kind k = s.member ? save_all(&s, list, n, e)
				   : err_set(e, ERR_NO_MEMORY, __func__, "no memory to save");

	tar_writer_close(&s.tar);
	free(s.member);
	free(s.written);
	return k;
}
