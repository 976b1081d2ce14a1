#include "storage/quota.h"

#include <stdatomic.h>

#include "base/form.h"
#include "base/glob.h"
#include "base/log.h"
#include "base/quantity.h"

#define PATTERNS_MAX 64
#define WARN_PERCENT 80

struct rule {
	char *patterns[PATTERNS_MAX];
	size_t n_patterns;
	struct quota_use limit; /* -1: none */
	unsigned warn_percent;
	_Atomic int64_t bytes, tags, repos; /* used */
	struct quota_use pending;           /* by the transaction under way */
	bool warned;
};

struct quotas {
	_Atomic unsigned refs;
	size_t n;
	struct rule rules[QUOTA_RULES_MAX];
};

/* --- reading the rules --- */

static void read_patterns(struct form *f, struct rule *r)
{
	size_t n = form_count(f, "repositories", true);

	if (n > PATTERNS_MAX)
		form_fail(f, ERR_INVALID, "repositories has more than %d patterns", PATTERNS_MAX);
	for (size_t i = 0; i < MIN(n, (size_t)PATTERNS_MAX); i++) {
		struct str pattern = form_item(f, "repositories", i);
		const char *why;

		if (!glob_is_valid(pattern, &why)) {
			form_fail(f, ERR_INVALID, "pattern \"%.60s\" %s", pattern.p, why);
			return;
		}
		r->patterns[i] = strndup(pattern.p, pattern.n);
		if (!r->patterns[i]) {
			form_fail(f, ERR_NO_MEMORY, "no memory for quotas");
			return;
		}
		r->n_patterns++;
	}
}

static bool is_count(struct str in, uint64_t *ret)
{
	return scan_u64(&in, INT64_MAX, ret) && scan_end(&in);
}

static int64_t read_limit(struct form *f, const char *name,
			  bool (*parse)(struct str in, uint64_t *ret))
{
	struct str text = form_text(f, name, false);
	uint64_t v;

	if (text.n == 0)
		return -1;
	if (parse(text, &v) && v <= INT64_MAX)
		return (int64_t)v;
	form_fail(f, ERR_INVALID, "%s is \"%.40s\": it must be a number%s", name, text.p,
		  parse == size_parse ? " of bytes (K M G T)" : "");
	return -1;
}

static void read_warn(struct form *f, struct rule *r)
{
	struct str text = form_text(f, "warn", false);
	uint64_t v = WARN_PERCENT;

	if (text.n && text.p[text.n - 1] == '%')
		text.n--;
	if (text.n && (!is_count(text, &v) || v > 100))
		form_fail(f, ERR_INVALID, "warn must be a percentage");
	r->warn_percent = (unsigned)v;
}

static enum err_kind read_rule(const struct jv *v, struct faults *all, struct rule *r,
			       struct err *e)
{
	struct form f;

	form_open(&f, "quotas", v, all);
	read_patterns(&f, r);
	r->limit.bytes = read_limit(&f, "bytes", size_parse);
	r->limit.tags = read_limit(&f, "tags", is_count);
	r->limit.repos = read_limit(&f, "count", is_count);
	read_warn(&f, r);
	return form_close(&f, e);
}

enum err_kind quotas_new(const struct jv *rules, struct faults *all, struct quotas **ret,
			 struct err *e)
{
	struct quotas *q = calloc(1, sizeof(*q));
	size_t n = jv_count(rules);
	enum err_kind k = ERR_OK;

	if (!q)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for quotas");
	q->refs = 1;
	if (n > QUOTA_RULES_MAX)
		k = err_set(e, ERR_INVALID, __func__, "quotas: more than %d rules",
			    QUOTA_RULES_MAX);
	for (; k == ERR_OK && q->n < n; q->n++)
		k = read_rule(jv_at(rules, q->n), all, &q->rules[q->n], e);
	if (k == ERR_OK)
		*ret = TAKE(q);
	quotas_put(&q);
	return k;
}

struct quotas *quotas_get(struct quotas *q)
{
	if (q)
		q->refs++;
	return q;
}

void quotas_put(struct quotas **take)
{
	struct quotas *q = TAKE(*take);

	if (!q || --q->refs)
		return;
	for (size_t i = 0; i < q->n; i++) {
		for (size_t j = 0; j < q->rules[i].n_patterns; j++)
			free(q->rules[i].patterns[j]);
	}
	free(q);
}

uint64_t quota_rules_of(const struct quotas *q, const struct repo_name *repo)
{
	uint64_t found = 0;

	for (size_t i = 0; q && i < q->n; i++) {
		const struct rule *r = &q->rules[i];

		for (size_t j = 0; j < r->n_patterns; j++) {
			if (glob_match(str_of(r->patterns[j]), repo_name_str(repo)))
				found |= (uint64_t)1 << i;
		}
	}
	return found;
}

