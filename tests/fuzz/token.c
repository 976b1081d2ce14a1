/* Tokens: what a client sends as a bearer, checked with keys of every sort; and what their claims say. */
#include "auth/token.h"
#include "auth/claimmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char keys_text[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\",\"x\":"
    "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":"
    "\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":"
    "\"AQAB\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJ"
    "rcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-"
    "bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh"
    "9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"o\",\"x\":"
    "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

/* What is read of a payload that its issuer signed. */
static void read_claims(const struct jv *payload)
{
	const struct claims_wanted wanted = { .issuer = STR("i"),
					      .audience = STR("a"),
					      .now_wall_ms = 1000 };
	struct grant grants[TOKEN_GRANTS_MAX];
	uint64_t until;
	size_t n;
	bool catalog;
	struct err e;

	(void)!claims_check(payload, &wanted, &until, &e);
	(void)!claims_access(payload, grants, TOKEN_GRANTS_MAX, &n, &catalog, &e);
}

static void map_claims(const struct jv *payload)
{
	AUTO_JV *doc = jv_pack("{s:[{s:{s:s},s:s,s:[s,s]},{}]}", "map", "when", "a/b", "*", "name",
			       "${sub}", "groups", "x-${c}", "${groups}");
	AUTO_IDENTITY *id = NULL;
	struct claimmap *map = NULL;
	struct form f;
	struct err e;

	form_open(&f, "map", doc, NULL);
	if (claimmap_read(&f, &map, &e) != ERR_OK)
		abort();
	if (claimmap_identify(map, payload, "p", 0, &id, &e) == ERR_OK && !name_is_valid(id->name))
		abort();
	claimmap_free(&map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct jose_keys *keys;
	struct str text = { (const char *)data, size };
	AUTO_JV *payload = NULL, *verified = NULL, *plain = NULL;
	struct err e;

	if (!keys && jose_keys_parse(STR(keys_text), &keys, &e) != ERR_OK)
		abort();
	if (jose_verify(keys, text, &verified, &e) == ERR_OK)
		abort(); /* nobody has signed anything */
	if (jose_peek(text, &payload, &e) == ERR_OK && !jose_looks_like_token(text))
		abort();
	if (payload || jv_parse_object(text, 16, &plain, &e) == ERR_OK) {
		read_claims(payload ? payload : plain);
		map_claims(payload ? payload : plain);
	}
	return 0;
}
