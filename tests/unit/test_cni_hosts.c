#include "runtime/net/hosts.h"
#include "runtime/net/names.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/unit.h"

#include "base/fd.h"

#define TEXT_MAX 65536

static const struct extra_case {
	const char *name, *text, *line; /* NULL: refused */
} extras[] = {
	{ "IPv4", "web:10.0.0.1", "10.0.0.1\tweb\n" },
	{ "IPv6", "web:fd00::1", "fd00::1\tweb\n" },
	{ "the host", "web:host-gateway", "10.9.0.1\tweb\n" },
	{ "no address", "web:", NULL },
	{ "no colon", "web", NULL },
	{ "no name", ":10.0.0.1", NULL },
	{ "two words", "a b:10.0.0.1", NULL },
	{ "a line", "a:10.0.0.1\n10.0.0.2 b", NULL },
	{ "another name", "web:db", NULL },
};

static void test_extra(void **state)
{
	const struct extra_case *c = *state;
	const struct ip_net gateway = { .len = 4, .bytes = { 10, 9, 0, 1 } };
	AUTO_FREE char *copy = NULL;
	AUTO_SBUF out;
	struct str name;
	struct ip_net ip;
	struct err e;
	enum err_kind k = hosts_parse_extra(str_of(c->text), &gateway, &name, &ip, &e);

	sbuf_init(&out, TEXT_MAX);
	assert_int_equal(k, c->line ? ERR_OK : ERR_INVALID);
	if (!c->line)
		return;
	copy = strndup(name.p, name.n);
	hosts_add(&out, &ip, (const char *const *)&copy, 1);
	sbuf_add(&out, "", 1);
	assert_string_equal(out.p, c->line);
}

static const struct resolv_case {
	const char *name, *host, *network, *out;
} resolvs[] = {
	{ "as it is", "nameserver 10.0.0.1\nsearch a b\noptions ndots:2\n", "",
	  "search a b\nnameserver 10.0.0.1\noptions ndots:2\n" },
	{ "loopback is left out", "nameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1\n",
	  "", "nameserver 10.0.0.1\n" },
	{ "the network's come first", "nameserver 10.0.0.1\nsearch a\n", "nameserver 10.5.5.5\n",
	  "search a\nnameserver 10.5.5.5\n" },
	{ "the last search counts", "search a\ndomain b\nsearch c d\n", "", "search c d\n" },
	{ "comments and what is not known",
	  "# nameserver 10.0.0.9\n; x\nsortlist 1\nnameserver\n\n", "", "" },
	{ "blanks", "  nameserver\t10.0.0.1  \r\n", "", "nameserver 10.0.0.1\n" },
	{ "a zone is the host's", "nameserver fe80::1%eth0\n", "", "" },
	{ "no line at the end", "nameserver 10.0.0.1", "", "nameserver 10.0.0.1\n" },
	{ "nothing", "", "", "" },
};

static void test_resolv(void **state)
{
	const struct resolv_case *c = *state;
	struct resolv host = { 0 }, network = { 0 };
	AUTO_SBUF out;

	sbuf_init(&out, TEXT_MAX);
	resolv_read(&host, str_of(c->host), false);
	resolv_read(&network, str_of(c->network), true);
	resolv_override(&host, &network);
	resolv_write(&host, &out);
	sbuf_add(&out, "", 1);
	assert_string_equal(out.p, c->out);
}

/* More of something than there is room for is left out. */
static void test_resolv_is_bounded(void **state)
{
	struct resolv r = { 0 };
	AUTO_SBUF text;

	(void)state;
	sbuf_init(&text, TEXT_MAX);
	for (unsigned i = 0; i < 2 * RESOLV_LIST_MAX; i++)
		sbuf_addf(&text, "nameserver 10.0.0.%u\noptions x%u\n", i, i);
	resolv_read(&r, (struct str){ text.p, text.n }, false);
	assert_int_equal(r.n_servers, RESOLV_LIST_MAX);
	assert_int_equal(r.n_options, RESOLV_LIST_MAX);
}

/* ---- names.h ---- */

static const char *read_text(const char *path, struct sbuf *b)
{
	AUTO_CLOSE fd = -1;
	struct err e;

	sbuf_clear(b);
	sbuf_init(b, TEXT_MAX);
	assert_int_equal(fd_open_at(AT_FDCWD, path, O_RDONLY, 0, &fd, &e), ERR_OK);
	assert_int_equal(fd_read_rest(fd, b, path, &e), ERR_OK);
	sbuf_add(b, "", 1);
	return b->p;
}

