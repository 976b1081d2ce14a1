#include "server/cli.h"

/* "-" for a member that is not there. */
static const char *or_dash(const struct jv *item, const char *name)
{
	const char *text = cli_text(item, name);

	return *text ? text : "-";
}

static void print_end(const struct jv *item, const char *what)
{
	(void)printf("%llu %s\n", cli_number(item, "count"), what);
	if (*cli_text(item, "next"))
		(void)printf("more with --last=%s\n", cli_text(item, "next"));
}

/* --- stats --- */

static void print_stats(const struct jv *item)
{
	const struct jv *unplaced = jv_member(item, "unplaced");
	const struct jv *uploads = jv_member(item, "uploads"), *gc = jv_member(item, "gc");
	const struct jv *scrub = jv_member(item, "scrub");
	char text[CLI_BYTES_MAX];

	(void)printf("repositories  %llu\ntags          %llu\n", cli_number(item, "repositories"),
		     cli_number(item, "tags"));
	(void)printf("manifests     %llu\nblobs         %llu\n", cli_number(item, "manifests"),
		     cli_number(item, "blobs"));
	(void)printf("content       %s\n", cli_bytes(cli_number(item, "bytes"), text));
	(void)printf("in no place   %llu, %s\n", cli_number(unplaced, "contents"),
		     cli_bytes(cli_number(unplaced, "bytes"), text));
	(void)printf("uploads       %llu open, %s\n", cli_number(uploads, "open"),
		     cli_bytes(cli_number(uploads, "bytes"), text));
	(void)printf("trash         %llu items\n", cli_number(jv_member(item, "trash"), "items"));
	(void)printf("index         %s\n",
		     cli_bytes(cli_number(jv_member(item, "index"), "bytes"), text));
	(void)printf("gc            %llu cycles, the last %s\n", cli_number(gc, "cycles"),
		     or_dash(gc, "ended"));
	(void)printf("scrub         %llu objects, %llu damaged, the round of %s\n",
		     cli_number(scrub, "objects"), cli_number(scrub, "damaged"),
		     or_dash(scrub, "started"));
}

int cli_stats(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = { { .op = "stats", .print = print_stats } };

	return cli_run("stats", usages, ARRAY_LEN(usages), "", n_args, args);
}

/* --- repos, tags --- */

static void print_repo(const struct jv *item)
{
	char text[CLI_BYTES_MAX];

	if (!jv_member(item, "repository")) {
		print_end(item, "repositories");
		return;
	}
	(void)printf("%-40s  %6llu tags  %10s  pushed %s  pulled %s\n",
		     cli_text(item, "repository"), cli_number(item, "tags"),
		     cli_bytes(cli_number(item, "bytes"), text), or_dash(item, "pushed"),
		     or_dash(item, "pulled"));
}

int cli_repos(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "repos", .print = print_repo },
		{ .op = "repos", .arguments = "pattern", .print = print_repo },
	};

	return cli_run("repos", usages, ARRAY_LEN(usages), "n= last=", n_args, args);
}

static void print_tag(const struct jv *item)
{
	char text[CLI_BYTES_MAX];

	if (!jv_member(item, "tag")) {
		print_end(item, "tags");
		return;
	}
	(void)printf("%-24s  %s  %10s  pushed %s  pulled %s\n", cli_text(item, "tag"),
		     cli_text(item, "digest"), cli_bytes(cli_number(item, "total"), text),
		     or_dash(item, "pushed"), or_dash(item, "pulled"));
}

int cli_tags(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "tags", .arguments = "repository", .print = print_tag },
		{ .op = "tags", .arguments = "repository pattern", .print = print_tag },
	};

	return cli_run("tags", usages, ARRAY_LEN(usages), "n= last=", n_args, args);
}

/* --- inspect --- */

static void print_texts(const char *title, const struct jv *list)
{
	struct str text;

	for (size_t i = 0; i < jv_count(list); i++) {
		if (jv_text(jv_at(list, i), &text))
			(void)printf("%-14s%s\n", i ? "" : title, text.p);
	}
}

static void print_members(const char *title, const struct jv *object)
{
	void *iter = NULL;
	const char *key;
	const struct jv *value;
	struct str text;

	while (jv_next(object, &iter, &key, &value)) {
		if (!jv_text(value, &text))
			continue;
		(void)printf("%-14s", title);
		cli_put(stdout, key);
		(void)putchar('=');
		cli_put(stdout, text.p);
		(void)putchar('\n');
		title = "";
	}
}

static void print_platform(const struct jv *p)
{
	static const char *const names[] = { "os", "architecture", "variant" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (i && jv_member(p, names[i]))
			(void)putchar('/');
		cli_put(stdout, cli_text(p, names[i]));
	}
}

