#include "runtime/image/inflate.h"

#include <isa-l/igzip_lib.h>

#define FLAGS_AT 3
#define FLAGS_RESERVED 0xe0

struct inflater {
	bool between;  /* members */
	size_t head_n; /* bytes of the member's header that were seen, up to its flags */
	struct inflate_state state;
};

static void start_member(struct inflater *z)
{
	isal_inflate_reset(&z->state);
	z->state.crc_flag = ISAL_GZIP; /* it reads header and trailer, and checks them */
	z->between = true;
	z->head_n = 0;
}

/* RFC 1952 2.3.1.2: a flag that is not known may mean that more of the header follows.  ISA-L does not look. */
static bool has_unknown_flags(struct inflater *z, const uint8_t *in, size_t n)
{
	bool unknown = false;

	for (size_t i = 0; i < n && z->head_n <= FLAGS_AT; i++, z->head_n++)
		unknown = unknown || (z->head_n == FLAGS_AT && (in[i] & FLAGS_RESERVED));
	return unknown;
}

enum err_kind inflater_new(struct inflater **ret, struct err *e)
{
	struct inflater *z = calloc(1, sizeof(*z));

	if (!z)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to inflate");
	isal_inflate_init(&z->state);
	start_member(z);
	*ret = z;
	return ERR_OK;
}

void inflater_free(struct inflater **z)
{
	free(TAKE(*z));
}

static enum err_kind failure(int code, struct err *e)
{
	static const struct {
		int code;
		const char *text;
	} texts[] = {
		{ ISAL_INVALID_BLOCK, "an invalid block" },
		{ ISAL_INVALID_SYMBOL, "an invalid symbol" },
		{ ISAL_INVALID_LOOKBACK, "a distance beyond the start" },
		{ ISAL_INVALID_WRAPPER, "no gzip member where one must begin" },
		{ ISAL_UNSUPPORTED_METHOD, "an unknown method" },
		{ ISAL_INCORRECT_CHECKSUM, "a checksum that does not fit" },
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (texts[i].code == code)
			return err_set(e, ERR_INVALID, __func__, "gzip: %s", texts[i].text);
	}
	return err_set(e, ERR_INVALID, __func__, "gzip: not readable (%d)", code);
}

enum err_kind inflater_run(struct inflater *z, const uint8_t **in, size_t *in_n, uint8_t *out,
			   size_t cap, size_t *ret_n, bool *ret_between, struct err *e)
{
	struct inflate_state *s = &z->state;
	uint32_t fed = (uint32_t)MIN(*in_n, (size_t)UINT32_MAX);
	uint32_t room = (uint32_t)MIN(cap, (size_t)UINT32_MAX);
	int code;

	if (fed)
		z->between = false;
	s->next_in = (uint8_t *)(uintptr_t)*in;
	s->avail_in = fed;
	s->next_out = out;
	s->avail_out = room;
	code = isal_inflate(s);
	*ret_n = room - s->avail_out;
	if (has_unknown_flags(z, *in, fed - s->avail_in))
		return err_set(e, ERR_INVALID, __func__, "gzip: a header with unknown flags");
	*in += fed - s->avail_in;
	*in_n -= fed - s->avail_in;
	if (code < 0)
		return failure(code, e);
	if (s->block_state == ISAL_BLOCK_FINISH)
		start_member(z);
	*ret_between = z->between;
	return ERR_OK;
}

/* --- Writing --- */

#define DEFLATE_LEVEL                                                                              \
	2 /* its levels are all fast; 3 makes layers no smaller by more than a hundredth */
#define DEFLATE_LEVEL_BYTES ISAL_DEF_LVL2_DEFAULT
#define DEFLATE_BYTES (64u * 1024)

struct deflater {
	struct isal_zstream stream;
	uint8_t level[DEFLATE_LEVEL_BYTES];
	uint8_t out[DEFLATE_BYTES];
};

enum err_kind deflater_new(struct deflater **ret, struct err *e)
{
	struct deflater *z = calloc(1, sizeof(*z));

	if (!z)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to compress");
	isal_deflate_init(&z->stream);
	z->stream.gzip_flag = IGZIP_GZIP;
	z->stream.level = DEFLATE_LEVEL;
	z->stream.level_buf = z->level;
	z->stream.level_buf_size = sizeof(z->level);
	*ret = z;
	return ERR_OK;
}

void deflater_free(struct deflater **z)
{
	free(TAKE(*z));
}

enum err_kind deflater_run(struct deflater *z, const void *p, size_t n, bool is_end,
			   deflater_sink_fn *sink, void *arg, struct err *e)
{
	struct isal_zstream *s = &z->stream;
	enum err_kind k = ERR_OK;

	if (n > UINT32_MAX)
		return err_set(e, ERR_BUG, __func__, "gzip: more at once than it takes");
	s->next_in = (uint8_t *)(uintptr_t)p;
	s->avail_in = (uint32_t)n;
	s->end_of_stream = is_end;
	do {
		s->next_out = z->out;
		s->avail_out = sizeof(z->out);
		if (isal_deflate(s) != COMP_OK)
			return err_set(e, ERR_BUG, __func__, "gzip: not to be compressed");
		if (s->avail_out < sizeof(z->out))
			k = sink(arg, z->out, sizeof(z->out) - s->avail_out, e);
	} while (k == ERR_OK && s->avail_out == 0);
	return k;
}