/* --- counting --- */

static struct quota_use used(const struct rule *r)
{
	return (struct quota_use){ .bytes = r->bytes, .tags = r->tags, .repos = r->repos };
}

static void raise(struct rule *r, const struct quota_use *u)
{
	r->bytes += u->bytes;
	r->tags += u->tags;
	r->repos += u->repos;
}

void quota_reset(struct quotas *q)
{
	for (size_t i = 0; i < q->n; i++) {
		struct rule *r = &q->rules[i];

		r->bytes = r->tags = r->repos = 0;
		r->pending = (struct quota_use){ 0 };
	}
}

void quota_add(struct quotas *q, uint64_t rules, const struct quota_use *u)
{
	for (size_t i = 0; i < q->n; i++) {
		if (rules >> i & 1)
			raise(&q->rules[i], u);
	}
}

static enum err_kind check_one(const struct rule *r, const char *what, int64_t limit, int64_t now,
			       int64_t more, struct err *e)
{
	if (limit < 0 || more <= 0 || now + more <= limit)
		return ERR_OK;
	return err_set(e, ERR_DENIED, "quota_check",
		       "the quota of %.80s: %lld of %lld %s are used, %lld more would be too many",
		       r->patterns[0], (long long)now, (long long)limit, what, (long long)more);
}

enum err_kind quota_check(const struct quotas *q, uint64_t rules, const struct quota_use *u,
			  struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < q->n; i++) {
		const struct rule *r = &q->rules[i];

		if (!(rules >> i & 1))
			continue;
		k = check_one(r, "bytes", r->limit.bytes, r->bytes + r->pending.bytes, u->bytes, e);
		if (k == ERR_OK)
			k = check_one(r, "tags", r->limit.tags, r->tags + r->pending.tags, u->tags,
				      e);
		if (k == ERR_OK)
			k = check_one(r, "repositories", r->limit.repos,
				      r->repos + r->pending.repos, u->repos, e);
	}
	return k;
}

void quota_note(struct quotas *q, uint64_t rules, const struct quota_use *u)
{
	for (size_t i = 0; i < q->n; i++) {
		struct quota_use *p = &q->rules[i].pending;

		if (!(rules >> i & 1))
			continue;
		p->bytes += u->bytes;
		p->tags += u->tags;
		p->repos += u->repos;
	}
}

static bool is_beyond(int64_t now, int64_t limit, unsigned percent)
{
	return limit > 0 && now > limit / 100 * percent + limit % 100 * percent / 100;
}

/* Once each time that a limit comes near. */
static void warn(struct rule *r)
{
	struct quota_use now = used(r);
	bool near = is_beyond(now.bytes, r->limit.bytes, r->warn_percent) ||
		    is_beyond(now.tags, r->limit.tags, r->warn_percent) ||
		    is_beyond(now.repos, r->limit.repos, r->warn_percent);

	if (near && !r->warned)
		log_event(LOG_WARN, "quota.near",
			  "the quota of %.80s is used by more than %u %%: %lld bytes, %lld tags, "
			  "%lld repositories",
			  r->patterns[0], r->warn_percent, (long long)now.bytes,
			  (long long)now.tags, (long long)now.repos);
	r->warned = near;
}

void quota_accept(struct quotas *q)
{
	for (size_t i = 0; i < q->n; i++) {
		struct rule *r = &q->rules[i];

		raise(r, &r->pending);
		r->pending = (struct quota_use){ 0 };
		warn(r);
	}
}

void quota_drop(struct quotas *q)
{
	for (size_t i = 0; i < q->n; i++)
		q->rules[i].pending = (struct quota_use){ 0 };
}

enum err_kind quota_has_room(const struct quotas *q, const struct repo_name *repo, uint64_t n,
			     struct err *e)
{
	uint64_t rules = quota_rules_of(q, repo);
	enum err_kind k = ERR_OK;

	for (size_t i = 0; rules && k == ERR_OK && i < q->n; i++) {
		const struct rule *r = &q->rules[i];

		if (rules >> i & 1)
			k = check_one(r, "bytes", r->limit.bytes, r->bytes, (int64_t)n, e);
	}
	return k;
}

bool quota_status(const struct quotas *q, size_t i, struct quota_status *ret)
{
	if (!q || i >= q->n)
		return false;
	*ret = (struct quota_status){ .pattern = q->rules[i].patterns[0],
				      .used = used(&q->rules[i]),
				      .limit = q->rules[i].limit };
	return true;
}
