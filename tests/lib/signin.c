/*
 * Signs people in at an OpenID provider, for tests that play the browser: signin ENTRY-OF-AUTH.OIDC REDIRECT [SECRET]
 *
 * A line "begin" on stdin is answered by "TICKET URL"; a line "finish STATE TICKET CODE" by "ok IDENTITY GROUP..", or by
 * "KIND MESSAGE".
 */
#include "auth/signin.h"

#define LINE_MAX_BYTES 8192

static void complain(enum err_kind k, const struct err *e)
{
	(void)printf("%s %s\n", err_kind_text(k), e->msg);
}

static void begin(struct signin *s)
{
	AUTO_SIGNIN_START start;
	struct err e;
	enum err_kind k = signin_begin(s, &start, &e);

	if (k == ERR_OK)
		(void)printf("%s %s\n", start.ticket, start.url.p);
	else
		complain(k, &e);
}

static void finish(struct signin *s, struct str rest)
{
	AUTO_IDENTITY *id = NULL;
	struct str state, ticket, code;
	char text[IDENTITY_TEXT_MAX];
	struct err e;
	enum err_kind k;

	(void)str_cut(rest, ' ', &state, &rest);
	(void)str_cut(rest, ' ', &ticket, &code);
	k = signin_finish(s, state, ticket, code, &id, &e);
	if (k != ERR_OK) {
		complain(k, &e);
		return;
	}
	(void)printf("ok %s", identity_text(id, text));
	for (size_t i = 0; i < id->n_groups; i++)
		(void)printf(" %.*s", STR_FMT(id->groups[i]));
	(void)printf("\n");
}

static enum err_kind read_entry(const char *text, struct jv **doc, struct issuer **issuer,
				struct claimmap **map, struct err *e)
{
	struct form f;
	enum err_kind k = jv_parse_object(str_of(text), 16, doc, e);

	if (k != ERR_OK)
		return k;
	form_open(&f, "auth.oidc", *doc, NULL);
	k = issuer_read(&f, issuer, e);
	if (k == ERR_OK)
		k = claimmap_read(&f, map, e);
	return k == ERR_OK ? form_close(&f, e) : k;
}

int main(int argc, char **argv)
{
	struct signin_options o = { .redirect_url = argc > 2 ? argv[2] : NULL,
				    .client_secret = argc > 3 ? argv[3] : NULL,
				    .scope = "openid email" };
	struct issuer *issuer = NULL;
	struct claimmap *map = NULL;
	struct signin *s = NULL;
	AUTO_JV *doc = NULL;
	char line[LINE_MAX_BYTES];
	struct err e;
	enum err_kind k;

	if (argc < 3)
		return 2;
	k = read_entry(argv[1], &doc, &issuer, &map, &e);
	o.issuer = issuer;
	o.map = map;
	if (k == ERR_OK)
		k = signin_new(&o, &s, &e);
	if (k != ERR_OK)
		complain(k, &e);
	while (k == ERR_OK && fgets(line, sizeof(line), stdin)) {
		struct str text = str_trim(str_of(line)), word, rest;

		if (text.n && text.p[text.n - 1] == '\n')
			text.n--;
		(void)str_cut(text, ' ', &word, &rest);
		if (str_eq(word, STR("begin")))
			begin(s);
		else
			finish(s, rest);
		(void)fflush(stdout);
	}
	signin_free(&s);
	claimmap_free(&map);
	issuer_free(&issuer);
	return k == ERR_OK ? 0 : 1;
}
