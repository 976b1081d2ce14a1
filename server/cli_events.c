#include "server/cli.h"

static void print_event(const struct jv *item)
{
	const char *who = cli_text(item, "who"), *tag = cli_text(item, "tag");
	const char *digest = cli_text(item, "digest");

	if (!jv_member(item, "seq")) {
		(void)printf("%llu events\n", cli_number(item, "count"));
		return;
	}
	(void)printf("%6llu  %s  %-6s  %s%s%s%s%s  by %s%s%s%s\n", cli_number(item, "seq"),
		     cli_text(item, "time"), cli_text(item, "action"), cli_text(item, "repository"),
		     *tag ? ":" : "", tag, *digest ? "@" : "", digest, cli_text(item, "by"),
		     *who ? " (" : "", who, *who ? ")" : "");
}

int cli_events(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "events", .print = print_event },
		{ .op = "events", .arguments = "pattern", .print = print_event },
	};

	return cli_run("events", usages, ARRAY_LEN(usages), "follow since=", n_args, args);
}