static void write_text(const char *path, const char *text)
{
	AUTO_CLOSE fd = -1;
	struct err e;

	assert_int_equal(fd_open_at(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644, &fd, &e),
			 ERR_OK);
	assert_int_equal(fd_write_all(fd, text, strlen(text), path, &e), ERR_OK);
}

static void attach(struct cni_box *b)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_RESULT r;
	struct err e;

	cni_box_list("net", "1.0.0", "a", "", &l);
	assert_int_equal(cni_add(&b->cni, &l, &b->attachment, &r, &e), ERR_OK);
}

static const struct container_id C1 = { "c1" };
static const struct net_name NET = { "net" };

static void test_names(void **state)
{
	char path[NAMES_PATH_MAX];
	AUTO_CNI_BOX b;
	AUTO_SBUF text;
	struct err e;

	(void)state;
	cni_box_open(&b);
	sbuf_init(&text, TEXT_MAX);
	cni_box_plugin(&b, "a");
	assert_int_equal(names_create(&b.options, &C1, NULL, STR("head\n"), path, &e), ERR_OK);
	assert_null(strstr(read_text(path, &text), "\tc1"));
	attach(&b);
	assert_int_equal(names_refresh(&b.options, &NET, NULL, &e), ERR_OK);
	assert_non_null(strstr(read_text(path, &text), "\tc1\n"));
	assert_non_null(strstr(text.p, "head\n"));

	/* What the container writes around our part is its own; our part is written anew, once. */
	write_text(
	    path,
	    "first\n# names on its networks, by berth\nforged\n# end of names by berth\nlast\n");
	assert_int_equal(names_refresh(&b.options, &NET, NULL, &e), ERR_OK);
	(void)read_text(path, &text);
	assert_null(strstr(text.p, "forged"));
	assert_ptr_equal(strstr(text.p, "first\n"), text.p);
	assert_non_null(strstr(text.p, "\nlast\n"));

	assert_int_equal(names_remove(&b.options, &C1, &e), ERR_OK);
	assert_int_equal(names_remove(&b.options, &C1, &e), ERR_OK);
	assert_int_equal(names_refresh(&b.options, &NET, &C1, &e), ERR_OK);
	assert_int_not_equal(access(path, F_OK), 0);
}

/* The caller's file stays where it is, and the same one; a link in its place is not followed. */
static void test_names_in_a_file_of_the_caller(void **state)
{
	char file[300], target[300], path[NAMES_PATH_MAX];
	struct stat before, after;
	AUTO_CNI_BOX b;
	AUTO_SBUF text;
	struct err e;

	(void)state;
	cni_box_open(&b);
	sbuf_init(&text, TEXT_MAX);
	cni_box_plugin(&b, "a");
	(void)snprintf(file, sizeof(file), "%s/etc-hosts", b.dir);
	(void)snprintf(target, sizeof(target), "%s/target", b.dir);
	write_text(file, "old\n");
	assert_int_equal(stat(file, &before), 0);
	attach(&b);
	assert_int_equal(names_create(&b.options, &C1, file, STR("head\n"), path, &e), ERR_OK);
	assert_string_equal(path, file);
	assert_non_null(strstr(read_text(file, &text), "\tc1\n"));
	assert_int_equal(stat(file, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);

	write_text(target, "precious\n");
	assert_int_equal(unlink(file), 0);
	assert_int_equal(symlink(target, file), 0);
	assert_int_not_equal(names_refresh(&b.options, &NET, NULL, &e), ERR_OK);
	assert_string_equal(read_text(target, &text), "precious\n");
	assert_int_equal(names_remove(&b.options, &C1, &e), ERR_OK);
	assert_int_equal(access(file, F_OK), 0);
}

int main(void)
{
	(void)cni_box_enter();
	UNIT_TABLE("extra host", test_extra, extras);
	UNIT_TABLE("resolv.conf", test_resolv, resolvs);
	unit_case("resolv.conf is bounded", test_resolv_is_bounded);
	unit_case("names", test_names);
	unit_case("names in a file of the caller", test_names_in_a_file_of_the_caller);
	return unit_run();
}
