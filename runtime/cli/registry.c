#include "runtime/cli/registry.h"

enum err_kind registry_credential(struct registry_args *a, const char *text, struct err *e)
{
	struct str user, password;

	if (!str_cut(str_of(text), ':', &user, &password) || user.n == 0 ||
	    !str_copy(user, a->given.user, sizeof(a->given.user)) ||
	    !str_copy(password, a->given.secret, sizeof(a->given.secret)))
		return err_set(e, ERR_INVALID, __func__, "--creds wants USER:PASSWORD");
	a->has_given = true;
	return ERR_OK;
}

enum err_kind registry_client(struct registry_args *a, struct client **ret, struct err *e)
{
	static const enum tls_verify verify[] = {
		[OPT_UNSET] = TLS_DEFAULT, [OPT_TRUE] = TLS_VERIFY, [OPT_FALSE] = TLS_SKIP
	};
	struct client_options o = { .authfile = a->authfile,
				    .registries = a->registries,
				    .verify = verify[a->tls_verify] };
	enum err_kind k = a->creds ? registry_credential(a, a->creds, e) : ERR_OK;

	if (a->has_given)
		o.given = &a->given;
	return k == ERR_OK ? client_new(&o, ret, e) : k;
}

enum err_kind registry_reference(const char *text, struct reference *ret, struct err *e)
{
	size_t scheme = sizeof(REGISTRY_SCHEME) - 1;

	if (strncmp(text, REGISTRY_SCHEME, scheme) == 0)
		text += scheme;
	return reference_parse(ret, str_of(text), e);
}
