#include "runtime/image/credfile.h"

#include <errno.h>
#include <limits.h>

#include "base/fd.h"
#include "base/jv.h"
#include "runtime/image/credhelper.h"

#define FILE_BYTES_MAX (4u * 1024 * 1024)
#define DEPTH_MAX 32
#define KEY_MAX 1024
#define DOCKER_HUB "docker.io"
#define DOCKER_HUB_KEY "https://index.docker.io/v1/" /* its name in all these files */

void credential_clear(struct credential *c)
{
	secret_wipe(c, sizeof(*c));
}

bool credential_from_auth(struct credential *ret, struct str auth)
{
	AUTO_SECRET plain;
	struct str user, secret;

	return base64_decode(auth, &plain) &&
	       str_cut((struct str){ plain.p, plain.n }, ':', &user, &secret) && user.n > 0 &&
	       str_copy(user, ret->user, sizeof(ret->user)) &&
	       str_copy(secret, ret->secret, sizeof(ret->secret));
}

static bool credential_to_auth(const struct credential *c, struct secret_buf *ret)
{
	AUTO_SECRET plain;
	int n = snprintf(plain.p, SECRET_MAX, "%s:%s", c->user, c->is_token ? "" : c->secret);

	plain.n = (size_t)n;
	return n > 0 && n < SECRET_MAX && base64_encode((struct str){ plain.p, plain.n }, ret);
}

/* --- Where the files are --- */

struct place {
	const char *variable, *fallback; /* of the environment; below $HOME, NULL: none */
	const char *rest;
};

static const struct place places[] = {
	{ "REGISTRY_AUTH_FILE", NULL, "" },
	{ "XDG_RUNTIME_DIR", NULL, "/containers/auth.json" },
	{ "XDG_CONFIG_HOME", "/.config", "/containers/auth.json" },
	{ "DOCKER_CONFIG", "/.docker", "/config.json" },
};
#define PLACE_NAMED 0
#define PLACE_DOCKER 3

static bool place_path(const struct place *p, char buf[static PATH_MAX])
{
	const char *dir = getenv(p->variable), *home = getenv("HOME");
	int n;

	if (dir && *dir)
		n = snprintf(buf, PATH_MAX, "%s%s", dir, p->rest);
	else if (p->fallback && home && *home)
		n = snprintf(buf, PATH_MAX, "%s%s%s", home, p->fallback, p->rest);
	else
		return false;
	return n < PATH_MAX;
}

static bool write_path(const char *file, char buf[static PATH_MAX])
{
	if (file)
		return snprintf(buf, PATH_MAX, "%s", file) < PATH_MAX;
	return place_path(&places[PLACE_NAMED], buf) || place_path(&places[PLACE_DOCKER], buf);
}

static enum err_kind load(const char *path, struct jv **ret, struct err *e)
{
	AUTO_CLOSE fd = -1;
	AUTO_SBUF text = { 0 };
	enum err_kind k;

	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0); /* it may well be a link */
	if (fd < 0)
		return err_sys(e, __func__, "open %s", path);
	sbuf_init(&text, FILE_BYTES_MAX);
	k = fd_read_rest(fd, &text, path, e);
	if (k == ERR_OK && text.n == 0) { /* "touch auth.json" */
		*ret = jv_pack("{}");
		return *ret ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory");
	}
	if (k == ERR_OK)
		k = jv_parse_object((struct str){ text.p, text.n }, DEPTH_MAX, ret, e);
	return k == ERR_OK || k == ERR_IO ? k : err_wrap(e, "%s", path);
}

/* --- Looking --- */

static struct str strip_scheme(struct str s)
{
	if (str_starts(s, STR("https://")))
		return (struct str){ s.p + 8, s.n - 8 };
	if (str_starts(s, STR("http://")))
		return (struct str){ s.p + 7, s.n - 7 };
	return s;
}

/* Docker once wrote URLs, so "https://HOST/v1/" is HOST as well. */
static bool key_is(struct str key, struct str want)
{
	static const char *const tails[] = { "/v1/", "/v2/", "/v1", "/v2", "/" };

	key = strip_scheme(key);
	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		size_t n = strlen(tails[i]);

		if (key.n > n && memcmp(key.p + key.n - n, tails[i], n) == 0) {
			key.n -= n;
			break;
		}
	}
	if (str_eq(key, STR("index.docker.io")) || str_eq(key, STR("registry-1.docker.io")))
		key = STR(DOCKER_HUB);
	return str_eq_nocase(key, want);
}

