#include "auth/rule.h"
#include "base/refname.h"
#include "server/cli.h"

#define GROUPS_MAX 64

/* What the command line asks about. */
struct question {
	struct identity who;
	struct repo_name repository;
	enum action action;
	struct str groups[GROUPS_MAX];
};

static struct str text_of(const struct op_call *c, const char *name)
{
	struct str text = { "", 0 };

	(void)op_text(c, name, &text);
	return text;
}

static enum err_kind parse(const struct op_call *c, struct question *ret, struct err *e)
{
	struct str rest = text_of(c, "groups"), who = text_of(c, "who");
	struct str repository = text_of(c, "repository");

	*ret = (struct question){ .who = { .groups = ret->groups } };
	if (!identity_parse(who, &ret->who.kind, &ret->who.name))
		return err_set(
		    e, ERR_INVALID, __func__,
		    "\"%.80s\" must be anonymous, NAME, or user: key: cert: oidc: issuer: "
		    "with a name",
		    who.p);
	if (!repo_name_parse(&ret->repository, repository))
		return err_set(e, ERR_INVALID, __func__, "\"%.80s\" is no name of a repository",
			       repository.p);
	if (!action_parse(text_of(c, "action"), &ret->action))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.80s\" must be pull, push, delete or admin",
			       text_of(c, "action").p);
	while (rest.n && ret->who.n_groups < GROUPS_MAX)
		(void)str_cut(rest, ',', &ret->groups[ret->who.n_groups++], &rest);
	return ERR_OK;
}

static enum err_kind check_access(struct op_call *c, struct err *e)
{
	AUTO_RULES *r = NULL;
	char why[DECISION_TEXT_MAX];
	struct question q;
	struct decision d;
	enum err_kind k = parse(c, &q, e);

	if (k == ERR_OK)
		k = rules_parse(c->ops->conf->access, c->ops->conf->auth_groups, NULL, &r, e);
	if (k != ERR_OK)
		return k;
	d = rules_decide(r, &q.who, repo_name_str(&q.repository), q.action);
	op_emit(c, jv_pack("{s:b, s:s}", "allowed", d.allowed, "reason", decision_text(&d, why)));
	return ERR_OK;
}

static void print_decision(const struct jv *item)
{
	(void)printf("%s: %s\n", cli_flag(item, "allowed") ? "allowed" : "denied",
		     cli_text(item, "reason"));
}

static enum exit_status judge_decision(const struct jv *item)
{
	return cli_flag(item, "allowed") ? EXIT_FINE : EXIT_FAILED;
}

int cli_check_access(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .alone = check_access,
		  .arguments = "who repository action",
		  .print = print_decision,
		  .judge = judge_decision },
	};

	return cli_run("check-access", usages, ARRAY_LEN(usages), "groups=", n_args, args);
}
