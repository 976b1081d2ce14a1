#include "auth/htpasswd.h"

#include <crypt.h>

#include "auth/identity.h"
#include "base/edit.h"
#include "base/hash.h"
#include "base/secret.h"

#define HASH_BYTES 60 /* $2y$10$ and 53 characters of salt and digest */

struct account {
	struct str name;  /* into text */
	const char *hash; /* HASH_BYTES and a NUL */
	unsigned long line;
};

struct htpasswd {
	_Atomic unsigned refs;
	char *text; /* owned; colons and line ends are NULs */
	size_t n;
	struct account *accounts;   /* in order of name */
	char dummy[HASH_BYTES + 1]; /* of nothing, as costly as any account's */
};

/* --- the file --- */

/* Two digits; 0 if it is none. */
static unsigned hash_cost(struct str hash)
{
	uint64_t cost = 0;
	struct str digits = { hash.p + 4, 2 };

	if (hash.n != HASH_BYTES || hash.p[0] != '$' || hash.p[1] != '2' ||
	    (hash.p[2] != 'b' && hash.p[2] != 'y') || hash.p[3] != '$' || hash.p[6] != '$')
		return 0;
	for (size_t i = 7; i < HASH_BYTES; i++) {
		char c = hash.p[i];

		if (!(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') &&
		    c != '.' && c != '/')
			return 0;
	}
	return scan_u64(&digits, 99, &cost) && scan_end(&digits) ? (unsigned)cost : 0;
}

static enum err_kind refuse(const char *path, unsigned long line, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "%.120s:%lu: %s", path, line, what);
}

static enum err_kind parse_line(const char *path, unsigned long number, struct str line,
				struct account *ret, unsigned *ret_cost, struct err *e)
{
	struct str name, hash;

	if (line.n > HTPASSWD_LINE_MAX)
		return refuse(path, number, "the line is too long", e);
	if (memchr(line.p, '\r', line.n))
		return refuse(path, number, "the line ends with a carriage return", e);
	if (!str_cut(line, ':', &name, &hash))
		return refuse(path, number, "NAME:HASH is wanted", e);
	if (!name_is_valid(name))
		return refuse(path, number, "this cannot be the name of an account", e);
	*ret_cost = hash_cost(hash);
	if (*ret_cost == 0)
		return refuse(path, number, "the hash is not bcrypt ($2b$ or $2y$)", e);
	if (*ret_cost < HTPASSWD_COST_MIN || *ret_cost > HTPASSWD_COST_MAX)
		return refuse(path, number, "the cost of the hash must be from 5 to 16", e);
	*ret = (struct account){ .name = name, .hash = hash.p, .line = number };
	return ERR_OK;
}

static int by_name(const void *a, const void *b)
{
	const struct str *x = &((const struct account *)a)->name;
	const struct str *y = &((const struct account *)b)->name;
	int r = memcmp(x->p, y->p, MIN(x->n, y->n));

	return r ? r : (x->n > y->n) - (x->n < y->n);
}

static enum err_kind parse_lines(struct htpasswd *h, struct str rest, const char *path,
				 unsigned *ret_cost, struct err *e)
{
	unsigned long number = 0;
	enum err_kind k = ERR_OK;

	while (rest.n && k == ERR_OK) {
		struct str line;
		unsigned cost = 0;

		(void)str_cut(rest, '\n', &line, &rest);
		number++;
		if (str_trim(line).n == 0 || line.p[0] == '#')
			continue;
		k = parse_line(path, number, line, &h->accounts[h->n], &cost, e);
		if (k == ERR_OK) {
			h->n++;
			*ret_cost = cost > *ret_cost ? cost : *ret_cost;
		}
	}
	return k;
}

static enum err_kind sort_accounts(struct htpasswd *h, const char *path, struct err *e)
{
	if (h->n)
		qsort(h->accounts, h->n, sizeof(h->accounts[0]), by_name);
	for (size_t i = 1; i < h->n; i++) {
		const struct account *a = &h->accounts[i - 1], *b = &h->accounts[i];

		if (by_name(a, b) == 0)
			return refuse(path, a->line > b->line ? a->line : b->line,
				      "this account was there before", e);
	}
	for (size_t i = 0; i < h->n; i++) /* names and hashes become texts of C */
		h->text[h->accounts[i].hash + HASH_BYTES - h->text] = '\0';
	return ERR_OK;
}

static enum err_kind make_salt(unsigned cost, char ret[static CRYPT_GENSALT_OUTPUT_SIZE],
			       struct err *e)
{
	char random[16];

