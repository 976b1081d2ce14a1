/* Runs a fuzz target over its corpus, so that every find stays found where no fuzzing engine is: TAP, one line a file. */
#include <dirent.h>
#include <errno.h>

#include "base/fd.h"

#define INPUT_MAX (16u * 1024 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool replay(int dir, const char *name)
{
	AUTO_SBUF b;
	struct err e;
	uint8_t *exact;

	sbuf_init(&b, INPUT_MAX);
	if (fd_read_file(dir, name, &b, &e) != ERR_OK) {
		(void)printf("# %s\n", e.msg);
		return false;
	}
	exact =
	    malloc(b.n ? b.n : 1); /* of the exact size, so that a sanitizer sees a byte too far */
	if (!exact)
		return false;
	if (b.n)
		memcpy(exact, b.p, b.n);
	(void)LLVMFuzzerTestOneInput(exact, b.n);
	free(exact);
	return true;
}

int main(int argc, char **argv)
{
	const char *program = strrchr(argv[0], '/');
	char name[256];
	unsigned n = 0, bad = 0;
	struct dirent *entry;
	DIR *d;

	/* replay_TARGET runs tests/fuzz/corpus/TARGET. */
	program = program ? program + 1 : argv[0];
	(void)snprintf(name, sizeof(name), "tests/fuzz/corpus/%s",
		       strncmp(program, "replay_", 7) == 0 ? program + 7 : program);
	d = opendir(argc > 1 ? argv[1] : name);
	if (!d) {
		(void)printf("Bail out! %s: %s\n", name, strerror(errno));
		return 1;
	}
	while ((entry = readdir(d))) {
		bool ok;

		if (entry->d_name[0] == '.')
			continue;
		ok = replay(dirfd(d), entry->d_name);
		bad += !ok;
		(void)printf("%sok %u - %s\n", ok ? "" : "not ", ++n, entry->d_name);
	}
	(void)closedir(d);
	(void)printf("1..%u\n", n);
	return bad || n == 0;
}
