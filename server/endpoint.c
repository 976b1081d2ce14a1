#include "server/endpoint.h"

#include "auth/fetch.h"
#include "base/fd.h"
#include "base/form.h"
#include "base/glob.h"

#define DISTRIBUTION_TYPE "application/vnd.docker.distribution.events.v2+json"
#define CLOUD_TYPE "application/cloudevents+json; charset=utf-8"

/* --- secrets --- */

/* The file's first line; a file with more is no secret of ours. */
static enum err_kind parse_secret(const char *path, const struct sbuf *in, struct secret_buf *ret,
				  struct err *e)
{
	size_t n = in->n;

	while (n && (in->p[n - 1] == '\n' || in->p[n - 1] == '\r'))
		n--;
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)in->p[i] < ' ' || in->p[i] == 0x7f)
			return err_set(e, ERR_INVALID, __func__,
				       "%.150s: a secret is one line of text", path);
	}
	if (n == 0)
		return err_set(e, ERR_INVALID, __func__, "%.150s: no secret in it", path);
	secret_clear(ret);
	memcpy(ret->p, in->p, n);
	ret->p[n] = '\0';
	ret->n = n;
	return ERR_OK;
}

static enum err_kind read_secret(struct endpoint_secret *s, struct err *e)
{
	AUTO_FREE char *real = s->path ? realpath(s->path, NULL) : NULL; /* it may be a link */
	AUTO_SBUF text = { .max = SECRET_MAX };
	enum err_kind k;

	if (!s->path)
		return ERR_OK;
	filewatch_mark(&s->watch);
	k = fd_read_file(AT_FDCWD, real ? real : s->path, &text, e);
	if (k == ERR_OK)
		k = parse_secret(s->path, &text, &s->text, e);
	if (text.p)
		secret_wipe(text.p, text.cap);
	return k;
}

enum err_kind endpoint_read(struct endpoint *ep, struct err *e)
{
	enum err_kind k = read_secret(&ep->secret, e);

	return k == ERR_OK ? read_secret(&ep->authorization, e) : k;
}

static enum err_kind tend_secret(struct endpoint_secret *s, struct err *e)
{
	return s->path && filewatch_changed(&s->watch) ? read_secret(s, e) : ERR_OK;
}

enum err_kind endpoint_tend(struct endpoint *ep, struct err *e)
{
	enum err_kind k = tend_secret(&ep->secret, e);

	return k == ERR_OK ? tend_secret(&ep->authorization, e) : k;
}

void endpoint_clear(struct endpoint *ep)
{
	secret_clear(&ep->secret.text);
	secret_clear(&ep->authorization.text);
}

/* --- options --- */

static void parse_patterns(struct form *f, const char *name, struct endpoint_patterns *ret)
{
	size_t n = form_count(f, name, false);
	const char *why;

	if (n > ENDPOINT_PATTERNS_MAX) {
		form_fail(f, ERR_INVALID, "%s: %d patterns at most", name, ENDPOINT_PATTERNS_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct str item = form_item(f, name, i);

		if (!glob_is_valid(item, &why)) {
			form_fail(f, ERR_INVALID, "the pattern \"%.*s\" %s",
				  (int)MIN(item.n, (size_t)80), item.p, why);
			return;
		}
		ret->items[ret->n++] = item;
	}
}

static bool action_parse(struct str in, enum event_action *ret)
{
	for (unsigned i = 0; i < EVENT_ACTION_N; i++) {
		if (str_eq(in, str_of(event_action_text((enum event_action)i)))) {
			*ret = (enum event_action)i;
			return true;
		}
	}
	return false;
}

static void parse_actions(struct form *f, struct endpoint *ret)
{
	size_t n = form_count(f, "actions", false);

	for (size_t i = 0; i < EVENT_ACTION_N; i++)
		ret->actions[i] = n == 0;
	for (size_t i = 0; i < n; i++) {
		struct str item = form_item(f, "actions", i);
		enum event_action a;

		if (action_parse(item, &a))
			ret->actions[a] = true;
		else
			form_fail(f, ERR_INVALID, "\"%.*s\": actions are push and delete",
				  (int)MIN(item.n, (size_t)80), item.p);
	}
}

static void parse_format(struct form *f, struct endpoint *ret)
{
	struct str text = form_text(f, "format", false);

	ret->is_cloud = str_eq(text, STR("cloudevents"));
	if (text.n && !ret->is_cloud && !str_eq(text, STR("distribution")))
		form_fail(f, ERR_INVALID, "format is distribution or cloudevents");
}

static void parse_url(struct form *f, struct endpoint *ret)
{
	ret->insecure = form_flag(f, "insecure");
	ret->url = form_z(f, "url", true);
	if (!(ret->insecure ? fetch_may_plain(ret->url) : fetch_may(ret->url)))
		form_fail(f, ERR_INVALID,
			  "url must be https://HOST/.., without a user in it; http:// is for this "
			  "machine, or with insecure: true");
}

static void init_secret(struct form *f, const char *name, struct endpoint_secret *s)
{
	s->path = form_optional(f, name);
	if (s->path)
		filewatch_init(&s->watch, s->path);
}

enum err_kind endpoint_parse(const struct jv *entry, struct faults *all, struct endpoint *ret,
			     struct err *e)
{
	struct form f;
	struct str name;

	*ret = (struct endpoint){ .name = "" };
	form_open(&f, "events.endpoints", entry, all);
	name = form_text(&f, "name", true);
	if (name.n &&
	    (!follow_name_is_valid(name) || !str_copy(name, ret->name, sizeof(ret->name))))
		form_fail(&f, ERR_INVALID,
			  "a name has letters a to z, digits and hyphens, %d at most",
			  FOLLOW_NAME_MAX);
	parse_url(&f, ret);
	ret->ca = form_optional(&f, "ca");
	parse_format(&f, ret);
	parse_actions(&f, ret);
	parse_patterns(&f, "repositories", &ret->repositories);
	parse_patterns(&f, "media_types", &ret->media_types);
	init_secret(&f, "secret", &ret->secret);
	init_secret(&f, "authorization", &ret->authorization);
	return form_close(&f, e);
}

/* --- events --- */

static bool has(const struct endpoint_patterns *p, struct str name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (glob_match(p->items[i], name))
			return true;
	}
	return p->n == 0;
}