	random_bytes(random, sizeof(random));
	if (crypt_gensalt_rn("$2y$", cost, random, sizeof(random), ret, CRYPT_GENSALT_OUTPUT_SIZE))
		return ERR_OK;
	return err_set(e, ERR_BUG, __func__, "the system does not know bcrypt");
}

static enum err_kind make_hash(const char *password, unsigned cost, char ret[static HASH_BYTES + 1],
			       struct err *e)
{
	struct crypt_data *data = calloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash;
	enum err_kind k = make_salt(cost, salt, e);

	if (!data)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory to hash a password");
	if (k != ERR_OK) {
		free(data);
		return k;
	}
	hash = crypt_rn(password, salt, data, sizeof(*data));
	if (!hash || !str_copy(str_of(hash), ret, HASH_BYTES + 1))
		k = err_set(e, ERR_BUG, __func__, "the system does not know bcrypt");
	secret_wipe(data, sizeof(*data));
	free(data);
	return k;
}

/* W3: a hash of nothing, for names that have none: a salt, and a digest that no password gives but by luck. */
static enum err_kind make_dummy(unsigned cost, char ret[static HASH_BYTES + 1], struct err *e)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	uint8_t random[HASH_BYTES];
	size_t n;
	enum err_kind k = make_salt(cost, salt, e);

	if (k != ERR_OK)
		return k;
	random_bytes(random, sizeof(random));
	for (n = 0; salt[n]; n++)
		ret[n] = salt[n];
	for (; n < HASH_BYTES; n++)
		ret[n] = letters[random[n] % (sizeof(letters) - 1)];
	ret[HASH_BYTES] = '\0';
	return ERR_OK;
}

enum err_kind htpasswd_parse(struct str text, const char *path, struct htpasswd **ret,
			     struct err *e)
{
	AUTO_HTPASSWD *h = calloc(1, sizeof(*h));
	size_t lines = 1;
	unsigned cost = 0;
	enum err_kind k;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (h) {
		h->refs = 1;
		h->text = malloc(text.n + 1);
		h->accounts = calloc(lines, sizeof(h->accounts[0]));
	}
	if (!h || !h->text || !h->accounts)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %.120s", path);
	if (text.n)
		memcpy(h->text, text.p, text.n);
	h->text[text.n] = '\0';
	k = parse_lines(h, (struct str){ h->text, text.n }, path, &cost, e);
	if (k == ERR_OK)
		k = sort_accounts(h, path, e);
	if (k == ERR_OK)
		k = make_dummy(cost ? cost : HTPASSWD_COST_PRESET, h->dummy, e);
	if (k == ERR_OK)
		*ret = TAKE(h);
	return k;
}

enum err_kind htpasswd_load(const char *path, struct htpasswd **ret, struct err *e)
{
	struct sbuf b;
	enum err_kind k;

	sbuf_init(&b, HTPASSWD_FILE_MAX);
	k = fd_read_path(path, &b, e);
	if (k == ERR_OK)
		k = htpasswd_parse((struct str){ b.p ? b.p : "", b.n }, path, ret, e);
	if (b.p)
		secret_wipe(b.p, b.cap);
	sbuf_clear(&b);
	return k;
}

struct htpasswd *htpasswd_get(struct htpasswd *h)
{
	h->refs++;
	return h;
}

void htpasswd_put(struct htpasswd **take)
{
	struct htpasswd *p = TAKE(*take);

	if (!p || --p->refs)
		return;
	free(p->text);
	free(p->accounts);
	free(p);
}

/* --- accounts --- */

size_t htpasswd_count(const struct htpasswd *h)
{
	return h->n;
}

struct str htpasswd_name(const struct htpasswd *h, size_t i)
{
	return h->accounts[i].name;
}

static const struct account *find(const struct htpasswd *h, struct str name)
{
	const struct account key = { .name = name };

	return h->n ? bsearch(&key, h->accounts, h->n, sizeof(key), by_name) : NULL;
}

enum err_kind htpasswd_valid(struct str name, struct str password, struct err *e)
{
	if (!name_is_valid(name) || memchr(name.p, ':', name.n))
		return err_set(
		    e, ERR_INVALID, __func__,
		    "an account's name has 1 to 255 bytes, without blanks, colons and quotes");
	if (password.n == 0 || memchr(password.p, '\0', password.n))
		return err_set(e, ERR_INVALID, __func__,
			       "a password must not be empty or have a NUL");
	if (password.n > PASSWORD_BYTES_MAX)
		return err_set(e, ERR_INVALID, __func__,
			       "a password may have %d bytes at most: bcrypt does not see more",
			       PASSWORD_BYTES_MAX);
	return ERR_OK;
}

