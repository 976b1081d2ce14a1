/*
 * events: what happens to containers, told from the state that their files are in.  There is no log of events that a crash
 * could leave wrong: what is told is the difference between what was seen and what is, whoever changed it or was killed.
 */
#include <errno.h>
#include <poll.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/inotify.h>

#include "base/clock.h"
#include "base/quantity.h"
#include "runtime/cli/ctl.h"

#define LOOK_MS 500 /* how late the end of a killed shim may be seen: no file changes then */
#define WATCHED (IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR)
#define CONTAINER_EVENTS_MAX 8 /* between two looks */

struct events_args {
	bool no_stream;
	const char *since, *until;
	struct text_list filters;
};

struct seen {
	struct seen *next;
	bool is_there; /* in this round */
	char id[CONTAINER_ID_LEN + 1], name[CONTAINER_NAME_MAX + 1];
	char *image;
	struct text_pairs labels;
	struct status status;
};

struct watcher {
	struct cli *c;
	const struct events_args *args;
	struct ctl t;
	int inotify;
	uint64_t since_ms, until_ms; /* 0: none */
	bool is_silent;              /* what is there already is no news */
	struct seen *all;
	bool failed;
};

struct event {
	const char *what;
	uint64_t at_ms;
	bool has_code;
};

/* --- Filters: of one kind any may match, of each kind one must --- */

static bool matches_label(const struct text_pairs *labels, struct str want)
{
	struct str key, value = { "", 0 };
	bool has_value = str_cut(want, '=', &key, &value);

	for (size_t i = 0; i < labels->keys.n; i++) {
		if (str_eq(key, str_of(labels->keys.v[i])) &&
		    (!has_value || str_eq(value, str_of(labels->values.v[i]))))
			return true;
	}
	return false;
}

static bool matches(const struct seen *s, const struct event *v, struct str kind, struct str want)
{
	if (str_eq(kind, STR("event")))
		return str_eq(want, str_of(v->what));
	if (str_eq(kind, STR("container")))
		return str_eq(want, str_of(s->name)) || (want.n && str_starts(str_of(s->id), want));
	if (str_eq(kind, STR("image")))
		return str_eq(want, str_of(s->image));
	return matches_label(&s->labels, want);
}

static bool is_wanted(const struct watcher *w, const struct seen *s, const struct event *v)
{
	const struct text_list *f = &w->args->filters;
	struct str kind, other, want;

	for (size_t i = 0; i < f->n; i++) {
		bool any = false;

		(void)str_cut(str_of(f->v[i]), '=', &kind, &want);
		for (size_t j = 0; j < f->n; j++) {
			(void)str_cut(str_of(f->v[j]), '=', &other, &want);
			any = any || (str_eq(kind, other) && matches(s, v, kind, want));
		}
		if (!any)
			return false;
	}
	return !(w->since_ms && v->at_ms < w->since_ms) && !(w->until_ms && v->at_ms > w->until_ms);
}

static enum err_kind check_filters(const struct text_list *f, struct err *e)
{
	static const char *const kinds[] = { "event", "container", "image", "label" };
	struct str kind, want;

	for (size_t i = 0; i < f->n; i++) {
		bool known = false;

		for (size_t n = 0; n < ARRAY_LEN(kinds); n++)
			known = known || (str_cut(str_of(f->v[i]), '=', &kind, &want) &&
					  str_eq(kind, str_of(kinds[n])));
		if (!known)
			return err_set(
			    e, ERR_INVALID, __func__,
			    "--filter %.60s: event=, container=, image= or label=", f->v[i]);
	}
	return ERR_OK;
}

/* --- Telling --- */

static void tell_json(struct sbuf *out, const struct seen *s, const struct event *v)
{
	char when[TIME_TEXT_MAX];
	AUTO_JV *one = jv_pack("{s:s, s:s, s:s, s:s, s:s}", "time", time_text(v->at_ms, when),
			       "event", v->what, "id", s->id, "name", s->name, "image", s->image);

	if (one && v->has_code && s->status.exit_is_known)
		(void)!jv_set(one, "exit_code", jv_pack("i", s->status.exit_code));
	if (one && strcmp(v->what, "health") == 0)
		(void)!jv_set(one, "health", jv_pack("s", health_text(s->status.health)));
	jv_dump(one, out);
	sbuf_addf(out, "\n");
}

static void tell_text(struct sbuf *out, const struct seen *s, const struct event *v)
{
	char when[TIME_TEXT_MAX];

	sbuf_addf(out, "%s container %s %.12s (name=%s, image=", time_text(v->at_ms, when), v->what,
		  s->id, s->name);
	text_show(out, str_of(s->image));
	if (v->has_code && s->status.exit_is_known)
		sbuf_addf(out, ", exit_code=%d", s->status.exit_code);
	if (strcmp(v->what, "health") == 0)
		sbuf_addf(out, ", health=%s", health_text(s->status.health));
	sbuf_addf(out, ")\n");
}

