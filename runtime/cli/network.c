#include "runtime/cli/network_impl.h"

#define PRINT_MAX (16u * 1024 * 1024)
#define INDENT 4

const struct network_verb *network_find(const struct network_verb *table, size_t n,
					const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

void network_list(const struct network_verb *table, size_t n, const char *program,
		  const char *group)
{
	for (size_t i = 0; i < n; i++)
		(void)printf("  %s%s %s %s\n        %s\n", program, group, table[i].name,
			     table[i].usage, table[i].doc);
}

/* The plugin's own words, which struct err may have had no room for. */
static void tell_whole(const struct plugin_failure *f, const struct err *e)
{
	char mark[PLUGIN_TYPE_MAX + 32];
	const char *at;
	bool details = f->details.n > 0;

	(void)snprintf(mark, sizeof(mark), "plugin %s: %s: ", f->plugin, f->command);
	at = f->plugin[0] ? strstr(e->msg, mark) : NULL;
	if (!at) {
		(void)fprintf(stderr, "%s\n", e->msg);
		return;
	}
	(void)fprintf(stderr, "%.*s%s%s%s%s", (int)(at - e->msg), e->msg, mark,
		      f->msg.p ? f->msg.p : "", details ? "; " : "", details ? f->details.p : "");
	if (f->code)
		(void)fprintf(stderr, " (code %u)", f->code);
	(void)fputc('\n', stderr);
}

int network_fail(const struct network_cli *c, const struct cni *cni, const struct err *e)
{
	(void)fprintf(stderr, "%s: ", c->program);
	if (cni)
		tell_whole(&cni->failure, e);
	else
		(void)fprintf(stderr, "%s\n", e->msg);
	return STATUS_FAILED;
}

int network_usage(const struct network_cli *c, const struct network_verb *v)
{
	(void)fprintf(stderr, "usage: %s %s %s\n", c->program, v->name, v->usage);
	return STATUS_USAGE;
}

int network_print(const struct network_cli *c, const struct jv *v)
{
	AUTO_SBUF out;

	(void)c;
	sbuf_init(&out, PRINT_MAX);
	jv_dump_pretty(v, INDENT, &out);
	sbuf_add(&out, "\n", 1);
	if (out.failed || fputs(out.p, stdout) == EOF || fflush(stdout) == EOF)
		return STATUS_FAILED;
	return STATUS_OK;
}

void network_help(const char *program)
{
	(void)program;
}

int network_command(const struct network_cli *c, int argc, char **argv)
{
	(void)c, (void)argc, (void)argv;
	return STATUS_USAGE;
}
