#include "auth/rule.h"
#include "base/refname.h"
#include "server/cli.h"

#define USAGE                                                                                      \
	"check-access USER REPOSITORY pull|push|delete|admin [--groups GROUP,..]   --config FILE"
#define GROUPS_MAX 64

/* What the command line asks about. */
struct question {
	struct identity who;
	struct repo_name repository;
	enum action action;
	struct str groups[GROUPS_MAX];
};

static enum err_kind parse(const struct cli_args *a, const char *groups, struct question *ret,
			   struct err *e)
{
	struct str rest = str_of(groups);

	*ret = (struct question){ .who = { .groups = ret->groups } };
	if (!identity_parse(str_of(a->words[0]), &ret->who.kind, &ret->who.name))
		return err_set(
		    e, ERR_INVALID, __func__,
		    "\"%.80s\" must be anonymous, NAME, or user: key: cert: oidc: issuer: "
		    "with a name",
		    a->words[0]);
	if (!repo_name_parse(&ret->repository, str_of(a->words[1])))
		return err_set(e, ERR_INVALID, __func__, "\"%.80s\" is no name of a repository",
			       a->words[1]);
	if (!action_parse(str_of(a->words[2]), &ret->action))
		return err_set(e, ERR_INVALID, __func__,
			       "\"%.80s\" must be pull, push, delete or admin", a->words[2]);
	while (rest.n && ret->who.n_groups < GROUPS_MAX)
		(void)str_cut(rest, ',', &ret->groups[ret->who.n_groups++], &rest);
	return ERR_OK;
}

static enum err_kind answer(const struct cli_args *a, const struct question *q, bool *ret_allowed,
			    struct err *e)
{
	AUTO_RULES *r = NULL;
	char why[DECISION_TEXT_MAX];
	struct decision d;
	enum err_kind k = rules_parse(a->conf.access, a->conf.auth_groups, &r, e);

	if (k != ERR_OK)
		return k;
	d = rules_decide(r, &q->who, repo_name_str(&q->repository), q->action);
	(void)printf("%s: %s\n", d.allowed ? "allowed" : "denied", decision_text(&d, why));
	*ret_allowed = d.allowed;
	return ERR_OK;
}

int cli_check_access(int n_args, char *const *args)
{
	struct cli_option options[] = { { "groups", false, NULL }, { NULL, false, NULL } };
	struct cli_args a;
	struct question q;
	struct err e;
	bool allowed = false;
	int status;

	if (cli_parse(n_args, args, options, &a, &e) != ERR_OK)
		status = cli_complain(EXIT_USAGE, &e);
	else if (a.n_words != 3)
		status = cli_usage(USAGE);
	else if (parse(&a, options[0].value, &q, &e) != ERR_OK ||
		 answer(&a, &q, &allowed, &e) != ERR_OK)
		status = cli_complain(EXIT_USAGE, &e);
	else
		status = allowed ? EXIT_FINE : EXIT_FAILED;
	cli_args_clear(&a);
	return status;
}
