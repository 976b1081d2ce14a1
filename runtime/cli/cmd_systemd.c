/* generate-systemd: a unit that starts and stops a container. */
#include "runtime/cli/ctl.h"
#include "runtime/container/userns.h"

#define STOP_SPARE_S 60 /* from the signal of berth's own to the last one of systemd's */

struct systemd_args {
	const char *wanted_by;
};

/* An argument of ExecStart=: quoted, with what systemd would expand doubled (systemd.service(5), systemd.unit(5)). */
static void add_word(struct sbuf *b, const char *text)
{
	sbuf_addf(b, " \"");
	for (; *text; text++) {
		if (strchr("\"\\", *text))
			sbuf_addf(b, "\\");
		if (strchr("%$", *text))
			sbuf_add(b, text, 1);
		sbuf_add(b, text, 1);
	}
	sbuf_addf(b, "\"");
}

/* A setting that is a path is not unquoted, but expanded. */
static void add_path(struct sbuf *b, const char *text)
{
	for (; *text; text++)
		sbuf_add(b, *text == '%' ? "%%" : text, *text == '%' ? 2 : 1);
}

/* Absolute, because units have no working directory. */
static void add_berth(struct ctl *t, struct sbuf *b, const char *key)
{
	sbuf_addf(b, "%s=", key);
	add_word(b, ctl_program(t, "berth"));
	sbuf_addf(b, " --root");
	add_word(b, t->cs.root);
	sbuf_addf(b, " --state");
	add_word(b, t->cs.state);
	if (t->c->runtime) {
		sbuf_addf(b, " --runtime");
		add_word(b, t->c->runtime);
	}
}

/*
 * The shim is the service's main process.  It restarts the container as its policy says; systemd starts both again when the
 * shim itself was killed.
 */
static void add_unit(struct ctl *t, const struct record *r, const char *wanted_by, struct sbuf *b)
{
	sbuf_addf(b,
		  "[Unit]\nDescription=Container %s\nWants=network-online.target\n"
		  "After=network-online.target\n\n[Service]\nType=forking\nRestart=on-failure\n"
		  "TimeoutStopSec=%llu\nPIDFile=",
		  r->name, (unsigned long long)(r->stop_timeout_ms / 1000 + STOP_SPARE_S));
	add_path(b, t->cs.state);
	sbuf_addf(b, "/%s/" USERNS_HOLDER "\n", r->id);
	add_berth(t, b, "ExecStart");
	sbuf_addf(b, " start");
	add_word(b, r->id);
	sbuf_addf(b, "\n");
	add_berth(t, b, "ExecStop");
	sbuf_addf(b, " stop");
	add_word(b, r->id);
	sbuf_addf(b, "\n");
	add_berth(t, b, "ExecStopPost");
	sbuf_addf(b, " stop");
	add_word(b, r->id);
	sbuf_addf(b, "\n\n[Install]\nWantedBy=%s\n", wanted_by);
}

static enum err_kind generate(struct ctl *t, struct container *c, void *arg, struct err *e)
{
	const struct systemd_args *a = arg;
	const char *preset = cli_is_in_userns() ? "default.target" : "multi-user.target";
	AUTO_SBUF b;

	sbuf_init(&b, SBUF_MAX);
	if (c->record.auto_remove)
		return err_set(e, ERR_INVALID, __func__,
			       "container %s was made with --rm: there would be nothing to start",
			       c->record.name);
	add_unit(t, &c->record, a->wanted_by ? a->wanted_by : preset, &b);
	if (t->c->json) {
		t->said = ctl_names(c);
		return !b.failed && jv_set(t->said, "unit", jv_pack("s", b.p))
			   ? ERR_OK
			   : err_set(e, ERR_NO_MEMORY, __func__, "no memory for a unit");
	}
	return cli_print(&b) == EXIT_FINE ? ERR_OK : err_set(e, ERR_IO, __func__, "no output");
}

static int run(struct cli *c)
{
	return ctl_for_one(c, generate, c->options);
}

static const struct opt opts[] = {
	{ "wanted-by", 0, OPT_TEXT, offsetof(struct systemd_args, wanted_by), "TARGET",
	  "what it belongs to (multi-user.target; an ordinary user's default.target)" },
	OPTS_END
};

const struct command cmd_generate_systemd = {
	.name = "generate-systemd",
	.run = run,
	.opts = opts,
	.options_size = sizeof(struct systemd_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "[OPTION]... CONTAINER",
	.doc = "print a systemd unit that starts and stops a container",
};
