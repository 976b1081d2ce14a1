/* Rules, as a line of JSON; then who asks, for what: a decision must not depend on the order of rules. */
#include "auth/rule.h"
#include "auth/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jv *reversed(const struct jv *list)
{
	struct jv *r = jv_new_array();

	for (size_t i = jv_count(list); i-- > 0;) {
		if (!jv_append(r, jv_share(jv_at(list, i))))
			abort();
	}
	return r;
}

static void decide(const struct jv *doc, struct str who, struct str repository)
{
	AUTO_RULES *r = NULL, *back = NULL;
	AUTO_JV *list = reversed(jv_member(doc, "access"));
	struct identity id = { .kind = IDENTITY_ANONYMOUS, .name = { "", 0 } };
	struct err e;

	if (!identity_parse(who, &id.kind, &id.name) ||
	    rules_parse(jv_member(doc, "access"), jv_member(doc, "groups"), NULL, &r, &e) != ERR_OK)
		return;
	if (rules_parse(list, jv_member(doc, "groups"), NULL, &back, &e) != ERR_OK)
		abort();
	for (unsigned bit = ACTION_PULL; bit <= ACTION_ADMIN; bit <<= 1) {
		if (rules_decide(r, &id, repository, (enum action)bit).allowed !=
		    rules_decide(back, &id, repository, (enum action)bit).allowed)
			abort();
	}
	(void)rules_tag_is_immutable(r, repository, who);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rules, rest, who, repository;
	struct scopes s = { .n = 0 };
	AUTO_JV *doc = NULL;
	struct err e;

	(void)str_cut((struct str){ (const char *)data, size }, '\n', &rules, &rest);
	(void)str_cut(rest, '\n', &who, &repository);
	(void)!scopes_add(&s, repository, &e);
	if (jv_parse_object(rules, 16, &doc, &e) == ERR_OK)
		decide(doc, who, repository);
	return 0;
}
