/* Configuration lists, and single configurations: what is accepted keeps the promises of conflist.h. */
#include "runtime/net/conflist.h"
#include "runtime/net/request.h"

static void check(const struct conflist *l)
{
	struct net_name again;
	struct err e;

	if (net_name_parse(str_of(l->name.s), &again, &e) != ERR_OK || l->version >= CNI_VERSION_N)
		abort();
	if (conflist_count(l) == 0 || conflist_count(l) > CONFLIST_PLUGINS_MAX || l->bytes.failed)
		abort();
	for (size_t i = 0; i < conflist_count(l); i++) {
		const struct request_parts none = { 0 };
		AUTO_JV *rq = NULL;

		if (plugin_type_check(plugin_type(conflist_plugin(l, i)), &e) != ERR_OK)
			abort();
		rq = request_build(l, conflist_plugin(l, i), &none);
		if (!rq)
			abort();
	}
}

/* What the cache would keep of it is the same list. */
static void check_kept(const struct conflist *l)
{
	AUTO_CONFLIST again = { 0 };
	struct err e;

	if (conflist_parse((struct str){ l->bytes.p, l->bytes.n }, &again, &e) != ERR_OK)
		abort();
	if (strcmp(again.name.s, l->name.s) != 0 || again.version != l->version ||
	    conflist_count(&again) != conflist_count(l))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str in = { (const char *)data, n };
	AUTO_CONFLIST list = { 0 };
	AUTO_CONFLIST single = { 0 };
	struct err e;

	if (conflist_parse(in, &list, &e) == ERR_OK) {
		check(&list);
		check_kept(&list);
	}
	if (conflist_parse_single(in, &single, &e) == ERR_OK) {
		check(&single);
		check_kept(&single);
	}
	return 0;
}