static const struct jv *find_key(const struct jv *object, struct str want)
{
	const struct jv *value;
	const char *key;
	void *iter = NULL;

	while (jv_next(object, &iter, &key, &value)) {
		if (key_is(str_of(key), want))
			return value;
	}
	return NULL;
}

/* HOST/a/b, HOST/a, HOST: the most exact entry counts. */
static const struct jv *find_entry(const struct jv *auths, const char *host, const char *repo)
{
	char key[KEY_MAX];
	int n = snprintf(key, sizeof(key), "%s/%s", host, repo ? repo : "");
	const struct jv *found = NULL;

	for (size_t i = (size_t)n; !found && n > 0 && (size_t)n < sizeof(key) && i > 0; i--) {
		if (i == (size_t)n || key[i] == '/')
			found = find_key(auths, (struct str){ key, i });
	}
	return found;
}

static bool take_entry(const struct jv *entry, struct credential *ret)
{
	struct str s, user, secret;

	if (jv_text(jv_member(entry, "identitytoken"), &s) && s.n) {
		ret->is_token = true;
		ret->user[0] = '\0';
		return str_copy(s, ret->secret, sizeof(ret->secret));
	}
	if (jv_text(jv_member(entry, "auth"), &s) && s.n)
		return credential_from_auth(ret, s);
	return jv_text(jv_member(entry, "username"), &user) && user.n &&
	       jv_text(jv_member(entry, "password"), &secret) &&
	       str_copy(user, ret->user, sizeof(ret->user)) &&
	       str_copy(secret, ret->secret, sizeof(ret->secret));
}

static const char *server_of(const char *host)
{
	return strcmp(host, DOCKER_HUB) == 0 ? DOCKER_HUB_KEY : host;
}

/* The helper for a registry: its own, or the one for all. */
static bool helper_of(const struct jv *file, const char *host, char *buf, size_t cap)
{
	const struct jv *own = find_key(jv_member(file, "credHelpers"), str_of(host));
	struct str s;

	return (jv_text(own, &s) || jv_text(jv_member(file, "credsStore"), &s)) && s.n &&
	       str_copy(s, buf, cap);
}

static enum err_kind find_in(const char *path, const char *host, const char *repo,
			     struct credential *ret, struct err *e)
{
	AUTO_JV *file = NULL;
	char helper[128];
	struct err missing;
	enum err_kind k = load(path, &file, &missing);

	if (k != ERR_OK) {
		if (k != ERR_NOT_FOUND)
			*e = missing;
		return k;
	}
	*ret = (struct credential){ 0 };
	if (take_entry(find_entry(jv_member(file, "auths"), host, repo), ret))
		return ERR_OK;
	if (!helper_of(file, host, helper, sizeof(helper)))
		return ERR_NOT_FOUND;
	return credhelper_get(helper, server_of(host), ret, e);
}

enum err_kind credfile_find(const char *file, const char *host, const char *repo,
			    struct credential *ret, struct err *e)
{
	char path[PATH_MAX];
	enum err_kind k = ERR_NOT_FOUND;

	if (file)
		return find_in(file, host, repo, ret, e);
	for (size_t i = 0; k == ERR_NOT_FOUND && i < ARRAY_LEN(places); i++) {
		if (place_path(&places[i], path))
			k = find_in(path, host, repo, ret, e);
	}
	return k;
}

/* --- Writing --- */

static enum err_kind make_parent(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return ERR_OK;
	(void)str_copy((struct str){ path, (size_t)(slash - path) }, dir, sizeof(dir));
	if (sys_mkdirat(AT_FDCWD, dir, 0700) < 0 && errno != EEXIST)
		return err_sys(e, __func__, "make %s", dir);
	return ERR_OK;
}

static enum err_kind write_new(const char *path, const struct sbuf *text, struct err *e)
{
	AUTO_CLOSE fd = -1;
	enum err_kind k;

	(void)sys_unlinkat(AT_FDCWD, path, 0); /* of one who was killed */
	k = fd_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600, &fd, e);
	if (k == ERR_OK)
		k = fd_write_all(fd, text->p, text->n, path, e);
	if (k == ERR_OK && sys_fsync(fd) < 0)
		return err_sys(e, __func__, "fsync %s", path);
	return k;
}

static enum err_kind save(const char *path, const struct jv *file, struct err *e)
{
	AUTO_SBUF text = { 0 };
	char real[PATH_MAX], fresh[PATH_MAX + 8];
	enum err_kind k = make_parent(path, e);

