/* Manifests: the first byte chooses the media type.  What is accepted keeps the promises of manifest.h. */
#include "storage/manifest.h"
#include "base/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const types[] = { MEDIA_OCI_MANIFEST, MEDIA_OCI_INDEX,
					     MEDIA_DOCKER_MANIFEST, MEDIA_DOCKER_LIST, MEDIA_JSON };
	AUTO_MANIFEST m = { 0 };
	struct digest d;
	struct err e;

	if (n == 0)
		return 0;
	if (hash_bytes(DIGEST_SHA256, data + 1, n - 1, &d, &e) != ERR_OK)
		abort();
	if (manifest_parse((struct str){ (const char *)data + 1, n - 1 },
			   str_of(types[data[0] % ARRAY_LEN(types)]), &d, 64, &m, &e) != ERR_OK)
		return 0;
	if (m.kind != MEDIA_MANIFEST && m.kind != MEDIA_INDEX)
		abort();
	if (m.has_subject != (m.descriptor != NULL))
		abort();
	for (size_t i = 0; i < m.n_refs; i++) {
		if (digest_size(m.refs[i].digest.alg) == 0 || m.refs[i].size_bytes > INT64_MAX)
			abort();
		if (i &&
		    memcmp(&m.refs[i - 1].digest, &m.refs[i].digest, sizeof(struct digest)) >= 0)
			abort(); /* sorted, each once */
	}
	return 0;
}