static void print_descriptors(const char *title, const struct jv *list)
{
	char text[CLI_BYTES_MAX];

	for (size_t i = 0; i < jv_count(list); i++) {
		const struct jv *d = jv_at(list, i);

		(void)printf("%-14s%s  %10s  %s  ", i ? "" : title, cli_text(d, "digest"),
			     cli_bytes(cli_number(d, "size"), text),
			     jv_member(d, "artifactType") ? cli_text(d, "artifactType")
							  : cli_text(d, "mediaType"));
		if (jv_member(d, "platform"))
			print_platform(jv_member(d, "platform"));
		(void)printf("\n");
	}
}

static void print_manifest(const struct jv *item)
{
	static const char *const texts[] = { "digest", "mediaType", "artifactType", "subject",
					     "pushed", "pulled",    "imageCreated" };
	char size[CLI_BYTES_MAX], unique[CLI_BYTES_MAX];

	(void)printf("%-14s%s%s%s\n", "name", cli_text(item, "repository"),
		     jv_member(item, "tag") ? ":" : "", cli_text(item, "tag"));
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		if (!jv_member(item, texts[i]))
			continue;
		(void)printf("%-14s", texts[i]);
		cli_put(stdout, cli_text(item, texts[i]));
		(void)putchar('\n');
	}
	if (jv_member(item, "platform")) {
		(void)printf("%-14s", "platform");
		print_platform(jv_member(item, "platform"));
		(void)printf("\n");
	}
	(void)printf("%-14s%s, of which %s nothing else has\n", "bytes",
		     cli_bytes(cli_number(item, "total"), size),
		     cli_bytes(cli_number(item, "unique"), unique));
	print_members("labels", jv_member(item, "labels"));
	print_members("annotations", jv_member(item, "annotations"));
	print_descriptors("layers", jv_member(item, "layers"));
	print_descriptors("manifests", jv_member(item, "manifests"));
	print_descriptors("referrers", jv_member(item, "referrers"));
	print_texts("tags", jv_member(item, "tags"));
	print_texts("held by", jv_member(item, "holders"));
	print_texts("also in", jv_member(item, "repositories"));
	if (cli_flag(item, "shortened"))
		(void)printf("and more\n");
}

static void print_inspected(const struct jv *item)
{
	if (jv_member(item, "digest"))
		print_manifest(item);
	else
		print_repo(item);
}

int cli_inspect(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "inspect", .arguments = "reference", .print = print_inspected },
	};

	return cli_run("inspect", usages, ARRAY_LEN(usages), "", n_args, args);
}

/* --- history --- */

static void print_event(const struct jv *item)
{
	const char *who = cli_text(item, "who");

	if (!jv_member(item, "seq")) {
		print_end(item, "events");
		return;
	}
	(void)printf("%3llu  %s  %-20s  %s -> %s  by %s%s%s%s\n", cli_number(item, "back"),
		     cli_text(item, "time"), cli_text(item, "tag"), or_dash(item, "from"),
		     or_dash(item, "to"), cli_text(item, "by"), *who ? " (" : "", who,
		     *who ? ")" : "");
}

int cli_history(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "history", .arguments = "reference", .print = print_event },
	};

	return cli_run("history", usages, ARRAY_LEN(usages), "n= last=", n_args, args);
}

static void print_rollback(const struct jv *item)
{
	(void)printf("%s:%s %s %s%s\n", cli_text(item, "repository"), cli_text(item, "tag"),
		     cli_flag(item, "moved") ? "points again to" : "pointed already to",
		     cli_text(item, "to"),
		     cli_flag(item, "restored") ? ", which came back from the trash" : "");
}

int cli_rollback(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "rollback", .arguments = "reference", .print = print_rollback },
	};

	return cli_run("rollback", usages, ARRAY_LEN(usages), "to=", n_args, args);
}

/* --- rm, cp, mv --- */

static void print_removed(const struct jv *item)
{
	(void)printf("%s: %llu removed; \"berthd trash\" has them\n", cli_text(item, "reference"),
		     cli_number(item, "removed"));
}

int cli_rm(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "rm", .arguments = "reference", .print = print_removed },
	};

	return cli_run("rm", usages, ARRAY_LEN(usages), "recursive", n_args, args);
}

static void print_transfer(const struct jv *item)
{
	(void)printf("%s -> %s%s%s: %llu tags, %llu manifests and %llu blobs are new there",
		     cli_text(item, "from"), cli_text(item, "repository"),
		     jv_member(item, "tag") ? ":" : "", cli_text(item, "tag"),
		     cli_number(item, "tags"), cli_number(item, "manifests"),
		     cli_number(item, "blobs"));
	if (cli_number(item, "removed"))
		(void)printf(", %llu tags and manifests went", cli_number(item, "removed"));
	(void)printf("\n");
}

int cli_cp(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "cp", .arguments = "from to", .print = print_transfer },
	};

	return cli_run("cp", usages, ARRAY_LEN(usages), "force", n_args, args);
}

int cli_mv(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "mv", .arguments = "from to", .print = print_transfer },
	};

	return cli_run("mv", usages, ARRAY_LEN(usages), "force", n_args, args);
}
