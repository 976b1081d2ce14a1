#include "gc/retention.h"

#include "base/form.h"
#include "base/glob.h"
#include "base/quantity.h"

#define PATTERNS_MAX 256
#define KEEP_LAST_MAX 100000u
#define PAGE 256

struct patterns {
	char **text;
	size_t n;
};

struct retention_rule {
	struct patterns repositories, tags;
	uint64_t last;                                   /* keep_last, 0: not given */
	uint64_t pushed_ms, pulled_ms, untagged_keep_ms; /* valid with the flags below */
	bool has_pushed, has_pulled, has_untagged;
};

struct retention {
	_Atomic unsigned refs;
	size_t n;
	struct retention_rule *rules;
};

/* --- reading the rules --- */

static void patterns_free(struct patterns *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->text[i]);
	free(p->text);
}

static bool matches(const struct patterns *p, struct str name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (glob_match(str_of(p->text[i]), name))
			return true;
	}
	return false;
}

static void read_patterns(struct form *f, const char *name, bool required, struct patterns *ret)
{
	size_t n = form_count(f, name, required);

	if (n > PATTERNS_MAX) {
		form_fail(f, ERR_INVALID, "%s has more than %d patterns", name, PATTERNS_MAX);
		return;
	}
	ret->text = calloc(n + 1, sizeof(*ret->text));
	for (size_t i = 0; ret->text && i < n; i++) {
		struct str pattern = form_item(f, name, i);
		const char *why;

		if (!glob_is_valid(pattern, &why)) {
			form_fail(f, ERR_INVALID, "pattern \"%.60s\" of %s %s", pattern.p, name,
				  why);
			return;
		}
		ret->text[i] = strndup(pattern.p, pattern.n);
		if (!ret->text[i])
			break;
		ret->n++;
	}
	if (!ret->text || ret->n < n)
		form_fail(f, ERR_NO_MEMORY, "no memory for retention");
}

static void read_duration(struct form *f, const char *name, bool *ret_has, uint64_t *ret)
{
	struct str text = form_text(f, name, false);

	*ret_has = text.n > 0;
	if (text.n == 0)
		return;
	if (strcmp(name, "untagged_keep") == 0 && str_eq(text, STR("never")))
		*ret = UINT64_MAX;
	else if (!duration_parse(text, ret))
		form_fail(f, ERR_INVALID, "%s is \"%.40s\": it must be a duration (ms s m h d)",
			  name, text.p);
}

static void read_last(struct form *f, uint64_t *ret)
{
	struct str text = form_text(f, "keep_last", false), in = text;

	if (text.n == 0)
		return;
	if (!scan_u64(&in, KEEP_LAST_MAX, ret) || !scan_end(&in) || *ret == 0)
		form_fail(f, ERR_INVALID,
			  "keep_last is \"%.40s\": it must be a number from 1 to %u", text.p,
			  KEEP_LAST_MAX);
}

static enum err_kind read_rule(const struct jv *v, struct faults *all, struct retention_rule *ret,
			       struct err *e)
{
	struct form f;

	form_open(&f, "retention", v, all);
	read_patterns(&f, "repositories", true, &ret->repositories);
	read_patterns(&f, "keep_tags", false, &ret->tags);
	read_last(&f, &ret->last);
	read_duration(&f, "keep_pushed", &ret->has_pushed, &ret->pushed_ms);
	read_duration(&f, "keep_pulled", &ret->has_pulled, &ret->pulled_ms);
	read_duration(&f, "untagged_keep", &ret->has_untagged, &ret->untagged_keep_ms);
	return form_close(&f, e);
}

enum err_kind retention_new(const struct jv *rules, struct faults *all, struct retention **ret,
			    struct err *e)
{
	struct retention *r = calloc(1, sizeof(*r));
	size_t n = jv_count(rules);
	enum err_kind k = ERR_OK;

	if (r) {
		r->refs = 1;
		r->rules = calloc(n + 1, sizeof(*r->rules));
	}
	if (!r || !r->rules) {
		free(r);
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for retention");
	}
	for (; r->n < n && k == ERR_OK; r->n++)
		k = read_rule(jv_at(rules, r->n), all, &r->rules[r->n], e);
	if (k != ERR_OK) {
		retention_put(&r);
		return k;
	}
	*ret = r;
	return ERR_OK;
}

struct retention *retention_get(struct retention *r)
{
	r->refs++;
	return r;
}

void retention_put(struct retention **take)
{
	struct retention *r = TAKE(*take);

	if (!r || --r->refs)
		return;
	for (size_t i = 0; i < r->n; i++) {
		patterns_free(&r->rules[i].repositories);
		patterns_free(&r->rules[i].tags);
	}
	free(r->rules);
	free(r);
}

/* --- what they say --- */

const struct retention_rule *retention_find(const struct retention *r, const struct repo_name *repo)
{
	for (size_t i = 0; r && i < r->n; i++) {
		if (matches(&r->rules[i].repositories, repo_name_str(repo)))
			return &r->rules[i];
	}
	return NULL;
}

