#include <unistd.h>

#include "auth/apikey.h"
#include "base/clock.h"
#include "base/glob.h"
#include "base/quantity.h"
#include "base/secret.h"
#include "server/cli.h"
#include "server/guard.h"

struct grant_list {
	size_t n;
	struct grant items[APIKEY_GRANTS_MAX];
};

static enum err_kind parse_allow(struct str list, unsigned *ret, struct err *e)
{
	struct str word;
	bool more = true;

	*ret = 0;
	while (more) {
		enum action a;

		more = str_cut(list, ',', &word, &list);
		if (!action_parse(word, &a))
			return err_set(e, ERR_INVALID, __func__,
				       "--allow: \"%.*s\" must be pull, push, delete or admin",
				       (int)MIN(word.n, (size_t)60), word.p);
		*ret |= (unsigned)a;
	}
	return ERR_OK;
}

static enum err_kind parse_patterns(struct str list, unsigned actions, struct grant_list *ret,
				    struct err *e)
{
	const char *why;
	struct str pattern;
	bool more = true;

	for (ret->n = 0; more; ret->n++) {
		more = str_cut(list, ',', &pattern, &list);
		if (ret->n == APIKEY_GRANTS_MAX)
			return err_set(e, ERR_INVALID, __func__,
				       "--repositories: more than %d patterns", APIKEY_GRANTS_MAX);
		if (!glob_is_valid(pattern, &why))
			return err_set(e, ERR_INVALID, __func__, "--repositories: \"%.*s\" %s",
				       (int)MIN(pattern.n, (size_t)60), pattern.p, why);
		ret->items[ret->n] = (struct grant){ pattern, actions };
	}
	return ERR_OK;
}

static enum err_kind parse_grants(const struct op_call *c, struct apikey *like,
				  struct grant_list *ret, struct err *e)
{
	struct str patterns, allow = STR("pull");
	bool has_allow = op_text(c, "allow", &allow);
	unsigned actions;
	enum err_kind k;

	like->has_grants = op_text(c, "repositories", &patterns);
	if (!like->has_grants && has_allow)
		return err_set(e, ERR_INVALID, __func__, "--allow needs --repositories");
	if (!like->has_grants)
		return ERR_OK;
	k = parse_allow(allow, &actions, e);
	if (k == ERR_OK)
		k = parse_patterns(patterns, actions, ret, e);
	like->grants = (struct grants){ ret->n, ret->items };
	return k;
}

static enum err_kind parse_expiry(const struct op_call *c, uint64_t *ret, struct err *e)
{
	struct str text;
	uint64_t ms;

	if (!op_text(c, "expires", &text))
		return ERR_OK;
	if (!duration_parse(text, &ms) || ms == 0 || ms > INT64_MAX / 2)
		return err_set(e, ERR_INVALID, __func__,
			       "--expires: \"%.60s\" must be a duration such as 90d", text.p);
	*ret = wall_ms() + ms;
	return ERR_OK;
}

/* Made by whoever runs this. */
static enum err_kind add_key(const struct op_call *c, struct apikey *like,
			     char ret_text[static APIKEY_TEXT_MAX], struct err *e)
{
	const struct conf *conf = c->ops->conf;
	char path[GUARD_PATH_MAX], by[32];
	enum err_kind k = guard_make_directory(conf, e);

	(void)snprintf(by, sizeof(by), "uid:%u", (unsigned)getuid());
	like->by = str_of(by);
	return k == ERR_OK ? apikey_add(guard_path(conf, GUARD_KEYS, path), like, ret_text, e) : k;
}

static enum err_kind key_add(struct op_call *c, struct err *e)
{
	char text[APIKEY_TEXT_MAX];
	struct grant_list grants = { .n = 0 };
	struct apikey like = { .is_user = op_flag(c, "user") };
	enum err_kind k = parse_expiry(c, &like.until_ms, e);

