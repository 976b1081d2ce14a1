#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hash.h"
#include "server/admin.h"
#include "server/cli.h"
#include "server/confine.h"
#include "server/events.h"
#include "server/guard.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/manager.h"
#include "server/metrics.h"

#define WAKE_MS 500          /* between looks at signals and housekeeping */
#define POLL_MS 50           /* the same when this thread serves as well */
#define SETTLE_MS 1000       /* between looks for files to make durable */
#define FLUSH_PULLS_MS 10000 /* between writes of pull times */
#define REAP_MS_MAX 60000    /* between looks for idle upload sessions */
#define TRIM_MS 60000        /* between returns of memory that is free */

#define HEAPS_MAX 4 /* that all threads share */
#define MAPPED_BYTES                                                                               \
	(256 * 1024)             /* from here on memory is mapped, and goes back when it is freed */
#define KEPT_BYTES (1024 * 1024) /* at the end of a heap, for what comes next */

/* Connections and blobs are descriptors; the soft limit is often far below what we may have. */
static void raise_descriptor_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &l); /* less is served with less */
}

/*
 * By itself the C library gives threads up to eight heaps for each processor, and maps less and less: what each of them once had
 * at most stays.
 */
static void bound_heaps(void)
{
	(void)mallopt(M_ARENA_MAX, HEAPS_MAX);
	(void)mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
	(void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}

/* How berthd was started. */
struct command_line {
	int n_args;
	char *const *args;
	sigset_t signals; /* that are waited for */
};

/* What serves. */
struct service {
	const struct server *server;
	struct http *http, *watch_http;
	struct live_parts parts;
};

/* What is due from time to time.  It may wait for the disk, so it is a job for a worker, and one at a time. */
struct chores {
	struct job job;
	struct store *store;
	uint64_t reaped_mono_ms, settled_mono_ms, flushed_mono_ms, trimmed_mono_ms;
	_Atomic bool busy;
};

static void reap_uploads(struct store *st)
{
	struct err e;
	uint64_t n = 0;

	if (upload_reap(st, &n, &e) != ERR_OK)
		log_event(LOG_WARN, "uploads.reap", "%s", e.msg);
	else if (n)
		log_event(LOG_INFO, "uploads.reap", "%llu idle sessions ended",
			  (unsigned long long)n);
}

static void do_chores(struct job *j)
{
	struct chores *c = (struct chores *)j; /* its first member */
	uint64_t now = mono_ms(), idle_ms = store_limits(c->store)->uploads_idle_ms;
	struct err e;

	if (now - c->settled_mono_ms >= SETTLE_MS) {
		c->settled_mono_ms = now;
		if (store_settle(c->store, &e) != ERR_OK)
			log_event(LOG_WARN, "store.settle", "%s", e.msg);
	}
	if (now - c->flushed_mono_ms >= FLUSH_PULLS_MS) {
		c->flushed_mono_ms = now;
		store_expire_leases(c->store);
		if (store_flush_pulls(c->store, &e) != ERR_OK)
			log_event(LOG_WARN, "store.pulls", "%s", e.msg);
	}
	if (now - c->reaped_mono_ms >= MIN(idle_ms / 4 + 1, (uint64_t)REAP_MS_MAX)) {
		c->reaped_mono_ms = now;
		reap_uploads(c->store);
	}
	if (now - c->trimmed_mono_ms >= TRIM_MS) {
		c->trimmed_mono_ms = now;
		(void)malloc_trim(KEPT_BYTES);
	}
	c->busy = false;
}

static _Atomic bool draining; /* after the signal */
static struct manager manager;

static void reload(const struct service *v)
{
	struct live *l = v->server->live;

	manager_reloading(&manager);
	if (live_reload(l, &v->parts)) {
		AUTO_SNAPSHOT *now = live_get(l);

		http_set_limits(v->http, &now->conf);
		if (v->watch_http)
			http_set_limits(v->watch_http, &now->conf);
		guard_tend(v->parts.guard, true); /* files as well */
	}
	manager_reloaded(&manager);
}

/* Poll threads and committer: did they do something since the last look, if there was anything to do? */
static bool is_alive(const struct server *s, struct http *h, uint64_t *batches)
{
	struct commit_stats now = store_commit_stats(s->store);
	bool commits = (!now.busy && !now.queued) || now.batches != *batches;

	*batches = now.batches;
	return http_works(h) && commits;
}

/* Until a signal says to end. */
static void serve_until_signal(struct service *v, struct chores *chores,
			       const struct command_line *line)
{
	const struct server *s = v->server;
	uint64_t batches = 0;
	bool single = s->conf->threads == 1;
	const struct timespec wait = { .tv_nsec = single ? 0 : WAKE_MS * 1000000L };
	int sig;

	do {
		sig = sigtimedwait(&line->signals, NULL, &wait);
		if (sig == SIGHUP || live_is_asked(s->live))
			reload(v);
		guard_tend(v->parts.guard, false);
		if (single)
			http_poll(v->http, POLL_MS);
		if (!chores->busy) {
			chores->busy = true;
			work_submit(s->work, &chores->job);
		}
		if (manager_look_is_due(&manager) && is_alive(s, v->http, &batches))
			manager_alive(&manager);
	} while (sig != SIGTERM && sig != SIGINT);
	manager_stopping(&manager, "requests that run may end");
	log_event(LOG_INFO, "stop", "draining");
	draining = true;
	http_drain(&v->http);
}

/* What works beside the requests. */
static enum err_kind start_background(const struct ops *ops, struct admin **ret_admin,
				      struct err *e)
{
	enum err_kind k = ops->conf->gc_enabled ? gc_start(ops->gc, e) : ERR_OK;

	if (k == ERR_OK)
		k = scrubber_start(ops->scrubber, e);
	if (k == ERR_OK)
		k = events_start(ops->events, ops->store, e);
	return k == ERR_OK ? admin_start(ops, ret_admin, e) : k;
}

/* A second thread from here on. */
static void start_log(const struct conf *c)
{
	if (c->threads > 1 && !log_start())
		log_event(LOG_WARN, "log", "no thread for the log: lines are written in place");
}

/* Where it listens: for clients, and, if that is wanted, for who watches it. */
struct places {
	int fd, watch_fd;
	char address[ADDRESS_TEXT_MAX], watch_address[ADDRESS_TEXT_MAX];
};

static void places_close(struct places *p)
{
	fd_close(&p->fd);
	fd_close(&p->watch_fd);
}

/*
 * Beyond loopback anybody could read and change everything, unless it is guarded.  What the service manager has opened
 * stands for the options.
 */
static enum err_kind take_places(const struct conf *c, struct places *p, struct err *e)
{
	bool loopback_only = !c->http_insecure && !guard_is_closed(c);
	AUTO_CLOSE fd = -1;
	AUTO_CLOSE watch_fd = -1;
	enum err_kind k = manager_take_sockets(&fd, &watch_fd, e);

	if (k == ERR_OK)
		k = fd >= 0 ? listen_adopt(&fd, loopback_only, &p->fd, p->address, e)
			    : listen_open(c->listen.p, loopback_only, &p->fd, p->address, e);
	if (k == ERR_OK && watch_fd >= 0)
		return listen_adopt(&watch_fd, false, &p->watch_fd, p->watch_address, e);
	return k == ERR_OK && c->metrics_listen.n
		   ? listen_open(c->metrics_listen.p, false, &p->watch_fd, p->watch_address, e)
		   : k;
}

static void tell_places(const struct places *p, bool is_tls)
{
	char text[ADDRESS_TEXT_MAX + 32];

	(void)snprintf(text, sizeof(text), "listening on http%s://%s", is_tls ? "s" : "",
		       p->address);
	(void)printf("%s\n", text);
	if (*p->watch_address)
		(void)printf("metrics on http://%s\n", p->watch_address);
	(void)fflush(stdout);
	manager_ready(&manager, text);
}

/* Takes what only root may have, and gives up the rest. */
static enum err_kind take_and_confine(const struct conf *c, struct server *s, struct guard **guard,
				      struct places *p, struct events **events, struct err *e)
{
	enum err_kind k = guard_open(c, s, guard, e);

	if (k == ERR_OK)
		k = events_open(c, events, e);
	if (k == ERR_OK)
		k = take_places(c, p, e);
	if (k == ERR_OK)
		k = confine_as_user(c, e);
	return k == ERR_OK ? confine_self(c, e) : k;
}

static enum err_kind run(const struct conf *c, const struct command_line *line, struct err *e)
{
	CLEANUP(places_close) struct places places = { .fd = -1, .watch_fd = -1 };
	_Atomic unsigned admin_calls = 0, followers = 0;
	struct ops ops = { .conf = c, .followers = &followers };
	struct server s = {
		.conf = c, .ops = &ops, .draining = &draining, .admin_calls = &admin_calls
	};
	struct request_ids ids = { .n = 0 };
	struct server watch;
	struct service v = { .server = &s, .parts.ops = &ops };
	struct admin *admin = NULL;
	struct chores chores = { .job = { .run = do_chores },
				 .reaped_mono_ms = mono_ms(),
				 .trimmed_mono_ms = mono_ms() };
	enum err_kind k = live_new(c, line->n_args, line->args, &s.live, e);

	if (k == ERR_OK)
		k = take_and_confine(c, &s, &v.parts.guard, &places, &ops.events, e);
	random_bytes(&ids.seed, sizeof(ids.seed));
	s.ids = &ids;
	ops.live = s.live;
	start_log(c);
	if (k == ERR_OK)
		k = ops_open(&ops, false, e);
	s.store = chores.store = ops.store;
	if (k == ERR_OK)
		k = guard_start(v.parts.guard, &s, e);
	if (k == ERR_OK)
		k = work_start(c->threads == 1 ? 0 : (unsigned)c->workers, &s.work, e);
	if (k == ERR_OK)
		k = start_background(&ops, &admin, e);
	if (k == ERR_OK)
		k = metrics_new(&s.metrics, e);
	watch = s;
	watch.watch_only = true;
	watch.auth = NULL;
	watch.tls = NULL;
	s.has_watch = places.watch_fd >= 0;
	if (k == ERR_OK && places.watch_fd >= 0)
		k = http_start(&watch, &places.watch_fd, &v.watch_http, e);
	if (k == ERR_OK)
		k = http_start(&s, &places.fd, &v.http, e);
	if (k == ERR_OK) {
		tell_places(&places, http_is_tls(v.http));
		serve_until_signal(&v, &chores, line);
	}
	if (s.live)
		live_stop(s.live);
	ops_stop(&ops); /* what administrators wait for ends early */
	admin_stop(&admin);
	http_drain(&v.watch_http);
	work_stop(&s.work);
	metrics_free(&s.metrics);
	guard_close(&v.parts.guard, &s);
	events_close(&ops.events);
	ops_close(&ops);
	live_free(&s.live);
	return k;
}

static int serve(int n_args, char *const *args)
{
	struct conf c;
	struct err e = { 0 };
	struct command_line line = { .n_args = n_args, .args = args };
	enum err_kind k;

	bound_heaps();
	log_find_journal();
	manager_find(&manager);
	if (cli_load_config(n_args, args, &c, &e) != ERR_OK) {
		manager_stopping(&manager, e.msg);
		manager_clear(&manager);
		return EXIT_USAGE;
	}
	(void)sigemptyset(&line.signals);
	(void)sigaddset(&line.signals, SIGTERM);
	(void)sigaddset(&line.signals, SIGINT);
	(void)sigaddset(&line.signals, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &line.signals,
			      NULL); /* before any thread, so that all inherit it */
	(void)signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	live_apply_log(&c);
	k = run(&c, &line, &e);
	if (k != ERR_OK)
		manager_stopping(&manager, e.msg);
	manager_clear(&manager);
	log_stop();
	conf_clear(&c);
	return k == ERR_OK ? EXIT_FINE : cli_complain(EXIT_FAILED, &e);
}

static int version(int n_args, char *const *args)
{
	(void)n_args, (void)args;
	(void)printf("berthd %s\n", BERTH_VERSION);
	return EXIT_FINE;
}

static int help(int n_args, char *const *args);

static const struct command {
	const char *name;
	int (*run)(int n_args, char *const *args);
	const char *doc;
} commands[] = {
	{ "serve", serve, "[--config FILE] [--OPTION=VALUE]...   run the registry" },
	{ "check-config", cli_check_config,
	  "[--config FILE] [--OPTION=VALUE]...   check the options and what they name, and print "
	  "them all with what they mean" },
	{ "show-config", cli_show_config,
	  "[--config FILE] [--OPTION=VALUE]... [--json]   print each option's value, and where it "
	  "comes from" },
	{ "reload", cli_reload,
	  "make the daemon read its options again, and say what changed or is wrong" },
	{ "user", cli_user,
	  "add NAME | passwd NAME | rm NAME | ls [--cost=10]   edit the accounts of "
	  "auth.htpasswd" },
	{ "key", cli_key,
	  "add NAME [--repositories=PATTERN,..] [--allow=pull,..] [--expires=90d] [--user] | rm "
	  "ID|NAME | ls   keys of robots and of users" },
	{ "check-access", cli_check_access,
	  "USER REPOSITORY ACTION [--groups=GROUP,..]   say whether the rules allow it, and which "
	  "one decides" },
	{ "stats", cli_stats, "how much of everything there is" },
	{ "repos", cli_repos, "[PATTERN] [--n=N] [--last=NAME]   list repositories" },
	{ "tags", cli_tags, "REPOSITORY [PATTERN] [--n=N] [--last=TAG]   list tags" },
	{ "inspect", cli_inspect,
	  "REPOSITORY[:TAG|@DIGEST]   what it consists of, who has it, what it alone takes" },
	{ "rm", cli_rm, "REPOSITORY[:TAG|@DIGEST] [--recursive]   remove, into the trash" },
	{ "cp", cli_cp,
	  "FROM[:TAG|@DIGEST] TO[:TAG] [--force]   copy without moving bytes, with all that "
	  "belongs to it" },
	{ "mv", cli_mv, "FROM[:TAG] TO[:TAG] [--force]   the same, and the source goes" },
	{ "history", cli_history,
	  "REPOSITORY[:TAG] [--n=N] [--last=SEQ]   who moved tags, when, from what to what" },
	{ "rollback", cli_rollback,
	  "REPOSITORY:TAG [--to=DIGEST|N]   point a tag to what it pointed to before" },
	{ "events", cli_events,
	  "[PATTERN] [--follow] [--since=SEQ|TIME|AGE]   what was pushed and deleted, by whom, "
	  "when" },
	{ "gc", cli_gc,
	  "[--dry-run] [--confirm] [--verbose] | pause | resume | status   collect garbage now" },
	{ "fsck", cli_fsck, "[--repair]   check every invariant of the store" },
	{ "scrub", cli_scrub, "[status]   read all content and check it against its digests" },
	{ "trash", cli_trash,
	  "ls | restore NUMBER|REPOSITORY:TAG|REPOSITORY@DIGEST | empty   what was deleted or "
	  "collected" },
	{ "rebuild", cli_rebuild,
	  "make the index anew from the files and the reflog; no daemon may run" },
	{ "backup", cli_backup, "DIRECTORY   copy the store, incrementally if there is a copy" },
	{ "restore", cli_restore,
	  "DIRECTORY [--accept-damage]   check a copy and install it in an empty root" },
	{ "import", cli_import,
	  "[--repository=NAME] [--copy] [--overwrite] [--dry-run] DIRECTORY   take over what a "
	  "distribution, a zot or an image layout has" },
	{ "export", cli_export,
	  "REPOSITORY[:TAG|@DIGEST] DIRECTORY   write an image layout, or add to one" },
	{ "version", version, "print the version" },
	{ "help", help, "[COMMAND|options]   print this, a part of it, or what each option means" },
};

/* All options, for people and for what is generated of them. */
static int help_options(void)
{
	AUTO_SBUF text;

	sbuf_init(&text, 1024 * 1024);
	conf_manual(&text);
	if (text.failed || fputs(text.p, stdout) == EOF || fflush(stdout) == EOF)
		return EXIT_FAILED;
	return EXIT_FINE;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int no_command(const char *name)
{
	(void)fprintf(stderr, "berthd: %s%s%s: \"berthd help\" lists the commands\n",
		      *name ? "no command \"" : "a command is needed", name, *name ? "\"" : "");
	return EXIT_USAGE;
}

static int help_command(const char *name)
{
	const struct command *c = find_command(name);

	if (!c)
		return no_command(name);
	(void)printf(
	    "usage:\n  berthd %s %s\n\n\"berthd help options\" lists the options that all take.\n",
	    c->name, c->doc);
	return EXIT_FINE;
}

static int help(int n_args, char *const *args)
{
	if (n_args > 0 && strcmp(args[0], "options") == 0)
		return help_options();
	if (n_args > 0)
		return help_command(args[0]);
	(void)printf("berthd - a private OCI registry\n\nusage:\n");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		(void)printf("  berthd %s %s\n", commands[i].name, commands[i].doc);
	(void)printf("\nAn option is also read from the environment: --http.min_rate is "
		     "BERTHD_HTTP_MIN_RATE.\n\"berthd help options\" lists them.\n");
	return EXIT_FINE;
}

static bool asks_for_help(const char *word)
{
	return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command;
	struct err e = { 0 };

#ifdef BERTH_FAULT
	fault_from_environment();
#endif
	if (asks_for_help(name))
		name = "help";
	if (strcmp(name, "--version") == 0)
		name = "version";
	if (confine_memory(&e) != ERR_OK)
		return cli_complain(EXIT_FAILED, &e);
	command = find_command(name);
	if (!command)
		return no_command(name);
	for (int i = 2; i < argc; i++) {
		if (asks_for_help(argv[i]))
			return help_command(name);
	}
	return command->run(argc - 2, argv + 2);
}
