/* events */
#include <poll.h>

#include "base/fd.h"
#include "runtime/oci/cgroup/stats.h"
#include "runtime/oci/cli/cli.h"

#define INTERVAL_S_DEFAULT 5
#define OUTPUT_MAX (1024u * 1024)

struct events_args {
	const char *interval;
	bool stats;
};

static const struct opt events_opts[] = {
	{ "interval", 0, OPT_TEXT, offsetof(struct events_args, interval),
	  "time between two lines: 5s, 500ms" },
	{ "stats", 0, OPT_FLAG, offsetof(struct events_args, stats), "one line, and end" },
	OPTS_END,
};

/* "5s", "500ms", "1m"; 0 for anything else. */
static int parse_interval_ms(const char *text)
{
	struct str s = str_of(text);
	uint64_t v;

	if (!scan_u64(&s, 1000000, &v))
		return 0;
	if (str_eq(s, STR("ms")))
		return (int)v;
	if (str_eq(s, STR("s")))
		return (int)v * 1000;
	return str_eq(s, STR("m")) && v <= 10000 ? (int)v * 60000 : 0;
}

static int print_event(const char *type, const char *id, struct jv *take)
{
	AUTO_JV *v = take ? jv_pack("{s:s, s:s, s:o}", "type", type, "id", id, "data", take)
			  : jv_pack("{s:s, s:s}", "type", type, "id", id);
	AUTO_SBUF out;

	sbuf_init(&out, OUTPUT_MAX);
	jv_dump(v, &out);
	sbuf_add_str(&out, STR("\n"));
	return cli_print(&out);
}

/* Until the container stops. */
static int follow(const struct container *c, int interval_ms)
{
	AUTO_CLOSE oom = cgroup_oom_watch(&c->state.cgroup);
	AUTO_CLOSE pidfd = -1;
	struct err ignored;

	if (container_pidfd(c, &pidfd, &ignored) != ERR_OK)
		return EXIT_OK;
	for (;;) {
		struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
				      { .fd = oom, .events = POLLIN } };
		int n = poll(p, ARRAY_LEN(p), interval_ms), r = EXIT_OK;

		/* What ran out of memory may have been what ends the container: told first. */
		if (p[1].revents && cgroup_oom_read(&c->state.cgroup, oom))
			r = print_event("oom", c->id, NULL);
		else if (n == 0)
			r = print_event("stats", c->id, cgroup_stats(&c->state.cgroup));
		if (p[0].revents)
			return r;
		if (r != EXIT_OK)
			return r;
	}
}

static int run_events(struct cli *c)
{
	const struct events_args *a = c->options;
	AUTO_CONTAINER container = { .dir = -1, .lock = -1 };
	int interval_ms = a->interval ? parse_interval_ms(a->interval) : INTERVAL_S_DEFAULT * 1000;
	struct err e;
	enum err_kind k = cli_open_container(c, &container, &e);

	if (k == ERR_OK && interval_ms <= 0)
		k = err_set(&e, ERR_INVALID, __func__, "duration interval must be greater than 0");
	if (k == ERR_OK && container_status(&container) == STATUS_STOPPED)
		k = err_set(&e, ERR_INVALID, __func__, "container with id %s is not running",
			    container.id);
	if (k != ERR_OK)
		return cli_fail("", &e);
	if (a->stats)
		return print_event("stats", container.id, cgroup_stats(&container.state.cgroup));
	return follow(&container, interval_ms);
}

const struct command cmd_events = {
	.name = "events",
	.run = run_events,
	.opts = events_opts,
	.options_size = sizeof(struct events_args),
	.args_min = 1,
	.args_max = 1,
	.usage = "<container-id>",
	.doc = "print what a container uses, and when it runs out of memory",
};
