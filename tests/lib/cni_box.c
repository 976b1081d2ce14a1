#include "tests/lib/cni_box.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/net/netns.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

static bool entered;

static const char plugin_text[] =
    "#!/bin/sh\n"
    "d=$(dirname $0)/.. t=$(basename $0)\n"
    "n=$(($(cat $d/n 2>/dev/null || echo 0) + 1)); echo $n >$d/n\n"
    "cat >$d/in.$n\n"
    "echo $t $CNI_COMMAND >>$d/calls\n"
    "echo \"$CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS\" >$d/env.$n\n"
    "[ ! -e $d/$t.$CNI_COMMAND ] || . $d/$t.$CNI_COMMAND\n"
    "[ $CNI_COMMAND != ADD ] || echo '{\"cniVersion\":\"1.0.0\",\"interfaces\":[{\"name\":\"eth0\","
    "\"sandbox\":\"/x\"}],\"ips\":[{\"address\":\"10.9.8.7/24\",\"interface\":0}]}'\n"
    "exit 0\n";

bool cni_box_can_run(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (fd >= 0)
		(void)close(fd);
	return fd >= 0;
}

bool cni_box_enter(void)
{
	entered = cni_box_can_run() && unshare(CLONE_NEWNET | CLONE_NEWNS) == 0 &&
		  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
	return entered;
}

static void sub(const struct cni_box *b, const char *name, char buf[static 200])
{
	MUST(snprintf(buf, 200, "%s/%s", b->dir, name) < 200);
	MUST(mkdir(buf, 0755) == 0);
}

void cni_box_open(struct cni_box *b)
{
	char path[NETNS_PATH_MAX], dir[200];
	struct err e;

	*b = (struct cni_box){ .dir = "" };
	if (!entered)
		skip();
	b->dir = unit_dir();
	sub(b, "plugins", b->plugins);
	sub(b, "cache", b->cache);
	sub(b, "state", b->state);
	MUST(snprintf(dir, sizeof(dir), "%s/netns", b->dir) > 0);
	MUST(netns_create(dir, "c1", path, &e) == ERR_OK);
	MUST(snprintf(b->netns, sizeof(b->netns), "%s", path) > 0);
	b->plugin_dirs[0] = b->plugins;
	b->options = (struct cni_options){ .plugin_dirs = b->plugin_dirs,
					   .n_plugin_dirs = 1,
					   .cache_dir = b->cache,
					   .state_dir = b->state };
	cni_init(&b->cni, &b->options);
	b->attachment =
	    (struct attachment){ .container = { "c1" }, .ifname = { "eth0" }, .netns = b->netns };
	for (const char *t = "abc"; *t; t++)
		cni_box_plugin(b, (char[]){ *t, '\0' });
}

void cni_box_close(struct cni_box *b)
{
	char dir[200];
	struct err e;

	if (!b->netns[0])
		return;
	(void)!netns_remove(b->netns, &e);
	(void)snprintf(dir, sizeof(dir), "%s/netns", b->dir);
	(void)umount2(dir, MNT_DETACH);
	cni_clear(&b->cni);
	jv_free(&b->args);
	jv_free(&b->capabilities);
}

void cni_box_plugin(const struct cni_box *b, const char *type)
{
	char path[300];

	file_write(b->plugins, type, STR(plugin_text));
	MUST(snprintf(path, sizeof(path), "%s/%s", b->plugins, type) > 0);
	MUST(chmod(path, 0755) == 0);
}

void cni_box_behaviour(const struct cni_box *b, const char *type, const char *command,
		       const char *shell)
{
	char name[100];

	MUST(snprintf(name, sizeof(name), "%s.%s", type, command) > 0);
	file_write(b->dir, name, str_of(shell));
}

const char *cni_box_calls(struct cni_box *b)
{
	static char text[4096];
	struct sbuf calls;
	size_t n = 0;

	text[0] = '\0';
	if (!file_exists(b->dir, "calls"))
		return text;
	calls = file_read(b->dir, "calls");
	for (size_t i = 0; i + 1 < calls.n && n + 3 < sizeof(text); i++) {
		if (calls.p[i] == '\n')
			text[n++] = ',';
		text[n++] = calls.p[i] == '\n' ? ' ' : calls.p[i];
	}
	text[n] = '\0';
	sbuf_clear(&calls);
	file_write(b->dir, "calls", STR(""));
	file_write(b->dir, "n", STR("0"));
	return text;
}

struct jv *cni_box_input(const struct cni_box *b, unsigned n)
{
	struct jv *v = NULL;
	struct sbuf text;
	char name[32];
	struct err e;

	MUST(snprintf(name, sizeof(name), "in.%u", n) > 0);
	text = file_read(b->dir, name);
	assert_ok(jv_parse_object((struct str){ text.p, text.n }, 32, &v, &e), &e);
	sbuf_clear(&text);
	return v;
}

void cni_box_list(const char *name, const char *version, const char *plugins, const char *more,
		  struct conflist *ret)
{
	struct str rest = str_of(plugins), type;
	AUTO_SBUF text;
	struct err e;

	sbuf_init(&text, 65536);
	sbuf_addf(&text, "{\"name\":\"%s\",\"cniVersion\":\"%s\",%s\"plugins\":[", name, version,
		  more);
	for (bool first = true; rest.n; first = false) {
		(void)str_cut(rest, ' ', &type, &rest);
		sbuf_addf(&text, "%s{\"type\":\"%.*s\"}", first ? "" : ",", STR_FMT(type));
	}
	sbuf_addf(&text, "]}");
	conflist_clear(ret);
	assert_ok(conflist_parse((struct str){ text.p, text.n }, ret, &e), &e);
}

unsigned cni_box_cached(const struct cni_box *b)
{
	return file_exists(b->cache, "results") ? dir_count(b->cache, "results") : 0;
}

/* ---- what must hold ---- */

/* want NULL: it is not there. */
void cni_box_assert_input(const struct cni_box *b, unsigned n, const char *key, const char *want)
{
	AUTO_JV *v = cni_box_input(b, n);
	AUTO_JV *one = NULL;
	AUTO_SBUF out, wanted;

	sbuf_init(&out, 10000);
	sbuf_init(&wanted, 10000);
	if (!want) {
		assert_null(jv_member(v, key));
		return;
	}
	assert_non_null(jv_member(v, key));
	one = jv_pack("[o]", jv_share(jv_member(v, key)));
	jv_dump(one, &out);
	sbuf_addf(&wanted, "[%s]", want);
	assert_string_equal(out.p, wanted.p);
}

void cni_box_assert_env(const struct cni_box *b, unsigned n, const char *want)
{
	struct sbuf text;
	char name[32];

	(void)snprintf(name, sizeof(name), "env.%u", n);
	text = file_read(b->dir, name);
	assert_string_equal(text.p, want);
	sbuf_clear(&text);
}

void cni_box_add_ok(struct cni_box *b, const struct conflist *l)
{
	AUTO_RESULT r;
	struct err e;

	assert_ok(cni_add(&b->cni, l, &b->attachment, &r, &e), &e);
	assert_int_equal(r.n_ips, 1);
}

void cni_box_del_ok(struct cni_box *b, const struct conflist *l)
{
	struct err e;

	assert_ok(cni_del(&b->cni, &l->name, l, &b->attachment, &e), &e);
}

void cni_box_open_added(struct cni_box *b, const char *version, const char *plugins,
			struct conflist *ret)
{
	cni_box_open(b);
	cni_box_list("net", version, plugins, "", ret);
	cni_box_add_ok(b, ret);
	(void)cni_box_calls(b);
}