static void tell(struct watcher *w, const struct seen *s, const struct event *v)
{
	AUTO_SBUF out;

	if (w->is_silent || !is_wanted(w, s, v))
		return;
	sbuf_init(&out, SBUF_MAX);
	if (w->c->json)
		tell_json(&out, s, v);
	else
		tell_text(&out, s, v);
	w->failed = w->failed || cli_print(&out) != EXIT_FINE;
}

/* --- Differences --- */

struct list {
	struct event v[CONTAINER_EVENTS_MAX];
	size_t n;
};

static void add(struct list *l, const char *what, uint64_t at_ms, bool has_code)
{
	if (l->n < ARRAY_LEN(l->v))
		l->v[l->n++] = (struct event){ what, at_ms, has_code };
}

static bool is_up(enum phase p)
{
	return p == PHASE_RUNNING || p == PHASE_PAUSED;
}

static int by_time(const void *a, const void *b)
{
	const struct event *x = a, *y = b;

	return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

/* It ran, and whoever would have noted its end was killed. */
static bool ended_unseen(const struct status *s)
{
	return s->phase == PHASE_EXITED && s->started_ms > s->finished_ms;
}

static bool is_same_run(const struct status *a, const struct status *b)
{
	return a->started_ms == b->started_ms;
}

/* before NULL: never seen. */
static void compare(const struct status *before, const struct status *now, uint64_t created_ms,
		    struct list *ret)
{
	static const struct status nothing = { .phase = PHASE_CREATED };
	uint64_t t = wall_ms();

	if (!before)
		add(ret, "create", created_ms, false);
	before = before ? before : &nothing;
	if (now->started_ms && now->started_ms != before->started_ms)
		add(ret, "start", now->started_ms, false);
	if (now->finished_ms && now->finished_ms != before->finished_ms &&
	    !(ended_unseen(before) && is_same_run(before, now))) {
		if (now->oom)
			add(ret, "oom", now->finished_ms, false);
		add(ret, "die", now->finished_ms, true);
	}
	if (ended_unseen(now) && !(ended_unseen(before) && is_same_run(before, now)))
		add(ret, "die", t, true);
	if (now->phase == PHASE_PAUSED && before->phase != PHASE_PAUSED)
		add(ret, "pause", t, false);
	if (now->phase == PHASE_RUNNING && before->phase == PHASE_PAUSED)
		add(ret, "unpause", t, false);
	if (now->health != HEALTH_NONE && now->health != before->health)
		add(ret, "health", t, false);
}

static struct seen *find(struct seen *s, const char *id)
{
	while (s && strcmp(s->id, id) != 0)
		s = s->next;
	return s;
}

static bool copy_list(struct arena *a, const struct text_list *from, struct text_list *to)
{
	for (size_t i = 0; i < from->n; i++) {
		if (!arena_list_add(a, to, arena_text(a, str_of(from->v[i]))))
			return false;
	}
	return true;
}

static struct seen *note(struct watcher *w, const struct record *r)
{
	struct arena *a = &w->c->arena;
	struct seen *s = arena_get(a, sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct seen){ .next = w->all, .image = arena_text(a, str_of(r->image)) };
	(void)str_copy(str_of(r->id), s->id, sizeof(s->id));
	(void)str_copy(str_of(r->name), s->name, sizeof(s->name));
	if (!s->image || !copy_list(a, &r->labels.keys, &s->labels.keys) ||
	    !copy_list(a, &r->labels.values, &s->labels.values))
		return NULL;
	w->all = s;
	return s;
}

/* A directory of containers/; without a watch it is LOOK_MS that counts. */
static void watch(struct watcher *w, const char *id)
{
	const char *path = arena_printf(&w->c->arena, "%s/containers/%s", w->t.cs.root, id);

	if (path)
		(void)inotify_add_watch(w->inotify, path, WATCHED);
}

static enum err_kind look_at(void *arg, struct container *c, struct err *e)
{
	struct watcher *w = arg;
	struct seen *s = find(w->all, c->record.id);
	bool is_new = !s, supervised;
	struct status now;
	struct list l = { .n = 0 };
	enum err_kind k = status_now(c->dir, &now, &supervised, e);

	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	s = s ? s : note(w, &c->record);
	if (!s)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for events");
	compare(is_new ? NULL : &s->status, &now, c->record.created_ms, &l);
	s->status = now;
	s->is_there = true;
	qsort(l.v, l.n, sizeof(l.v[0]), by_time);
	for (size_t i = 0; i < l.n; i++)
		tell(w, s, &l.v[i]);
	if (is_new)
		watch(w, c->record.id);
	return ERR_OK;
}

static enum err_kind look(struct watcher *w, struct err *e)
{
	struct seen **at = &w->all;
	enum err_kind k;

	for (struct seen *s = w->all; s; s = s->next)
		s->is_there = false;
	k = containers_each(&w->t.cs, look_at, w, e);
	while (k == ERR_OK && *at) {
		struct seen *s = *at;

		if (s->is_there) {
			at = &s->next;
			continue;
		}
		if (is_up(s->status.phase)) {
			s->status.exit_is_known = false;
			tell(w, s, &(struct event){ "die", wall_ms(), true });
		}
		tell(w, s, &(struct event){ "remove", wall_ms(), false });
		*at = s->next;
	}
	return k;
}

/* --- The command --- */

static enum err_kind take_moment(const char *option, const char *text, uint64_t *ret, struct err *e)
{
	uint64_t ago;

	if (!text || time_parse(str_of(text), ret))
		return ERR_OK;
	if (!duration_parse(str_of(text), &ago) || ago > wall_ms())
		return err_set(e, ERR_INVALID, __func__,
			       "--%s %.40s: a time such as 2026-01-31T12:00:00Z, or how long ago",
			       option, text);
	*ret = wall_ms() - ago;
	return ERR_OK;
}

/* A directory that was just made is watched before there is a container in it, so that its first moments are not missed. */
static void take_changes(struct watcher *w)
{
	alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(w->inotify, buf, sizeof(buf))) > 0) {
		for (const char *at = buf; at < buf + n;) {
			const struct inotify_event *i = (const void *)at;

			if ((i->mask & IN_CREATE) && (i->mask & IN_ISDIR))
				watch(w, i->name);
			at += sizeof(*i) + i->len;
		}
	}
}

