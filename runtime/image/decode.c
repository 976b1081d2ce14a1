#include "runtime/image/decode.h"

#include "runtime/image/inflate.h"
#include "runtime/image/zstd.h"

#define IN_BYTES (128u * 1024)
#define MAGIC_BYTES 4

enum form { FORM_PLAIN, FORM_GZIP, FORM_ZSTD };

struct decoder {
	decode_source_fn *source;
	void *arg;
	enum form form;
	struct inflater *gzip;
	struct unzstd *zstd;
	bool at_end; /* of the source */
	bool between;
	uint64_t in_total, out_total, limit_bytes;
	const uint8_t *in; /* what is left in buf */
	size_t in_n;
	uint8_t buf[IN_BYTES];
};

static enum err_kind fill(struct decoder *d, struct err *e)
{
	size_t n = 0;
	enum err_kind k = d->source(d->arg, d->buf, sizeof(d->buf), &n, e);

	d->in = d->buf;
	d->in_n = n;
	d->in_total += n;
	d->at_end = n == 0;
	return k;
}

/* The first bytes may come one by one. */
static enum err_kind fill_magic(struct decoder *d, struct err *e)
{
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && d->in_total < MAGIC_BYTES && !d->at_end) {
		size_t n = 0;

		k = d->source(d->arg, d->buf + d->in_total, sizeof(d->buf) - (size_t)d->in_total,
			      &n, e);
		d->in_total += n;
		d->at_end = n == 0;
	}
	d->in = d->buf;
	d->in_n = (size_t)d->in_total;
	return k;
}

static enum form form_of(const uint8_t *p, size_t n)
{
	if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
		return FORM_GZIP;
	if (n >= 4 && memcmp(p, "\x28\xb5\x2f\xfd", 4) == 0)
		return FORM_ZSTD;
	if (n >= 4 && (p[0] & 0xf0) == 0x50 && memcmp(p + 1, "\x2a\x4d\x18", 3) == 0)
		return FORM_ZSTD; /* a skippable frame first */
	return FORM_PLAIN;
}

enum err_kind decoder_open(decode_source_fn *source, void *arg, uint64_t limit_bytes,
			   struct decoder **ret, struct err *e)
{
	AUTO_DECODER *d = calloc(1, sizeof(*d));
	enum err_kind k;

	if (!d)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to decompress");
	d->source = source;
	d->arg = arg;
	d->limit_bytes = limit_bytes;
	d->between = true;
	k = fill_magic(d, e);
	if (k != ERR_OK)
		return k;
	d->form = form_of(d->in, d->in_n);
	if (d->form == FORM_GZIP)
		k = inflater_new(&d->gzip, e);
	else if (d->form == FORM_ZSTD)
		k = unzstd_new(&d->zstd, e);
	if (k == ERR_OK)
		*ret = TAKE(d);
	return k;
}

void decoder_close(struct decoder **take)
{
	struct decoder *d = TAKE(*take);

	if (!d)
		return;
	inflater_free(&d->gzip);
	unzstd_free(&d->zstd);
	free(d);
}

static enum err_kind run(struct decoder *d, uint8_t *out, size_t cap, size_t *ret_n, struct err *e)
{
	if (d->form == FORM_GZIP)
		return inflater_run(d->gzip, &d->in, &d->in_n, out, cap, ret_n, &d->between, e);
	if (d->form == FORM_ZSTD)
		return unzstd_run(d->zstd, &d->in, &d->in_n, out, cap, ret_n, &d->between, e);
	*ret_n = MIN(cap, d->in_n);
	memcpy(out, d->in, *ret_n);
	d->in += *ret_n;
	d->in_n -= *ret_n;
	return ERR_OK;
}

static enum err_kind check_growth(const struct decoder *d, struct err *e)
{
	if (d->limit_bytes == 0 || d->out_total <= d->limit_bytes ||
	    d->out_total / DECODE_RATIO_MAX <= d->in_total)
		return ERR_OK;
	return err_set(e, ERR_TOO_LARGE, __func__,
		       "the layer grows from %llu to more than %llu bytes: not unpacked unless the "
		       "limit is raised",
		       (unsigned long long)d->in_total, (unsigned long long)d->out_total);
}

enum err_kind decoder_read(struct decoder *d, void *buf, size_t cap, size_t *ret_n, struct err *e)
{
	size_t n = 0;
	enum err_kind k = ERR_OK;

	for (;;) {
		/* What the decompressor holds back comes out without new input. */
		k = d->in_n > 0 || !d->between ? run(d, buf, cap, &n, e) : ERR_OK;
		if (k != ERR_OK || n > 0)
			break;
		if (d->in_n > 0)
			continue;
		if (d->at_end)
			break;
		k = fill(d, e);
		if (k != ERR_OK)
			break;
	}
	if (k == ERR_OK && n == 0 && !d->between)
		k = err_set(e, ERR_INVALID, __func__, "the compressed layer is cut off");
	d->out_total += n;
	*ret_n = k == ERR_OK ? n : 0;
	return k == ERR_OK ? check_growth(d, e) : k;
}
