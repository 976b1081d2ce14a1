/* checkpoint, restore. */
#include "runtime/oci/cli/cli.h"

static const struct opt no_opts[] = { OPTS_END };
static int run_nothing(struct cli *c UNUSED)
{
	return EXIT_FAILED;
}
const struct command cmd_checkpoint = {
	.name = "checkpoint", .run = run_nothing, .opts = no_opts, .usage = "", .doc = ""
};
const struct command cmd_restore = {
	.name = "restore", .run = run_nothing, .opts = no_opts, .usage = "", .doc = ""
};
