#include "runtime/net/hosts.h"

#include "runtime/net/wants.h"

#define GATEWAY_WORD "host-gateway"

void hosts_add_localhost(struct sbuf *out)
{
	sbuf_add_str(out, STR("127.0.0.1\tlocalhost\n"
			      "::1\tlocalhost ip6-localhost ip6-loopback\n"));
}

void hosts_add(struct sbuf *out, const struct ip_net *ip, const char *const *names, size_t n)
{
	char text[IP_TEXT_MAX];

	if (n == 0 || ip->len == 0)
		return;
	sbuf_addf(out, "%s\t", ip_text(ip, text));
	for (size_t i = 0; i < n; i++)
		sbuf_addf(out, "%s%s", i ? " " : "", names[i]);
	sbuf_add(out, "\n", 1);
}

enum err_kind hosts_parse_extra(struct str in, const struct ip_net *gateway, struct str *ret_name,
				struct ip_net *ret_ip, struct err *e)
{
	struct str name, ip;

	/* At the first colon: names have none, addresses of IPv6 do. */
	if (!str_cut(in, ':', &name, &ip) || !is_host_name(name))
		return err_set(e, ERR_INVALID, __func__, "host \"%.*s\" is not NAME:IP",
			       (int)MIN(in.n, (size_t)80), in.p);
	if (str_eq(ip, STR(GATEWAY_WORD))) {
		if (gateway->len == 0)
			return err_set(e, ERR_INVALID, __func__,
				       "host \"%.*s\": there is no gateway to the host",
				       (int)MIN(in.n, (size_t)80), in.p);
		*ret_ip = *gateway;
	} else if (!ip_parse(ip, ret_ip)) {
		return err_set(e, ERR_INVALID, __func__, "host \"%.*s\": that is no address",
			       (int)MIN(in.n, (size_t)80), in.p);
	}
	*ret_name = name;
	return ERR_OK;
}

static void push(struct str *list, size_t *n, struct str s)
{
	if (*n < RESOLV_LIST_MAX)
		list[(*n)++] = s;
}

static bool is_loopback(const struct ip_net *ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	return ip->len == 4 ? ip->bytes[0] == 127 : memcmp(ip->bytes, one, sizeof(one)) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of a line; false at its end. */
static bool next_word(struct str *line, struct str *word)
{
	size_t n = 0;

	while (line->n && is_blank(line->p[0]))
		*line = (struct str){ line->p + 1, line->n - 1 };
	while (n < line->n && !is_blank(line->p[n]))
		n++;
	*word = (struct str){ line->p, n };
	*line = (struct str){ line->p + n, line->n - n };
	return n > 0;
}

/* A zone ("%eth0") is of the host's interfaces. */
static bool is_server(struct str word, bool loopback)
{
	struct ip_net ip;

	return ip_parse(word, &ip) && (loopback || !is_loopback(&ip));
}

static void read_line(struct resolv *r, struct str line, bool loopback)
{
	struct str key, word;

	if (!next_word(&line, &key))
		return;
	if (str_eq(key, STR("nameserver"))) {
		if (next_word(&line, &word) && is_server(word, loopback))
			push(r->servers, &r->n_servers, word);
	} else if (str_eq(key, STR("search")) || str_eq(key, STR("domain"))) {
		r->n_searches = 0; /* the last one counts */
		while (next_word(&line, &word))
			push(r->searches, &r->n_searches, word);
	} else if (str_eq(key, STR("options"))) {
		while (next_word(&line, &word))
			push(r->options, &r->n_options, word);
	}
}

void resolv_read(struct resolv *r, struct str text, bool loopback)
{
	struct str line;

	while (text.n) {
		(void)str_cut(text, '\n', &line, &text);
		read_line(r, line, loopback);
	}
}

static void override(struct str *list, size_t *n, const struct str *by, size_t n_by)
{
	if (n_by == 0)
		return;
	memcpy(list, by, n_by * sizeof(*by));
	*n = n_by;
}

void resolv_override(struct resolv *r, const struct resolv *by)
{
	override(r->servers, &r->n_servers, by->servers, by->n_servers);
	override(r->searches, &r->n_searches, by->searches, by->n_searches);
	override(r->options, &r->n_options, by->options, by->n_options);
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c <= ' ' || c == 0x7f)
			return false;
	}
	return s.n > 0;
}

static void push_texts(struct str *list, size_t *n, const char *const *texts, size_t n_texts)
{
	for (size_t i = 0; i < n_texts; i++) {
		if (is_word(str_of(texts[i])))
			push(list, n, str_of(texts[i]));
	}
}

void resolv_of_result(struct resolv *r, const struct result_dns *dns)
{
	struct ip_net ip;

	for (size_t i = 0; i < dns->n_nameservers; i++) {
		if (ip_parse(str_of(dns->nameservers[i]), &ip))
			push(r->servers, &r->n_servers, str_of(dns->nameservers[i]));
	}
	push_texts(r->searches, &r->n_searches, dns->search, dns->n_search);
	if (dns->n_search == 0 && is_word(str_of(dns->domain)))
		push(r->searches, &r->n_searches, str_of(dns->domain));
	push_texts(r->options, &r->n_options, dns->options, dns->n_options);
}

static void write_words(const char *key, const struct str *list, size_t n, struct sbuf *out)
{
	if (n == 0)
		return;
	sbuf_addf(out, "%s", key);
	for (size_t i = 0; i < n; i++) {
		sbuf_add(out, " ", 1);
		sbuf_add_str(out, list[i]);
	}
	sbuf_add(out, "\n", 1);
}

void resolv_write(const struct resolv *r, struct sbuf *out)
{
	write_words("search", r->searches, r->n_searches, out);
	for (size_t i = 0; i < r->n_servers; i++)
		write_words("nameserver", &r->servers[i], 1, out);
	write_words("options", r->options, r->n_options, out);
}
