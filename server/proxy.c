#include "server/proxy.h"

#include <arpa/inet.h>

static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

static bool parse_address(struct str text, uint8_t ret[static 16], bool *ret_is_v4)
{
	char z[INET6_ADDRSTRLEN];

	if (!str_copy(text, z, sizeof(z)))
		return false;
	*ret_is_v4 = inet_pton(AF_INET, z, ret + 12) == 1;
	if (*ret_is_v4)
		memcpy(ret, mapped, sizeof(mapped));
	return *ret_is_v4 || inet_pton(AF_INET6, z, ret) == 1;
}

static bool parse_one(struct str text, struct proxies *p)
{
	struct str address, bits;
	uint64_t n = 0;
	bool is_v4, has_bits = str_cut(text, '/', &address, &bits);

	if (p->n == PROXIES_MAX || !parse_address(address, p->items[p->n].bytes, &is_v4))
		return false;
	if (has_bits && (!scan_u64(&bits, is_v4 ? 32 : 128, &n) || !scan_end(&bits)))
		return false;
	p->items[p->n++].bits = has_bits ? (unsigned)n + (is_v4 ? 96 : 0) : 128;
	return true;
}

enum err_kind proxies_parse(struct str list, struct proxies *ret, struct err *e)
{
	struct str rest = list, part, word;

	ret->n = 0;
	while (rest.n) {
		(void)str_cut(rest, ',', &part, &rest);
		part = str_trim(part);
		while (part.n) {
			(void)str_cut(part, ' ', &word, &part);
			if (word.n && !parse_one(word, ret))
				return err_set(
				    e, ERR_INVALID, __func__,
				    "http.trusted_proxies: \"%.*s\" is no address or network",
				    (int)MIN(word.n, (size_t)60), word.p);
		}
	}
	return ERR_OK;
}

static bool is_proxy(const struct proxies *p, const uint8_t address[static 16])
{
	for (size_t i = 0; i < p->n; i++) {
		unsigned whole = p->items[i].bits / 8, rest = p->items[i].bits % 8;
		const uint8_t *net = p->items[i].bytes;

		if (memcmp(net, address, whole) == 0 &&
		    (rest == 0 || (net[whole] ^ address[whole]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

/* The last item of a list, which gets shorter by it. */
static struct str take_last(struct str *list)
{
	const char *comma = list->n ? memrchr(list->p, ',', list->n) : NULL;
	size_t n = comma ? (size_t)(comma - list->p) : 0;
	struct str last = { list->p + n + (comma != NULL), list->n - n - (comma != NULL) };

	list->n = n;
	return str_trim(last);
}

bool proxies_trust(const struct proxies *p, const char *peer)
{
	uint8_t address[16];
	bool is_v4;

	return p->n && parse_address(str_of(peer), address, &is_v4) && is_proxy(p, address);
}

const char *proxies_client(const struct proxies *p, const char *peer, struct str field, char *buf,
			   size_t cap)
{
	uint8_t address[16];
	bool is_v4;
	struct str client;

	if (p->n == 0 || !parse_address(str_of(peer), address, &is_v4) || !is_proxy(p, address))
		return peer;
	do {
		client = take_last(&field);
		if (!parse_address(client, address, &is_v4))
			return peer;
	} while (is_proxy(p, address) && field.n);
	return str_copy(client, buf, cap) ? buf : peer;
}
