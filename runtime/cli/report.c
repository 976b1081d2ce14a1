#include "runtime/cli/report.h"

int report_one(const struct cli *c, struct jv **take, const char *line)
{
	AUTO_SBUF text;

	if (c->json)
		return cli_print_json(take);
	jv_free(take);
	if (!line)
		return EXIT_FINE;
	sbuf_init(&text, SBUF_MAX);
	sbuf_addf(&text, "%s\n", line);
	return cli_print(&text);
}

void report_begin(struct report *r, struct cli *c)
{
	*r = (struct report){ .c = c, .list = c->json ? jv_new_array() : NULL };
}

static int add_json(struct report *r, const char *name, struct jv **take, const struct err *why)
{
	AUTO_JV *v = *take ? TAKE(*take) : jv_pack("{}");
	bool ok = v && (jv_member(v, "name") || jv_set(v, "name", jv_pack("s", name))) &&
		  (!why || jv_set(v, "error", jv_pack("s", why->msg))) &&
		  jv_append(r->list, TAKE(v));
	struct err e;

	if (ok)
		return EXIT_FINE;
	(void)err_set(&e, ERR_INVALID, __func__, "no memory to report, or texts that are no UTF-8");
	return cli_fail(&e);
}

void report_add(struct report *r, const char *name, struct jv **take, bool shown,
		const struct err *why)
{
	int status = why ? cli_fail(why) : EXIT_FINE;

	if (r->c->json)
		status |= add_json(r, name, take, why);
	else if (!why && shown && printf("%s\n", name) < 0)
		status = EXIT_FAILED;
	jv_free(take);
	r->status |= status;
}

int report_end(struct report *r)
{
	AUTO_SBUF nothing = { 0 };

	return r->status | (r->c->json ? cli_print_json(&r->list) : cli_print(&nothing));
}

int report_refuse(const struct cli *c, const char *command, const char *instead)
{
	return cli_usage(c, "%s: --json %s", command, instead);
}
