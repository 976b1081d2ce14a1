#include "runtime/net/guard.h"

#include <unistd.h>

#include "runtime/net/exec.h"

#define SCRIPT_MAX (64u * 1024)
#define TIMEOUT_MS 30000u
#define TABLE "inet berth"

static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin" };

static enum err_kind find_nft(char path[static EXEC_PATH_MAX], struct err *e)
{
	return exec_find(STR("nft"), dirs, ARRAY_LEN(dirs), path, e);
}

bool guard_is_possible(void)
{
	char path[EXEC_PATH_MAX];
	struct err ignored;

	return find_nft(path, &ignored) == ERR_OK;
}

/* nft reads its script from a file that has a name. */
static enum err_kind run_nft(const struct sbuf *script, struct err *e)
{
	char path[EXEC_PATH_MAX];
	AUTO_EXEC_OUTPUT o;
	enum err_kind k;
	struct str said;

	exec_output_init(&o);
	if (script->failed)
		return err_set(e, ERR_TOO_LARGE, __func__, "too many networks to guard");
	k = find_nft(path, e);
	if (k == ERR_OK) {
		static const char *const args[] = { "-f", "-", NULL };
		const struct exec_call call = { .path = path,
						.args = args,
						.env = environ,
						.input = { script->p, script->n },
						.timeout_ms = TIMEOUT_MS,
						.keep_fd = -1 };

		k = exec_run(&call, &o, e);
	}
	if (k != ERR_OK || o.status == 0)
		return k;
	said = (struct str){ o.log.p ? o.log.p : "", o.log.n };
	(void)str_cut(said, '\n', &said, &(struct str){ 0 });
	return err_set(e, ERR_IO, __func__, "nft: %.*s", STR_FMT(said));
}

/* The chain is made before it is taken away, so that it need not be there. */
static void start(const struct net_name *network, struct sbuf *script)
{
	sbuf_addf(script,
		  "add table " TABLE "\n"
		  "add chain " TABLE " guard-%s { type filter hook prerouting priority raw; }\n"
		  "flush chain " TABLE " guard-%s\n",
		  network->s, network->s);
}

/* CNI-13: the name stands in a script; the kernel takes quotes and braces in one. */
static bool is_plain(const char *name)
{
	return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					  "0123456789_.-")] == '\0';
}

enum err_kind guard_set(const struct net_name *network, const char *interface,
			const struct subnets *networks, struct err *e)
{
	char text[IP_TEXT_MAX];
	AUTO_SBUF script;

	sbuf_init(&script, SCRIPT_MAX);
	if (!is_plain(interface))
		return err_set(e, ERR_INVALID, __func__,
			       "an interface to guard must be named with letters, digits, \"_\", "
			       "\".\" and \"-\"");
	start(network, &script);
	for (size_t i = 0; i < networks->n; i++)
		sbuf_addf(&script,
			  "add rule " TABLE
			  " guard-%s iifname != { \"%s\", \"lo\" } %s daddr %s drop\n",
			  network->s, interface, networks->p[i].len == 4 ? "ip" : "ip6",
			  ip_net_text(&networks->p[i], text));
	return run_nft(&script, e);
}

enum err_kind guard_remove(const struct net_name *network, struct err *e)
{
	AUTO_SBUF script;

	sbuf_init(&script, SCRIPT_MAX);
	start(network, &script);
	sbuf_addf(&script, "delete chain " TABLE " guard-%s\n", network->s);
	return run_nft(&script, e);
}
