/* berth-runtime: see cli/cli.h. */
#include "runtime/oci/cli/cli.h"
#include "runtime/oci/run/self.h"

/* These enter a container, or make one. */
static bool needs_protection(int argc, char **argv)
{
	static const char *const names[] = { "create", "run", "exec", "restore" };

	for (int i = 1; i < argc; i++) {
		for (size_t j = 0; j < ARRAY_LEN(names); j++) {
			if (strcmp(argv[i], names[j]) == 0)
				return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct err e;

	if (needs_protection(argc, argv) && self_protect(argv, &e) != ERR_OK) {
		report_error(e.msg);
		return EXIT_FAILED;
	}
	return cli_main(argc, argv);
}
