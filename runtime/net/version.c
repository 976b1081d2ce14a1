#include "runtime/net/version.h"

#include "base/jv.h"

static const char *const names[CNI_VERSION_N] = {
	[CNI_0_1_0] = "0.1.0", [CNI_0_2_0] = "0.2.0", [CNI_0_3_0] = "0.3.0", [CNI_0_3_1] = "0.3.1",
	[CNI_0_4_0] = "0.4.0", [CNI_1_0_0] = "1.0.0", [CNI_1_1_0] = "1.1.0",
};

const char *cni_version_text(enum cni_version v)
{
	return v < CNI_VERSION_N ? names[v] : "?";
}

bool cni_version_parse(struct str in, enum cni_version *ret)
{
	if (in.n == 0) {
		*ret = CNI_0_1_0;
		return true;
	}
	for (unsigned v = 0; v < CNI_VERSION_N; v++) {
		if (str_eq(in, str_of(names[v]))) {
			*ret = (enum cni_version)v;
			return true;
		}
	}
	return false;
}

bool cni_number_parse(struct str in, struct cni_number *ret)
{
	struct cni_number v = { { 0 } };
	size_t n = 0;

	if (in.n == 0) {
		*ret = (struct cni_number){ { 0, 1, 0 } };
		return true;
	}
	do {
		uint64_t part;

		if (n == ARRAY_LEN(v.part) || !scan_u64(&in, UINT32_MAX, &part))
			return false;
		v.part[n++] = (uint32_t)part;
	} while (scan_char(&in, '.'));
	if (!scan_end(&in))
		return false;
	*ret = v;
	return true;
}

int cni_number_cmp(const struct cni_number *a, const struct cni_number *b)
{
	for (size_t i = 0; i < ARRAY_LEN(a->part); i++) {
		if (a->part[i] != b->part[i])
			return a->part[i] < b->part[i] ? -1 : 1;
	}
	return 0;
}

enum err_kind cni_versions_read(const struct jv *answer, struct cni_versions *ret, struct err *e)
{
	const struct jv *list = jv_member(answer, "supportedVersions");
	struct cni_versions found = { { false } };
	struct str own, text;

	if (!jv_text(jv_member(answer, "cniVersion"), &own) || own.n == 0)
		return err_set(e, ERR_INVALID, __func__, "the answer to VERSION has no cniVersion");
	if (jv_count(list) == 0 && !str_eq(own, STR("0.2.0")))
		return err_set(e, ERR_INVALID, __func__,
			       "the answer to VERSION has no supportedVersions");
	/* Plugins of the time when VERSION was new named no others. */
	if (jv_count(list) == 0)
		found.has[CNI_0_1_0] = found.has[CNI_0_2_0] = true;
	for (size_t i = 0; i < jv_count(list); i++) {
		enum cni_version v;

		if (!jv_text(jv_at(list, i), &text))
			return err_set(e, ERR_INVALID, __func__,
				       "the answer to VERSION names a version that is no text");
		if (text.n && cni_version_parse(text, &v))
			found.has[v] = true;
	}
	*ret = found;
	return ERR_OK;
}