static bool has_tag_rule(const struct retention_rule *r)
{
	return r->last || r->tags.n || r->has_pushed || r->has_pulled;
}

bool retention_has_tag_rules(const struct retention *r)
{
	for (size_t i = 0; r && i < r->n; i++) {
		if (has_tag_rule(&r->rules[i]))
			return true;
	}
	return false;
}

uint64_t retention_untagged_keep(const struct retention_rule *rule, uint64_t preset_ms)
{
	return rule && rule->has_untagged ? rule->untagged_keep_ms : preset_ms;
}

/* --- the tags of one repository --- */

typedef enum err_kind tag_fn(void *arg, const struct tag_item *tag, struct err *e);

static enum err_kind each_tag(struct store *st, const struct repo_name *repo, tag_fn *fn, void *arg,
			      struct err *e)
{
	AUTO_FREE struct tag_item *page = calloc(PAGE, sizeof(*page));
	struct tag_name last;
	size_t n = PAGE;
	enum err_kind k = ERR_OK;

	if (!page)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	for (bool first = true; k == ERR_OK && n == PAGE; first = false) {
		k = index_tag_rows(store_index(st), repo, first ? NULL : &last, PAGE, page, &n, e);
		if (k == ERR_NOT_FOUND)
			return ERR_OK; /* the repository is gone meanwhile */
		for (size_t i = 0; k == ERR_OK && i < n; i++)
			k = fn(arg, &page[i], e);
		if (n)
			last = page[n - 1].name;
	}
	return k;
}

/* The keep_last greatest push times seen so far: a heap with the least of them at its root. */
struct latest {
	uint64_t *at, n, max;
};

static void sift_down(struct latest *l)
{
	for (uint64_t i = 0, child; (child = 2 * i + 1) < l->n; i = child) {
		if (child + 1 < l->n && l->at[child + 1] < l->at[child])
			child++;
		if (l->at[i] <= l->at[child])
			break;
		uint64_t swap = l->at[i];

		l->at[i] = l->at[child];
		l->at[child] = swap;
	}
}

static enum err_kind note_latest(void *arg, const struct tag_item *tag, struct err *e)
{
	struct latest *l = arg;
	uint64_t t = tag->row.pushed_ms;

	(void)e;
	if (l->n == l->max) {
		if (t > l->at[0]) {
			l->at[0] = t;
			sift_down(l);
		}
		return ERR_OK;
	}
	for (uint64_t i = l->n++;; i = (i - 1) / 2) {
		if (i == 0 || l->at[(i - 1) / 2] <= t) {
			l->at[i] = t;
			return ERR_OK;
		}
		l->at[i] = l->at[(i - 1) / 2];
	}
}

struct walk {
	const struct retention_rule *rule;
	uint64_t now_ms;
	uint64_t since_ms; /* push time of the last of keep_last */
	retention_fn *fn;
	void *arg;
};

static bool within(uint64_t at_ms, uint64_t span_ms, uint64_t now_ms)
{
	return at_ms >= now_ms || now_ms - at_ms < span_ms;
}

static const char *why_kept(const struct walk *w, const struct tag_item *tag)
{
	const struct retention_rule *r = w->rule;

	if (!has_tag_rule(r))
		return "no rule removes tags here";
	if (r->last && tag->row.pushed_ms >= w->since_ms)
		return "one of the last pushed";
	if (matches(&r->tags, tag_name_str(&tag->name)))
		return "matches keep_tags";
	if (r->has_pushed && within(tag->row.pushed_ms, r->pushed_ms, w->now_ms))
		return "pushed within keep_pushed";
	if (r->has_pulled && within(tag->row.pulled_ms, r->pulled_ms, w->now_ms))
		return "pulled within keep_pulled";
	return NULL;
}

static enum err_kind decide(void *arg, const struct tag_item *tag, struct err *e)
{
	struct walk *w = arg;
	const char *kept = why_kept(w, tag);

	return w->fn(w->arg, tag, kept != NULL, kept ? kept : "no rule keeps it", e);
}

enum err_kind retention_walk(const struct retention_rule *rule, struct store *st,
			     const struct repo_name *repo, uint64_t now_ms, retention_fn *fn,
			     void *arg, struct err *e)
{
	struct walk w = { .rule = rule, .now_ms = now_ms, .fn = fn, .arg = arg };
	AUTO_FREE uint64_t *at = NULL;
	struct latest l = { .max = rule->last };
	enum err_kind k = ERR_OK;

	if (rule->last) {
		l.at = at = calloc((size_t)rule->last, sizeof(*at));
		if (!at)
			return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
		k = each_tag(st, repo, note_latest, &l, e);
		w.since_ms = l.n ? l.at[0] : 0;
	}
	return k == ERR_OK ? each_tag(st, repo, decide, &w, e) : k;
}