	(void)op_text(c, "name", &like.name);
	if (k == ERR_OK)
		k = parse_grants(c, &like, &grants, e);
	if (k == ERR_OK && !name_is_valid(like.name))
		k = err_set(e, ERR_INVALID, __func__, "\"%.60s\" cannot be a name", like.name.p);
	if (k == ERR_OK)
		k = add_key(c, &like, text, e);
	if (k != ERR_OK)
		return k;
	op_emit(c, jv_pack("{s:s%, s:s}", "name", like.name.p, like.name.n, "password", text));
	secret_wipe(text, sizeof(text));
	return ERR_OK;
}

static enum err_kind key_rm(struct op_call *c, struct err *e)
{
	char path[GUARD_PATH_MAX];
	struct str key = { "", 0 };
	size_t n = 0;
	enum err_kind k;

	(void)op_text(c, "key", &key);
	k = apikey_remove(guard_path(c->ops->conf, GUARD_KEYS, path), key, &n, e);
	if (k == ERR_OK)
		op_emit(c, jv_pack("{s:I}", "revoked", (long long)n));
	return k;
}

static struct jv *pack_grants(const struct grants *g)
{
	char actions[ACTIONS_TEXT_MAX];
	struct jv *list = jv_new_array();

	for (size_t i = 0; i < g->n && list; i++) {
		struct str pattern = g->items[i].repositories;

		if (!jv_append(list, jv_pack("{s:s%, s:s}", "repositories", pattern.p, pattern.n,
					     "allow", actions_text(g->items[i].actions, actions))))
			jv_free(&list);
	}
	return list;
}

static struct jv *pack_key(const struct apikey *key, uint64_t now)
{
	char made[TIME_TEXT_MAX], until[TIME_TEXT_MAX] = "";
	struct jv *v = jv_pack("{s:s, s:s, s:s%, s:s, s:s%}", "id", key->id, "kind",
			       key->is_user ? "user" : "key", "name", key->name.p, key->name.n,
			       "made", time_text(key->made_ms, made), "by", key->by.p, key->by.n);

	if (v && key->until_ms &&
	    !jv_set(v, "until",
		    jv_pack("{s:s, s:b}", "time", time_text(key->until_ms, until), "ended",
			    now >= key->until_ms)))
		jv_free(&v);
	if (v && key->has_grants && !jv_set(v, "grants", pack_grants(&key->grants)))
		jv_free(&v);
	return v;
}

static enum err_kind key_ls(struct op_call *c, struct err *e)
{
	AUTO_APIKEYS *keys = NULL;
	char path[GUARD_PATH_MAX];
	enum err_kind k = apikeys_load(guard_path(c->ops->conf, GUARD_KEYS, path), &keys, e);

	for (size_t i = 0; k == ERR_OK && i < apikeys_count(keys); i++)
		op_emit(c, pack_key(apikeys_at(keys, i), wall_ms()));
	return k;
}

static void print_new(const struct jv *item)
{
	(void)printf("%s\n", cli_text(item, "password"));
	(void)fprintf(stderr, "This is the password of %s; it is not shown again.\n",
		      cli_text(item, "name"));
}

static void print_revoked(const struct jv *item)
{
	(void)printf("%llu revoked\n", cli_number(item, "revoked"));
}

static void print_key(const struct jv *item)
{
	const struct jv *until = jv_member(item, "until"), *grants = jv_member(item, "grants");

	(void)printf("%s\t%s:%s\t%s\t%s%s", cli_text(item, "id"), cli_text(item, "kind"),
		     cli_text(item, "name"), cli_text(item, "made"),
		     until ? cli_text(until, "time") : "-",
		     cli_flag(until, "ended") ? " (ended)" : "");
	for (size_t i = 0; i < jv_count(grants); i++)
		(void)printf("\t%s:%s", cli_text(jv_at(grants, i), "repositories"),
			     cli_text(jv_at(grants, i), "allow"));
	(void)printf("%s\n", grants ? "" : "\tas access says");
}

int cli_key(int n_args, char *const *args)
{
	static const struct cli_usage usages[] = {
		{ .word = "add", .alone = key_add, .arguments = "name", .print = print_new },
		{ .word = "rm", .alone = key_rm, .arguments = "key", .print = print_revoked },
		{ .word = "ls", .alone = key_ls, .print = print_key },
	};

	return cli_run("key", usages, ARRAY_LEN(usages), "repositories= allow= expires= user",
		       n_args, args);
}