static enum err_kind follow(struct watcher *w, struct err *e)
{
	struct pollfd p = { .fd = w->inotify, .events = POLLIN };
	enum err_kind k = ERR_OK;

	while (k == ERR_OK && !w->failed && !(w->until_ms && wall_ms() > w->until_ms)) {
		if (poll(&p, 1, LOOK_MS) < 0 && errno != EINTR)
			return err_sys(e, __func__, "wait for changes");
		take_changes(w);
		k = look(w, e);
	}
	return k;
}

static enum err_kind begin(struct watcher *w, struct err *e)
{
	enum err_kind k = check_filters(&w->args->filters, e);

	if (k == ERR_OK)
		k = take_moment("since", w->args->since, &w->since_ms, e);
	if (k == ERR_OK)
		k = take_moment("until", w->args->until, &w->until_ms, e);
	if (k == ERR_OK)
		k = ctl_open(w->c, &w->t, e);
	if (k != ERR_OK)
		return k;
	w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->inotify < 0 ||
	    inotify_add_watch(w->inotify, arena_printf(&w->c->arena, "%s/containers", w->t.cs.root),
			      WATCHED) < 0)
		return err_sys(e, __func__, "watch containers");
	return ERR_OK;
}

static int run_events(struct cli *c)
{
	struct watcher w = { .c = c, .args = c->options, .t = CTL_INIT, .inotify = -1 };
	struct err e;
	enum err_kind k = begin(&w, &e);

	w.is_silent = !w.args->since && !w.args->no_stream;
	if (k == ERR_OK)
		k = look(&w, &e);
	w.is_silent = false;
	if (k == ERR_OK && !w.args->no_stream)
		k = follow(&w, &e);
	fd_close(&w.inotify);
	ctl_close(&w.t);
	if (k != ERR_OK)
		return cli_fail(&e);
	return w.failed ? EXIT_FAILED : EXIT_FINE;
}

#define A(m) offsetof(struct events_args, m)
static const struct opt opts[] = {
	{ "since", 0, OPT_TEXT, A(since), "TIME",
	  "begin with what happened since then, as containers' files have it" },
	{ "until", 0, OPT_TEXT, A(until), "TIME", "end there" },
	{ "filter", 'f', OPT_TEXTS, A(filters), "KIND=VALUE",
	  "event=, container=, image= or label=; may be given more than once" },
	{ "no-stream", 0, OPT_FLAG, A(no_stream), NULL,
	  "tell what the files have, and do not wait for more" },
	OPTS_END
};

const struct command cmd_events = {
	.name = "events",
	.run = run_events,
	.opts = opts,
	.options_size = sizeof(struct events_args),
	.usage = "[OPTION]...",
	.doc = "tell what happens to containers",
};
