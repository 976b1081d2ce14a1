#include "server/cli.h"

static void print_fsck(const struct jv *item)
{
	if (jv_member(item, "fault"))
		(void)printf("%-24s %s: %s%s\n", cli_text(item, "fault"), cli_text(item, "where"),
			     cli_text(item, "what"),
			     cli_flag(item, "repaired")     ? "  (repaired)"
			     : cli_flag(item, "repairable") ? "  (--repair mends it)"
							    : "");
	else
		(void)printf("%llu rows and %llu files checked: %llu faults, %llu repaired\n",
			     cli_number(item, "rows"), cli_number(item, "files"),
			     cli_number(item, "faults"), cli_number(item, "repaired"));
}

static enum exit_status judge_fsck(const struct jv *item)
{
	return cli_number(item, "faults") > cli_number(item, "repaired") ? EXIT_FAILED : EXIT_FINE;
}

int cli_fsck(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "fsck", .print = print_fsck, .judge = judge_fsck },
	};

	return cli_run("fsck", usages, ARRAY_LEN(usages), "repair", n_args, args);
}

static void print_round(const struct jv *round)
{
	char size[CLI_BYTES_MAX];

	(void)printf("%llu objects, %s read: %llu damaged", cli_number(round, "objects"),
		     cli_bytes(cli_number(round, "bytes"), size), cli_number(round, "damaged"));
}

static void print_scrub(const struct jv *item)
{
	if (jv_member(item, "digest")) {
		(void)printf("%s  %s\n", cli_flag(item, "healed") ? "healed " : "damaged",
			     cli_text(item, "digest"));
		return;
	}
	print_round(item);
	(void)printf("\n");
}

static enum exit_status judge_scrub(const struct jv *item)
{
	return cli_number(item, "damaged") ? EXIT_FAILED : EXIT_FINE;
}

static void print_scrub_status(const struct jv *item)
{
	const struct jv *round = jv_member(item, "round");
	const char *started = cli_text(round, "started"), *ended = cli_text(round, "ended");

	if (!*started) {
		(void)printf("no round yet\n");
		return;
	}
	(void)printf("round of %s, %s%s: ", started, *ended ? "ended " : "under way", ended);
	print_round(round);
	(void)printf("\n");
}

int cli_scrub(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "scrub", .print = print_scrub, .judge = judge_scrub },
		{ .word = "status", .op = "scrub.status", .print = print_scrub_status },
	};

	return cli_run("scrub", usages, ARRAY_LEN(usages), "", n_args, args);
}
