/* Results: what is accepted is written, read back as the same, and converted to every version that has a place for it. */
#include "runtime/net/result.h"

static void dump(const struct result *r, struct sbuf *out)
{
	AUTO_JV *v = result_write(r);

	sbuf_init(out, 64u << 20);
	jv_dump(v, out);
	if (out->failed)
		abort();
}

static void check_written(const struct result *r)
{
	AUTO_SBUF first, second;
	AUTO_RESULT again;
	struct err e;

	dump(r, &first);
	if (result_parse((struct str){ first.p, first.n }, CNI_1_0_0, &again, &e) != ERR_OK ||
	    again.version != r->version)
		abort();
	dump(&again, &second);
	if (strcmp(first.p, second.p) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n };
	struct err e;

	for (unsigned to = 0; to < CNI_VERSION_N; to++) {
		AUTO_RESULT r;

		if (result_parse(in, CNI_0_4_0, &r, &e) != ERR_OK)
			return 0;
		check_written(&r);
		if (result_convert(&r, (enum cni_version)to, &e) == ERR_OK)
			check_written(&r);
		else if (to >= CNI_0_3_0)
			abort();
	}
	return 0;
}