static bool matches(const char *password, const char *hash, struct crypt_data *data)
{
	const char *got = crypt_rn(password, hash, data, sizeof(*data));

	return got && strlen(got) == HASH_BYTES && secret_eq(got, hash, HASH_BYTES);
}

/* W3: what cannot match is hashed all the same. */
enum err_kind htpasswd_check(const struct htpasswd *h, struct str name, struct str password,
			     struct err *e)
{
	const struct account *a = find(h, name);
	struct crypt_data *data = calloc(1, sizeof(*data));
	char text[PASSWORD_BYTES_MAX + 1] = "";
	bool whole = password.n && str_copy(password, text, sizeof(text)), same;

	if (!data)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to check a password");
	same = matches(text, a ? a->hash : h->dummy, data);
	secret_wipe(text, sizeof(text));
	secret_wipe(data, sizeof(*data));
	free(data);
	if (same && whole && a)
		return ERR_OK;
	return err_set(e, ERR_LOGIN, __func__, "wrong name or password");
}

uint64_t htpasswd_version(const struct htpasswd *h, struct str name)
{
	const struct account *a = find(h, name);
	struct digest d;
	struct err e;
	uint64_t v;

	if (!a || hash_bytes(DIGEST_SHA256, a->hash, HASH_BYTES, &d, &e) != ERR_OK)
		return 0;
	memcpy(&v, d.bytes, sizeof(v));
	return v >> 12 | 1; /* a number that JSON can hold, and never 0 */
}

/* --- edits --- */

/* A file that is not good does not get better by a line more. */
static enum err_kind open_good(struct edit *ed, const char *path, struct err *e)
{
	AUTO_HTPASSWD *parsed = NULL;
	enum err_kind k = edit_open(ed, path, HTPASSWD_FILE_MAX, 0640, e);

	return k == ERR_OK ? htpasswd_parse((struct str){ ed->old.p, ed->old.n }, path, &parsed, e)
			   : k;
}

/* Copies the lines but the account's, in whose place `line` comes.  True if it was there. */
static bool copy_lines(struct edit *ed, struct str name, struct str line)
{
	struct str rest = { ed->old.p, ed->old.n };
	bool found = false;

	while (rest.n) {
		struct str old, head, hash;

		(void)str_cut(rest, '\n', &old, &rest);
		(void)str_cut(old, ':', &head, &hash);
		if (old.n && old.p[0] != '#' && str_eq(head, name)) {
			found = true;
			sbuf_add_str(&ed->new, line);
			continue;
		}
		sbuf_add_str(&ed->new, old);
		sbuf_add(&ed->new, "\n", 1);
	}
	return found;
}

enum err_kind htpasswd_set(const char *path, struct str name, struct str password, unsigned cost,
			   bool must_be_new, struct err *e)
{
	char hash[HASH_BYTES + 1], text[PASSWORD_BYTES_MAX + 1],
	    line[NAME_BYTES_MAX + HASH_BYTES + 3];
	AUTO_EDIT ed = EDIT_INIT;
	bool found;
	enum err_kind k = htpasswd_valid(name, password, e);

	if (k != ERR_OK)
		return k;
	(void)str_copy(password, text, sizeof(text));
	k = make_hash(text, cost, hash, e);
	secret_wipe(text, sizeof(text));
	if (k != ERR_OK)
		return k;
	(void)snprintf(line, sizeof(line), "%.*s:%s\n", STR_FMT(name), hash);
	k = open_good(&ed, path, e);
	if (k == ERR_OK) {
		found = copy_lines(&ed, name, str_of(line));
		if (found == must_be_new)
			k = err_set(e, found ? ERR_EXISTS : ERR_NOT_FOUND, __func__,
				    found ? "there is an account %.*s already"
					  : "there is no account %.*s",
				    STR_FMT(name));
		if (!found)
			sbuf_add_str(&ed.new, str_of(line));
	}
	return k == ERR_OK ? edit_save(&ed, e) : k;
}

enum err_kind htpasswd_remove(const char *path, struct str name, struct err *e)
{
	AUTO_EDIT ed = EDIT_INIT;
	enum err_kind k = open_good(&ed, path, e);

	if (k == ERR_OK && !copy_lines(&ed, name, (struct str){ "", 0 }))
		k = err_set(e, ERR_NOT_FOUND, __func__, "there is no account %.*s", STR_FMT(name));
	return k == ERR_OK ? edit_save(&ed, e) : k;
}
