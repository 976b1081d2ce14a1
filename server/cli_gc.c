#include "server/cli.h"

static void print_action(const struct jv *item)
{
	const char *repo = cli_text(item, "repository"), *tag = cli_text(item, "tag");
	char size[CLI_BYTES_MAX];

	(void)printf("%-6s %-8s %s", cli_flag(item, "removes") ? "remove" : "keep",
		     cli_text(item, "what"), repo);
	if (*tag)
		(void)printf(":%s", tag);
	else
		(void)printf("%s%s %s", *repo ? "@" : "", cli_text(item, "digest"),
			     cli_bytes(cli_number(item, "size"), size));
	(void)printf("  (%s)\n", cli_text(item, "reason"));
}

static void print_counts(const struct jv *r)
{
	char size[CLI_BYTES_MAX];

	(void)printf("%llu tags, %llu manifests, %llu blobs, %llu from the trash; %llu files, %s",
		     cli_number(r, "tags"), cli_number(r, "manifests"), cli_number(r, "blobs"),
		     cli_number(r, "trash"), cli_number(r, "contents"),
		     cli_bytes(cli_number(r, "bytes"), size));
}

static void print_result(const struct jv *r)
{
	print_counts(r);
	(void)printf("; %llu kept by rules, %llu for clients\n", cli_number(r, "kept"),
		     cli_number(r, "leased"));
	if (cli_flag(r, "braked"))
		(void)printf("nothing was removed: that is %llu %% of the store, more than "
			     "gc.max_share; \"berthd gc --confirm\" removes it\n",
			     cli_number(r, "share"));
}

static void print_gc(const struct jv *item)
{
	if (jv_member(item, "what"))
		print_action(item);
	else
		print_result(item);
}

static enum exit_status judge_gc(const struct jv *item)
{
	return cli_flag(item, "braked") ? EXIT_FAILED : EXIT_FINE;
}

static void print_status(const struct jv *item)
{
	const struct jv *last = jv_member(item, "last");

	(void)printf("%s%s, %llu cycles\n", cli_flag(item, "paused") ? "paused" : "active",
		     cli_flag(item, "running") ? " and running" : "", cli_number(item, "cycles"));
	if (cli_number(item, "cycles") == 0)
		return;
	(void)printf("last: %s, %llu ms: ", cli_text(item, "ended"), cli_number(last, "ms"));
	print_result(last);
	if (*cli_text(item, "error"))
		(void)printf("it failed: %s\n", cli_text(item, "error"));
	(void)printf("in all: ");
	print_counts(jv_member(item, "total"));
	(void)printf("\n");
}

int cli_gc(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "gc", .print = print_gc, .judge = judge_gc },
		{ .word = "pause", .op = "gc.pause", .print = print_status },
		{ .word = "resume", .op = "gc.resume", .print = print_status },
		{ .word = "status", .op = "gc.status", .print = print_status },
	};

	return cli_run("gc", usages, ARRAY_LEN(usages), "dry-run confirm verbose", n_args, args);
}

static void print_trash(const struct jv *item)
{
	const struct jv *tags = jv_member(item, "tags");
	char size[CLI_BYTES_MAX];
	struct str tag;

	if (!jv_member(item, "id")) {
		(void)printf("%llu items\n", cli_number(item, "items"));
		return;
	}
	(void)printf("%llu  %-8s %s@%s", cli_number(item, "id"), cli_text(item, "what"),
		     cli_text(item, "repository"), cli_text(item, "digest"));
	for (size_t i = 0; i < jv_count(tags); i++) {
		if (jv_text(jv_at(tags, i), &tag))
			(void)printf("%s%s", i ? "," : "  ", tag.p);
	}
	(void)printf("  %s  removed %s by %s, until %s\n",
		     cli_bytes(cli_number(item, "size"), size), cli_text(item, "removed"),
		     cli_text(item, "by"), cli_text(item, "until"));
}

static void print_restored(const struct jv *item)
{
	(void)printf("restored %llu\n", cli_number(item, "restored"));
}

static void print_emptied(const struct jv *item)
{
	(void)printf("%llu items forgotten; their space comes back with the next collection\n",
		     cli_number(item, "emptied"));
}

int cli_trash(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .word = "ls", .op = "trash.ls", .print = print_trash },
		{ .word = "restore",
		  .op = "trash.restore",
		  .arguments = "item",
		  .print = print_restored },
		{ .word = "empty", .op = "trash.empty", .print = print_emptied },
	};

	return cli_run("trash", usages, ARRAY_LEN(usages), "", n_args, args);
}
