#include "server/cli.h"

static void print_counts(const struct jv *item)
{
	char copied[CLI_BYTES_MAX], read[CLI_BYTES_MAX];

	(void)printf(
	    "%llu manifests (%llu were there), %llu tags (%llu); blobs: %llu were there, "
	    "%llu in another repository, %llu cloned, %llu linked, %llu copied (%s); read "
	    "%s; %llu refused\n",
	    cli_number(item, "manifests"), cli_number(item, "manifests-had"),
	    cli_number(item, "tags"), cli_number(item, "tags-had"), cli_number(item, "had"),
	    cli_number(item, "mounted"), cli_number(item, "cloned"), cli_number(item, "linked"),
	    cli_number(item, "copied"), cli_bytes(cli_number(item, "copied-bytes"), copied),
	    cli_bytes(cli_number(item, "read-bytes"), read), cli_number(item, "refused-items"));
}

static void print_import(const struct jv *item)
{
	char wanted[CLI_BYTES_MAX];

	if (jv_member(item, "refused")) {
		(void)printf("refused: %s %s: %s\n", cli_text(item, "refused"),
			     cli_text(item, "name"), cli_text(item, "reason"));
		return;
	}
	if (jv_member(item, "progress"))
		(void)printf("at %s: ", cli_text(item, "progress"));
	else if (jv_member(item, "repository"))
		(void)printf("after %s: ", cli_text(item, "repository"));
	else
		(void)printf("%llu repositories: ", cli_number(item, "repositories"));
	if (cli_number(item, "wanted"))
		(void)printf("would bring in %llu blobs (%s); ", cli_number(item, "wanted"),
			     cli_bytes(cli_number(item, "wanted-bytes"), wanted));
	print_counts(item);
}

static enum exit_status judge_import(const struct jv *item)
{
	return jv_member(item, "refused") ? EXIT_FAILED : EXIT_FINE;
}

int cli_import(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "import",
		  .arguments = "directory",
		  .makes_store = true,
		  .is_path = true,
		  .print = print_import,
		  .judge = judge_import },
	};

	return cli_run("import", usages, ARRAY_LEN(usages), "repository= copy overwrite dry-run",
		       n_args, args);
}

static void print_export(const struct jv *item)
{
	char size[CLI_BYTES_MAX], copied[CLI_BYTES_MAX];

	(void)printf("%llu tags, %llu manifests (%llu of them referrers); %llu objects with %s: "
		     "%llu were there, %llu cloned, %llu copied (%s)\n",
		     cli_number(item, "tags"), cli_number(item, "manifests"),
		     cli_number(item, "referrers"), cli_number(item, "objects"),
		     cli_bytes(cli_number(item, "bytes"), size), cli_number(item, "had"),
		     cli_number(item, "cloned"), cli_number(item, "copied"),
		     cli_bytes(cli_number(item, "copied-bytes"), copied));
}

int cli_export(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .op = "export",
		  .arguments = "what directory",
		  .is_path = true,
		  .print = print_export },
	};

	return cli_run("export", usages, ARRAY_LEN(usages), "", n_args, args);
}
