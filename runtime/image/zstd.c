#include "runtime/image/zstd.h"

#include <zstd.h>

struct unzstd {
	ZSTD_DCtx *ctx;
	bool between;
};

struct zstd {
	ZSTD_CCtx *ctx;
};

enum err_kind unzstd_new(struct unzstd **ret, struct err *e)
{
	struct unzstd *z = calloc(1, sizeof(*z));

	if (z)
		z->ctx = ZSTD_createDCtx();
	if (!z || !z->ctx ||
	    ZSTD_isError(
		ZSTD_DCtx_setParameter(z->ctx, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX))) {
		unzstd_free(&z);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to decompress");
	}
	z->between = true;
	*ret = z;
	return ERR_OK;
}

void unzstd_free(struct unzstd **take)
{
	struct unzstd *z = TAKE(*take);

	if (!z)
		return;
	(void)ZSTD_freeDCtx(z->ctx);
	free(z);
}

enum err_kind unzstd_run(struct unzstd *z, const uint8_t **in, size_t *in_n, uint8_t *out,
			 size_t cap, size_t *ret_n, bool *ret_between, struct err *e)
{
	ZSTD_inBuffer from = { *in, *in_n, 0 };
	ZSTD_outBuffer to = { out, cap, 0 };
	size_t hint = ZSTD_decompressStream(z->ctx, &to, &from);

	if (ZSTD_isError(hint))
		return err_set(e, ERR_INVALID, __func__, "zstd: %s", ZSTD_getErrorName(hint));
	*in += from.pos;
	*in_n -= from.pos;
	*ret_n = to.pos;
	if (from.pos > 0 || to.pos > 0)
		z->between = hint == 0;
	*ret_between = z->between;
	return ERR_OK;
}

enum err_kind zstd_new(struct zstd **ret, struct err *e)
{
	struct zstd *z = calloc(1, sizeof(*z));

	if (z)
		z->ctx = ZSTD_createCCtx();
	if (!z || !z->ctx || ZSTD_isError(ZSTD_CCtx_setParameter(z->ctx, ZSTD_c_checksumFlag, 1))) {
		zstd_free(&z);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to compress");
	}
	*ret = z;
	return ERR_OK;
}

void zstd_free(struct zstd **take)
{
	struct zstd *z = TAKE(*take);

	if (!z)
		return;
	(void)ZSTD_freeCCtx(z->ctx);
	free(z);
}

enum err_kind zstd_run(struct zstd *z, const uint8_t **in, size_t *in_n, uint8_t *out, size_t cap,
		       size_t *ret_n, bool last, bool *ret_done, struct err *e)
{
	ZSTD_inBuffer from = { *in, *in_n, 0 };
	ZSTD_outBuffer to = { out, cap, 0 };
	size_t left = ZSTD_compressStream2(z->ctx, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);

	if (ZSTD_isError(left))
		return err_set(e, ERR_IO, __func__, "zstd: %s", ZSTD_getErrorName(left));
	*in += from.pos;
	*in_n -= from.pos;
	*ret_n = to.pos;
	*ret_done = last && left == 0;
	return ERR_OK;
}
