#include "auth/apikey.h"

#include "base/clock.h"
#include "base/edit.h"
#include "base/glob.h"
#include "base/hash.h"
#include "base/secret.h"

#define PREFIX "berth_"
#define FILE_MAX (16u * 1024 * 1024)

struct item {
	struct apikey key;
	struct jv *doc; /* its texts point into it */
	struct grant *grants;
};

struct apikeys {
	_Atomic unsigned refs;
	size_t n;
	struct item *items;  /* as in the file */
	struct item **by_id; /* in order of id */
};

/* --- the file: a JSON object a line --- */

static enum err_kind refuse(const char *path, unsigned long line, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "%.150s:%lu: %s", path, line, what);
}

static bool read_hex(const struct jv *v, uint8_t *ret, size_t n)
{
	struct str text;

	if (!jv_text(v, &text) || text.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_value(text.p[2 * i]), lo = hex_value(text.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static bool read_grant(const struct jv *v, struct grant *ret)
{
	const struct jv *list = jv_member(v, "allow");
	const char *why;

	ret->actions = 0;
	for (size_t i = 0; i < jv_count(list); i++) {
		struct str text;
		enum action a;

		if (!jv_text(jv_at(list, i), &text) || !action_parse(text, &a))
			return false;
		ret->actions |= (unsigned)a;
	}
	return jv_text(jv_member(v, "repositories"), &ret->repositories) &&
	       glob_is_valid(ret->repositories, &why) && ret->actions;
}

static bool read_grants(struct item *it)
{
	const struct jv *list = jv_member(it->doc, "grants");
	size_t n = jv_count(list);

	it->key.has_grants = list != NULL;
	if (!list)
		return true;
	if (!jv_is_array(list) || n == 0 || n > APIKEY_GRANTS_MAX)
		return false;
	it->grants = calloc(n, sizeof(*it->grants));
	it->key.grants = (struct grants){ n, it->grants };
	for (size_t i = 0; i < n && it->grants; i++) {
		if (!read_grant(jv_at(list, i), &it->grants[i]))
			return false;
	}
	return it->grants != NULL;
}

/* What is not known is let pass. */
static bool read_item(struct item *it)
{
	struct apikey *k = &it->key;
	const struct jv *until = jv_member(it->doc, "until");
	struct str id;

	return jv_text(jv_member(it->doc, "id"), &id) && id.n == 2 * APIKEY_ID_BYTES &&
	       str_copy(id, k->id, sizeof(k->id)) &&
	       jv_text(jv_member(it->doc, "name"), &k->name) && name_is_valid(k->name) &&
	       read_hex(jv_member(it->doc, "digest"), k->digest, sizeof(k->digest)) &&
	       jv_uint(jv_member(it->doc, "made"), &k->made_ms) &&
	       (!until || jv_uint(until, &k->until_ms)) &&
	       (jv_text(jv_member(it->doc, "by"), &k->by) || !jv_member(it->doc, "by")) &&
	       read_grants(it);
}

static enum err_kind parse_line(struct apikeys *k, struct str line, const char *path,
				unsigned long number, struct err *e)
{
	struct item *it = &k->items[k->n];
	enum err_kind kind = jv_parse_object(line, 8, &it->doc, e);

	if (kind == ERR_INVALID)
		return refuse(path, number, "not a key of ours", e);
	if (kind != ERR_OK)
		return kind;
	k->n++;
	it->key.is_user = jv_is_true(jv_member(it->doc, "user"));
	if (!read_item(it))
		return refuse(path, number, "not a key of ours", e);
	return ERR_OK;
}

static int compare_ids(const void *a, const void *b)
{
	const struct item *const *x = a, *const *y = b;

	return strcmp((*x)->key.id, (*y)->key.id);
}

static enum err_kind sort_items(struct apikeys *k, const char *path, struct err *e)
{
	for (size_t i = 0; i < k->n; i++)
		k->by_id[i] = &k->items[i];
	if (k->n)
		qsort(k->by_id, k->n, sizeof(k->by_id[0]), compare_ids);
	for (size_t i = 1; i < k->n; i++) {
		if (compare_ids(&k->by_id[i - 1], &k->by_id[i]) == 0)
			return err_set(e, ERR_INVALID, __func__, "%.150s: key %s is there twice",
				       path, k->by_id[i]->key.id);
	}
	return ERR_OK;
}

enum err_kind apikeys_parse(struct str text, const char *path, struct apikeys **ret, struct err *e)
{
	AUTO_APIKEYS *k = calloc(1, sizeof(*k));
	struct str rest = text, line;
	unsigned long number = 0;
	size_t lines = 1;
	enum err_kind kind = ERR_OK;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (k) {
		k->refs = 1;
		k->items = calloc(lines, sizeof(k->items[0]));
		k->by_id = calloc(lines, sizeof(k->by_id[0]));
	}
	if (!k || !k->items || !k->by_id)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for keys");
	while (rest.n && kind == ERR_OK) {
		(void)str_cut(rest, '\n', &line, &rest);
		number++;
		if (str_trim(line).n)
			kind = parse_line(k, line, path, number, e);
	}
	if (kind == ERR_OK)
		kind = sort_items(k, path, e);
	if (kind == ERR_OK)
		*ret = TAKE(k);
	return kind;
}

enum err_kind apikeys_load(const char *path, struct apikeys **ret, struct err *e)
{
	AUTO_SBUF b;
	enum err_kind k;

	sbuf_init(&b, FILE_MAX);
	k = fd_read_path(path, &b, e);
	if (k == ERR_NOT_FOUND) /* none was made yet */
		k = ERR_OK;
	return k == ERR_OK ? apikeys_parse((struct str){ b.p ? b.p : "", b.n }, path, ret, e) : k;
}

struct apikeys *apikeys_get(struct apikeys *k)
{
	k->refs++;
	return k;
}

void apikeys_put(struct apikeys **take)
{
	struct apikeys *k = TAKE(*take);

	if (!k || --k->refs)
		return;
	for (size_t i = 0; i < k->n; i++) {
		jv_free(&k->items[i].doc);
		free(k->items[i].grants);
	}
	free(k->items);
	free(k->by_id);
	free(k);
}

size_t apikeys_count(const struct apikeys *k)
{
	return k->n;
}

const struct apikey *apikeys_at(const struct apikeys *k, size_t i)
{
	return &k->items[i].key;
}

/* --- looking up --- */

static bool split(struct str text, struct str *ret_id)
{
	const size_t n_prefix = sizeof(PREFIX) - 1, n_id = 2 * APIKEY_ID_BYTES;

	if (text.n != APIKEY_TEXT_MAX - 1 || !str_starts(text, STR(PREFIX)) ||
	    text.p[n_prefix + n_id] != '_')
		return false;
	*ret_id = (struct str){ text.p + n_prefix, n_id };
	return true;
}

bool apikey_looks_like_one(struct str text)
{
	struct str id;

	return split(text, &id);
}

static bool counts(const struct apikey *k, uint64_t now)
{
	return k->until_ms == 0 || now < k->until_ms;
}

const struct apikey *apikeys_by_id(const struct apikeys *k, struct str id, uint64_t now_wall_ms)
{
	struct item like, *key = &like, **found;

	if (!str_copy(id, like.key.id, sizeof(like.key.id)) || k->n == 0)
		return NULL;
	found = bsearch(&key, k->by_id, k->n, sizeof(k->by_id[0]), compare_ids);
	return found && counts(&(*found)->key, now_wall_ms) ? &(*found)->key : NULL;
}

const struct apikey *apikeys_find(const struct apikeys *k, struct str text, uint64_t now_wall_ms)
{
	const struct apikey *key;
	struct digest d;
	struct str id;
	struct err e;

	if (!split(text, &id))
		return NULL;
	key = apikeys_by_id(k, id, now_wall_ms);
	if (!key || hash_bytes(DIGEST_SHA256, text.p, text.n, &d, &e) != ERR_OK)
		return NULL;
	return secret_eq(d.bytes, key->digest, sizeof(key->digest)) ? key : NULL;
}

/* --- edits --- */

static struct jv *grants_value(const struct grants *g)
{
	AUTO_JV *list = jv_new_array();

	for (size_t i = 0; list && i < g->n; i++) {
		static const struct {
			enum action action;
			const char *name;
		} words[] = { { ACTION_PULL, "pull" },
			      { ACTION_PUSH, "push" },
			      { ACTION_DELETE, "delete" },
			      { ACTION_ADMIN, "admin" } };
		const struct grant *it = &g->items[i];
		struct jv *actions = jv_new_array();
		bool ok = actions != NULL;

		for (size_t j = 0; j < ARRAY_LEN(words) && ok; j++) {
			if (it->actions & (unsigned)words[j].action)
				ok = jv_append(actions, jv_pack("s", words[j].name));
		}
		if (!ok) {
			jv_free(&actions);
			return NULL;
		}
		if (!jv_append(list, jv_pack("{s:s%, s:o}", "repositories", it->repositories.p,
					     it->repositories.n, "allow", actions)))
			return NULL;
	}
	return TAKE(list);
}

static void add_line(struct sbuf *b, const struct apikey *k, const char *digest)
{
	AUTO_JV *v = jv_pack("{s:s, s:s%, s:s, s:I, s:I, s:s%}", "id", k->id, "name", k->name.p,
			     k->name.n, "digest", digest, "made", (long long)k->made_ms, "until",
			     (long long)k->until_ms, "by", k->by.p ? k->by.p : "", k->by.n);

	if (v && k->is_user && !jv_set(v, "user", jv_pack("b", 1)))
		jv_free(&v);
	if (v && k->has_grants && !jv_set(v, "grants", grants_value(&k->grants)))
		jv_free(&v);
	jv_dump(v, b);
	sbuf_add(b, "\n", 1);
}

static void make_text(char id[static APIKEY_ID_MAX], char text[static APIKEY_TEXT_MAX])
{
	uint8_t random[APIKEY_ID_BYTES + APIKEY_SECRET_BYTES];
	char secret[2 * APIKEY_SECRET_BYTES];

	random_bytes(random, sizeof(random));
	hex_lower(random, APIKEY_ID_BYTES, id);
	id[2 * APIKEY_ID_BYTES] = '\0';
	hex_lower(random + APIKEY_ID_BYTES, APIKEY_SECRET_BYTES, secret);
	(void)snprintf(text, APIKEY_TEXT_MAX, PREFIX "%s_%.*s", id, (int)sizeof(secret), secret);
	secret_wipe(random, sizeof(random));
	secret_wipe(secret, sizeof(secret));
}

static enum err_kind open_good(struct edit *ed, const char *path, struct apikeys **ret,
			       struct err *e)
{
	enum err_kind k = edit_open(ed, path, FILE_MAX, 0640, e);

	return k == ERR_OK ? apikeys_parse((struct str){ ed->old.p, ed->old.n }, path, ret, e) : k;
}

enum err_kind apikey_add(const char *path, const struct apikey *like,
			 char ret_text[static APIKEY_TEXT_MAX], struct err *e)
{
	AUTO_APIKEYS *old = NULL;
	AUTO_EDIT ed = EDIT_INIT;
	struct apikey k = *like;
	char hex[DIGEST_HEX_MAX + 1];
	struct digest d;
	enum err_kind kind = open_good(&ed, path, &old, e);

	if (kind != ERR_OK)
		return kind;
	make_text(k.id, ret_text);
	k.made_ms = wall_ms();
	kind = hash_bytes(DIGEST_SHA256, ret_text, strlen(ret_text), &d, e);
	if (kind != ERR_OK)
		return kind;
	sbuf_add(&ed.new, ed.old.p, ed.old.n);
	if (ed.old.n && ed.old.p[ed.old.n - 1] != '\n')
		sbuf_add(&ed.new, "\n", 1);
	add_line(&ed.new, &k, digest_hex(&d, hex));
	return edit_save(&ed, e);
}

enum err_kind apikey_remove(const char *path, struct str id_or_name, size_t *ret_n, struct err *e)
{
	AUTO_APIKEYS *old = NULL;
	AUTO_EDIT ed = EDIT_INIT;
	struct str rest, line;
	size_t i = 0;
	enum err_kind k = open_good(&ed, path, &old, e);

	*ret_n = 0;
	if (k != ERR_OK)
		return k;
	rest = (struct str){ ed.old.p, ed.old.n };
	while (rest.n) {
		(void)str_cut(rest, '\n', &line, &rest);
		if (str_trim(line).n) { /* the i'th that was parsed */
			const struct apikey *key = &old->items[i++].key;

			if (str_eq(id_or_name, str_of(key->id)) || str_eq(id_or_name, key->name)) {
				(*ret_n)++;
				continue;
			}
		}
		sbuf_add_str(&ed.new, line);
		sbuf_add(&ed.new, "\n", 1);
	}
	if (*ret_n == 0)
		return err_set(e, ERR_NOT_FOUND, __func__, "there is no key %.100s", id_or_name.p);
	return edit_save(&ed, e);
}
