#include "runtime/image/endpoint.h"

#include <errno.h>
#include <limits.h>

#include "base/fd.h"
#include "runtime/image/url.h"

#define CERTS_MAX (4u * 1024 * 1024) /* of one registry */

/* Docker Hub is called by one name and lives at another. */
static const char *address_of(const char *registry)
{
	return strcmp(registry, "docker.io") == 0 ? "registry-1.docker.io" : registry;
}

/* --- Certificates (E1) --- */

struct certs {
	struct arena *arena;
	const char *dir;
	int dir_fd;
	struct sbuf pem;
	const char *cert, *key;
};

static bool ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && strcmp(name + n - m, suffix) == 0;
}

static enum err_kind add_ca(struct certs *c, const char *name, struct err *e)
{
	enum err_kind k;
	AUTO_CLOSE fd = sys_openat(c->dir_fd, name, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return err_sys(e, __func__, "open %s/%s", c->dir, name);
	k = fd_read_rest(fd, &c->pem, name, e);
	sbuf_add(&c->pem, "\n", 1);
	return k;
}

static enum err_kind add_pair(struct certs *c, const char *name, struct err *e)
{
	size_t stem = strlen(name) - (sizeof(".cert") - 1);
	const char *key = arena_printf(c->arena, "%s/%.*s.key", c->dir, (int)stem, name);

	c->cert = arena_printf(c->arena, "%s/%s", c->dir, name);
	c->key = key;
	if (!c->cert || !key)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	if (faccessat(AT_FDCWD, key, R_OK, 0) < 0)
		return err_sys(e, __func__, "key of %s/%s: %s", c->dir, name, key);
	return ERR_OK;
}

static enum err_kind add_cert(void *arg, const char *name, struct err *e)
{
	struct certs *c = arg;

	if (ends_in(name, ".crt"))
		return add_ca(c, name, e);
	return ends_in(name, ".cert") && !c->cert ? add_pair(c, name, e) : ERR_OK;
}

static enum err_kind read_certs(struct certs *c, const char *dir, struct err *e)
{
	AUTO_CLOSE fd = sys_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			   ? ERR_OK
			   : err_sys(e, __func__, "open %s", dir);
	c->dir = dir;
	c->dir_fd = fd;
	return fd_list_dir(fd, ".", add_cert, c, e);
}

static enum err_kind find_certs(struct endpoint *ep, struct err *e)
{
	static const char *const dirs[] = { "/etc/containers/certs.d", "/etc/docker/certs.d" };
	struct certs c = { .arena = &ep->arena };
	const char *home = getenv("HOME");
	char dir[PATH_MAX];
	enum err_kind k = ERR_OK;

	sbuf_init(&c.pem, CERTS_MAX);
	if (home && snprintf(dir, sizeof(dir), "%s/.config/containers/certs.d/%s", home,
			     ep->registry) < (int)sizeof(dir))
		k = read_certs(&c, dir, e);
	for (size_t i = 0; k == ERR_OK && i < ARRAY_LEN(dirs); i++) {
		(void)snprintf(dir, sizeof(dir), "%s/%s", dirs[i], ep->registry);
		k = read_certs(&c, dir, e);
	}
	if (k == ERR_OK && c.pem.n) {
		ep->tls.ca_pem =
		    c.pem.failed ? NULL : arena_text(&ep->arena, (struct str){ c.pem.p, c.pem.n });
		if (!ep->tls.ca_pem)
			k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for certificates");
	}
	ep->tls.cert_file = c.cert;
	ep->tls.key_file = c.key;
	sbuf_clear(&c.pem);
	return k;
}

/* --- Names --- */

/* A mirror: "https://HOST/PREFIX", "HOST/PREFIX", "HOST". */
static bool parse_name(struct endpoint *ep, const char *name)
{
	struct url u;
	struct str in = str_of(name), host, prefix;

	if (url_parse(&u, in)) {
		ep->is_http = !u.is_https;
		ep->scheme_is_known = true;
		in = (struct str){ strstr(name, "://") + 3, 0 };
		in.n = strlen(in.p);
	}
	(void)str_cut(in, '/', &host, &prefix);
	while (prefix.n && prefix.p[prefix.n - 1] == '/')
		prefix.n--;
	if (str_starts(prefix, STR("v2/")))
		prefix = (struct str){ prefix.p + 3, prefix.n - 3 };
	if (!reference_host_parse(ep->registry, host) || prefix.n > REPO_NAME_MAX)
		return false;
	if (prefix.n)
		(void)snprintf(ep->prefix, sizeof(ep->prefix), "%.*s/", STR_FMT(prefix));
	(void)snprintf(ep->host, sizeof(ep->host), "%s", address_of(ep->registry));
	return true;
}

static bool is_loopback(const char *host)
{
	char name[REFERENCE_HOST_MAX + 1];
	const char *end = host[0] == '[' ? strchr(host, ']') + 1 : host + strcspn(host, ":");

	return str_copy((struct str){ host, (size_t)(end - host) }, name, sizeof(name)) &&
	       host_is_loopback(name);
}

enum err_kind endpoint_new(const char *name, const struct regconf *conf, enum tls_verify verify,
			   struct endpoint **ret, struct err *e)
{
	struct endpoint *ep = calloc(1, sizeof(*ep));
	bool insecure;
	enum err_kind k;

	if (!ep)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a registry");
	arena_init(&ep->arena, 2u * CERTS_MAX);
	if (!parse_name(ep, name)) {
		endpoint_free(&ep);
		return err_set(e, ERR_INVALID, __func__, "\"%.100s\" is no registry", name);
	}
	ep->conf = regconf_find(conf, ep->registry);
	insecure = (ep->conf && ep->conf->insecure) || is_loopback(ep->host);
	if (verify != TLS_DEFAULT)
		insecure = verify == TLS_SKIP;
	ep->tls.unverified = insecure;
	ep->may_use_http = insecure;
	k = find_certs(ep, e);
	if (k != ERR_OK)
		endpoint_free(&ep);
	else
		*ret = ep;
	return k;
}

void endpoint_free(struct endpoint **take)
{
	struct endpoint *ep = TAKE(*take);

	if (!ep)
		return;
	while (ep->tokens) {
		struct endpoint_token *t = ep->tokens;

		ep->tokens = t->next;
		if (t->text)
			secret_wipe(t->text, strlen(t->text));
		free(t->text);
		free(t);
	}
	credential_clear(&ep->credential);
	arena_clear(&ep->arena);
	free(ep);
}

void endpoint_url(const struct endpoint *ep, const struct repo_name *repo, const char *rest,
		  struct sbuf *b)
{
	sbuf_addf(b, "%s://%s/v2/", ep->is_http ? "http" : "https", ep->host);
	if (repo)
		sbuf_addf(b, "%s%s%s", ep->prefix, repo->s, rest);
}