bool endpoint_wants(const struct endpoint *ep, const struct event *ev)
{
	struct str type = str_of(event_media_type(ev));

	return ep->actions[event_action(ev)] &&
	       has(&ep->repositories, repo_name_str(&ev->record->repo)) &&
	       (type.n == 0 || has(&ep->media_types, type));
}

/* --- requests --- */

/* Pointers come last: the text moves while it grows. */
static void field(struct endpoint_head *h, size_t *at, const char *name, const char *value)
{
	at[h->n++] = h->text.n;
	sbuf_addf(&h->text, "%s: %s", name, value);
	sbuf_add(&h->text, "", 1);
}

static enum err_kind sign(const struct endpoint *ep, struct str body, uint64_t now_wall_ms,
			  struct endpoint_head *h, size_t *at, struct err *e)
{
	char time[32], hex[sizeof("sha256=") + 2 * (size_t)MAC_BYTES] = "sha256=";
	const struct str key = { ep->secret.text.p, ep->secret.text.n };
	uint8_t mac[MAC_BYTES];
	int n = snprintf(time, sizeof(time), "%llu", (unsigned long long)now_wall_ms / 1000);
	const struct str parts[] = { { time, (size_t)n }, STR("."), body };

	if (!hmac_sha256(key, parts, ARRAY_LEN(parts), mac))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to sign");
	hex_lower(mac, sizeof(mac), hex + strlen(hex));
	field(h, at, "X-Berth-Timestamp", time);
	field(h, at, "X-Berth-Signature-256", hex);
	return ERR_OK;
}

enum err_kind endpoint_sign(const struct endpoint *ep, struct str body, uint64_t now_wall_ms,
			    struct endpoint_head *ret, struct err *e)
{
	size_t at[ENDPOINT_FIELDS_MAX];
	enum err_kind k = ERR_OK;

	*ret = (struct endpoint_head){ .n = 0 };
	sbuf_init(&ret->text, ENDPOINT_HEAD_MAX);
	(void)sbuf_reserve(&ret->text, ENDPOINT_HEAD_MAX - 1); /* no copies of secrets behind */
	field(ret, at, "Content-Type", ep->is_cloud ? CLOUD_TYPE : DISTRIBUTION_TYPE);
	field(ret, at, "User-Agent", "berthd/" BERTH_VERSION);
	field(ret, at, "Expect", "");
	if (ep->authorization.path)
		field(ret, at, "Authorization", ep->authorization.text.p);
	if (ep->secret.path)
		k = sign(ep, body, now_wall_ms, ret, at, e);
	if (k == ERR_OK && ret->text.failed)
		k = err_set(e, ERR_NO_MEMORY, __func__, "no memory for a request");
	for (size_t i = 0; k == ERR_OK && i < ret->n; i++)
		ret->fields[i] = ret->text.p + at[i];
	return k;
}

void endpoint_head_clear(struct endpoint_head *h)
{
	if (h->text.p)
		secret_wipe(h->text.p, h->text.cap);
	sbuf_clear(&h->text);
}
