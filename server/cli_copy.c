#include "server/cli.h"

static void print_rebuild(const struct jv *item)
{
	const char *lost = cli_text(item, "lost");
	char size[CLI_BYTES_MAX];

	if (*lost) {
		(void)printf("%s %s\n",
			     strcmp(lost, "unnamed") == 0    ? "no record names the file of"
			     : strcmp(lost, "manifest") == 0 ? "lost: manifest"
			     : strcmp(lost, "tag") == 0      ? "lost: tag"
							     : "lost: blob",
			     cli_text(item, "name"));
		return;
	}
	(void)printf("%llu repositories, %llu tags, %llu objects with %s from %llu records\n",
		     cli_number(item, "repositories"), cli_number(item, "tags"),
		     cli_number(item, "objects"), cli_bytes(cli_number(item, "bytes"), size),
		     cli_number(item, "records"));
	if (cli_number(item, "missing") || cli_number(item, "unreadable"))
		(void)printf("the reflog lacks %llu records and has %llu lines that are none\n",
			     cli_number(item, "missing"), cli_number(item, "unreadable"));
}

/* A torn last line is what a power cut leaves, and a file that no record names holds nothing that was acknowledged. */
static enum exit_status judge_rebuild(const struct jv *item)
{
	const char *lost = cli_text(item, "lost");

	return (*lost && strcmp(lost, "unnamed") != 0) || cli_number(item, "missing") ? EXIT_FAILED
										      : EXIT_FINE;
}

int cli_rebuild(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .alone = op_rebuild, .print = print_rebuild, .judge = judge_rebuild },
	};

	return cli_run("rebuild", usages, ARRAY_LEN(usages), "", n_args, args);
}

static void print_copy(const struct jv *item)
{
	char size[CLI_BYTES_MAX], copied[CLI_BYTES_MAX];

	if (jv_member(item, "damaged-file")) {
		(void)printf("damaged %s\n", cli_text(item, "damaged-file"));
		return;
	}
	(void)printf("%llu objects with %s: %llu were there, %llu cloned, %llu linked, %llu copied "
		     "(%s); %llu removed, %llu damaged\n",
		     cli_number(item, "objects"), cli_bytes(cli_number(item, "bytes"), size),
		     cli_number(item, "had"), cli_number(item, "cloned"),
		     cli_number(item, "linked"), cli_number(item, "copied"),
		     cli_bytes(cli_number(item, "copied-bytes"), copied),
		     cli_number(item, "removed"), cli_number(item, "damaged"));
}

static enum exit_status judge_copy(const struct jv *item)
{
	return cli_number(item, "damaged") ? EXIT_FAILED : EXIT_FINE;
}

int cli_backup(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "backup",
		  .arguments = "directory",
		  .is_path = true,
		  .print = print_copy,
		  .judge = judge_copy },
	};

	return cli_run("backup", usages, ARRAY_LEN(usages), "", n_args, args);
}

int cli_restore(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .alone = op_restore,
		  .arguments = "directory",
		  .is_path = true,
		  .print = print_copy,
		  .judge = judge_copy },
	};

	return cli_run("restore", usages, ARRAY_LEN(usages), "accept-damage", n_args, args);
}