	if (k != ERR_OK)
		return k;
	if (!realpath(path, real)) /* a link stays one */
		(void)snprintf(real, sizeof(real), "%s", path);
	(void)snprintf(fresh, sizeof(fresh), "%s.new", real);
	sbuf_init(&text, FILE_BYTES_MAX);
	jv_dump_pretty(file, 8, &text);
	sbuf_addf(&text, "\n");
	if (text.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", path);
	k = write_new(fresh, &text, e);
	if (k == ERR_OK && sys_renameat(AT_FDCWD, fresh, AT_FDCWD, real) < 0)
		k = err_sys(e, __func__, "replace %s", real);
	return k;
}

/* The object without a member, and with `add` under the name `key`, if there is one.  Consumes add. */
static struct jv *with_member(const struct jv *object, struct str without, const char *key,
			      struct jv *add)
{
	struct jv *copy = jv_pack("{}");
	const struct jv *value;
	const char *name;
	void *iter = NULL;
	bool ok = copy != NULL;

	while (ok && jv_next(object, &iter, &name, &value)) {
		if (!key_is(str_of(name), without))
			ok = jv_set(copy, name, jv_share(value));
	}
	if (ok && add)
		ok = jv_set(copy, key, TAKE(add));
	jv_free(&add);
	if (!ok)
		jv_free(&copy);
	return copy;
}

static enum err_kind replace_entry(const char *path, const struct jv *file, const char *host,
				   struct jv *entry, struct err *e)
{
	struct jv *auths =
	    with_member(jv_member(file, "auths"), str_of(host), server_of(host), entry);
	AUTO_JV *fresh = auths ? with_member(file, STR("auths"), "auths", auths) : NULL;

	return fresh ? save(path, fresh, e)
		     : err_set(e, ERR_NO_MEMORY, __func__, "no memory for %s", path);
}

static enum err_kind load_or_new(const char *path, struct jv **ret, struct err *e)
{
	struct err missing;
	enum err_kind k = load(path, ret, &missing);

	if (k == ERR_NOT_FOUND) {
		*ret = jv_pack("{}");
		return *ret ? ERR_OK : err_set(e, ERR_NO_MEMORY, __func__, "no memory");
	}
	if (k != ERR_OK)
		*e = missing;
	return k;
}

static enum err_kind no_place(struct err *e)
{
	return err_set(e, ERR_INVALID, __func__,
		       "there is no place for passwords: set HOME or REGISTRY_AUTH_FILE");
}

enum err_kind credfile_store(const char *file, const char *host, const struct credential *c,
			     char **ret_where, struct err *e)
{
	AUTO_JV *v = NULL, *entry = NULL;
	AUTO_SECRET auth;
	char path[PATH_MAX], helper[128] = "";
	enum err_kind k;

	if (!write_path(file, path))
		return no_place(e);
	k = load_or_new(path, &v, e);
	if (k != ERR_OK)
		return k;
	if (helper_of(v, host, helper, sizeof(helper))) {
		k = credhelper_store(helper, server_of(host), c, e);
	} else {
		if (!credential_to_auth(c, &auth))
			return err_set(e, ERR_TOO_LARGE, __func__, "the password is too long");
		entry = jv_pack("{s:s, s:s*}", "auth", auth.p, "identitytoken",
				c->is_token ? c->secret : NULL);
		k = replace_entry(path, v, host, TAKE(entry), e);
	}
	if (k == ERR_OK && ret_where &&
	    asprintf(ret_where, "%s%s", helper[0] ? "docker-credential-" : "",
		     helper[0] ? helper : path) < 0)
		*ret_where = NULL;
	return k;
}

enum err_kind credfile_erase(const char *file, const char *host, struct err *e)
{
	AUTO_JV *v = NULL;
	char path[PATH_MAX], helper[128];
	bool there;
	enum err_kind k;

	if (!write_path(file, path))
		return no_place(e);
	k = load_or_new(path, &v, e);
	if (k != ERR_OK)
		return k;
	if (helper_of(v, host, helper, sizeof(helper)))
		return credhelper_erase(helper, server_of(host), e);
	there = find_key(jv_member(v, "auths"), str_of(host)) != NULL;
	if (!there)
		return err_set(e, ERR_NOT_FOUND, __func__, "not logged in to %s (%s)", host, path);
	return replace_entry(path, v, host, NULL, e);
}
