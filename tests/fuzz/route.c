/* Request-targets: any bytes give an endpoint with valid parts, or a refusal. */
#include "server/path.h"
#include "server/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str raw = { (const char *)data, n };
	char *buf = malloc(n + 1);
	struct target t;
	struct path p;

	if (buf && target_parse(raw, buf, &t)) {
		if (t.path.n == 0 || t.path.p[0] != '/')
			abort();
		for (size_t i = 0; i < t.n_query; i++) {
			struct str v;

			if (!target_query(&t, t.query[i].key, 0, &v))
				abort();
		}
		if (path_parse(t.path, &p) && p.fault == PATH_FINE && p.repo.len) {
			struct repo_name again;

			if (!repo_name_parse(&again, repo_name_str(&p.repo)))
				abort();
		}
	}
	free(buf);
	return 0;
}
