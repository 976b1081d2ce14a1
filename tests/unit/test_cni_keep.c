#include "runtime/net/attachments.h"
#include "runtime/net/keep.h"
#include "runtime/net/ports.h"
#include "tests/lib/cni_box.h"
#include "tests/lib/unit.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/fd.h"

static const struct container_id C1 = { "c1" };

/* A process in a network namespace of its own, which waits to be killed. */
static pid_t container_start(void)
{
	int ready[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(pid > 0);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return pid;
}

static void container_end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static enum err_kind count(void *arg, const struct container_id *container, struct err *e)
{
	unsigned *n = arg;

	(void)e;
	*n += strcmp(container->s, "c1") == 0;
	return ERR_OK;
}

static unsigned dead(const struct cni_box *b)
{
	unsigned n = 0;
	struct err e;

	assert_int_equal(keep_each_dead(&b->options, count, &n, &e), ERR_OK);
	return n;
}

static void test_keep(void **state)
{
	char path[NETNS_PATH_MAX];
	AUTO_CNI_BOX b;
	struct err e;
	pid_t pid;

	(void)state;
	cni_box_open(&b);
	assert_int_equal(dead(&b), 0);
	pid = container_start();
	assert_int_equal(keep_namespace(&b.options, &C1, pid, path, &e), ERR_OK);
	assert_true(keep_is_kept(&b.options, path));
	assert_false(keep_is_kept(&b.options, b.netns));
	assert_true(keep_is_alive(&b.options, path));
	assert_true(keep_is_alive(&b.options, b.netns));
	assert_int_equal(keep_release(&b.options, &C1, true, &e), ERR_OK);
	assert_true(keep_is_alive(&b.options, path)); /* nothing dead to release */

	container_end(pid);
	assert_false(keep_is_alive(&b.options, path));
	assert_int_equal(netns_check(path, &e), ERR_OK); /* K1 */
	assert_int_equal(dead(&b), 1);
	assert_int_equal(keep_release(&b.options, &C1, true, &e), ERR_OK);
	assert_int_equal(dead(&b), 0);
	assert_int_equal(netns_check(path, &e), ERR_NOT_FOUND);
	assert_int_equal(keep_release(&b.options, &C1, false, &e), ERR_OK);
}

/* The next life of a container takes the place of the last, whether that was released or not. */
static void test_keep_again(void **state)
{
	char path[NETNS_PATH_MAX];
	AUTO_CNI_BOX b;
	struct err e;
	pid_t first, second;

	(void)state;
	cni_box_open(&b);
	first = container_start();
	assert_int_equal(keep_namespace(&b.options, &C1, first, path, &e), ERR_OK);
	container_end(first);
	second = container_start();
	assert_int_equal(keep_namespace(&b.options, &C1, second, path, &e), ERR_OK);
	assert_true(keep_is_alive(&b.options, path));
	container_end(second);
	assert_int_equal(keep_release(&b.options, &C1, false, &e), ERR_OK);
}

/* K2: a number that was given again is of a process somewhere else. */
static void test_number_given_again(void **state)
{
	char path[NETNS_PATH_MAX], pid_path[NETNS_PATH_MAX], text[32];
	AUTO_CNI_BOX b;
	AUTO_CLOSE fd = -1;
	struct err e;
	pid_t pid, other;

	(void)state;
	cni_box_open(&b);
	pid = container_start();
	other = container_start();
	assert_int_equal(keep_namespace(&b.options, &C1, pid, path, &e), ERR_OK);
	(void)snprintf(pid_path, sizeof(pid_path), "%s/pids/c1", b.state);
	(void)snprintf(text, sizeof(text), "%d\n", (int)other);
	assert_int_equal(fd_open_at(AT_FDCWD, pid_path, O_WRONLY | O_TRUNC, 0, &fd, &e), ERR_OK);
	assert_int_equal(fd_write_all(fd, text, strlen(text), pid_path, &e), ERR_OK);
	assert_false(keep_is_alive(&b.options, path));
	container_end(pid);
	container_end(other);
	assert_int_equal(keep_release(&b.options, &C1, false, &e), ERR_OK);
}

static void test_keep_refused(void **state)
{
	char path[NETNS_PATH_MAX];
	AUTO_CNI_BOX b;
	struct err e;
	pid_t pid;

	(void)state;
	cni_box_open(&b);
	assert_int_equal(keep_namespace(&b.options, &C1, getpid(), path, &e), ERR_DENIED);
	pid = container_start();
	container_end(pid);
	assert_int_equal(keep_namespace(&b.options, &C1, pid, path, &e), ERR_NOT_FOUND);
	assert_int_equal(dead(&b), 0);
}

/* ---- what is attached to kept namespaces ---- */

static void add(struct cni_box *b, const char *netns)
{
	AUTO_CONFLIST l = { 0 };
	AUTO_RESULT r;
	struct err e;

	cni_box_list("net", "1.0.0", "a", "", &l);
	b->attachment.netns = netns;
	assert_int_equal(cni_add(&b->cni, &l, &b->attachment, &r, &e), ERR_OK);
}

static void test_sweep(void **state)
{
	char path[NETNS_PATH_MAX];
	unsigned removed = 77;
	AUTO_CNI_BOX b;
	struct err e;
	pid_t pid;

	(void)state;
	cni_box_open(&b);
	cni_box_plugin(&b, "a");
	pid = container_start();
	assert_int_equal(keep_namespace(&b.options, &C1, pid, path, &e), ERR_OK);
	add(&b, path);
	assert_string_equal(cni_box_calls(&b), "a ADD");
	assert_int_equal(attachments_sweep(&b.cni, &removed, &e), ERR_OK);
	assert_int_equal(removed, 0);
	assert_int_equal(cni_box_cached(&b), 1);

	container_end(pid);
	cni_box_behaviour(&b, "a", "DEL", "exit 1");
	assert_int_equal(attachments_sweep(&b.cni, &removed, &e), ERR_IO);
	assert_int_equal(cni_box_cached(&b), 1);
	assert_int_equal(netns_check(path, &e), ERR_OK); /* for the next time */
	cni_box_behaviour(&b, "a", "DEL", "exit 0");
	assert_int_equal(attachments_sweep(&b.cni, &removed, &e), ERR_OK);
	assert_int_equal(removed, 1);
	assert_int_equal(cni_box_cached(&b), 0);
	assert_int_equal(netns_check(path, &e), ERR_NOT_FOUND);
}

/* Namespaces that others made are theirs, and whether they live is not known here. */
static void test_sweep_leaves_others(void **state)
{
	unsigned removed = 77;
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	cni_box_plugin(&b, "a");
	add(&b, b.netns);
	assert_int_equal(netns_remove(b.netns, &e), ERR_OK);
	assert_int_equal(attachments_sweep(&b.cni, &removed, &e), ERR_OK);
	assert_int_equal(removed, 0);
	assert_int_equal(cni_box_cached(&b), 1);
}

/* ---- ports.h ---- */

static const struct claim_case {
	const char *name, *theirs, *mine;
	bool free;
} claims[] = {
	{ "the same", "\"hostPort\":80,\"protocol\":\"tcp\"",
	  "\"hostPort\":80,\"protocol\":\"tcp\"", false },
	{ "another", "\"hostPort\":80,\"protocol\":\"tcp\"", "\"hostPort\":81,\"protocol\":\"tcp\"",
	  true },
	{ "another protocol", "\"hostPort\":80,\"protocol\":\"tcp\"",
	  "\"hostPort\":80,\"protocol\":\"udp\"", true },
	{ "TCP unless it is said", "\"hostPort\":80", "\"hostPort\":80,\"protocol\":\"TCP\"",
	  false },
	{ "all and one address", "\"hostPort\":80", "\"hostPort\":80,\"hostIP\":\"127.0.0.1\"",
	  false },
	{ "one address and all", "\"hostPort\":80,\"hostIP\":\"127.0.0.1\"",
	  "\"hostPort\":80,\"hostIP\":\"0.0.0.0\"", false },
	{ "two addresses", "\"hostPort\":80,\"hostIP\":\"127.0.0.1\"",
	  "\"hostPort\":80,\"hostIP\":\"127.0.0.2\"", true },
	{ "two families", "\"hostPort\":80,\"hostIP\":\"0.0.0.0\"",
	  "\"hostPort\":80,\"hostIP\":\"::\"", true },
	{ "no port of the host", "\"hostPort\":0", "\"hostPort\":0", true },
};

static struct jv *mapping(const char *members)
{
	char text[256];
	struct jv *v = NULL;
	struct err e;

	(void)snprintf(text, sizeof(text), "{\"portMappings\":[{%s}]}", members);
	assert_int_equal(jv_parse_object(str_of(text), 8, &v, &e), ERR_OK);
	return v;
}

static void test_claim(void **state)
{
	const struct claim_case *c = *state;
	AUTO_CACHE_ENTRY mine = { .network = { "net" },
				  .container = { "c2" },
				  .ifname = { "eth0" } };
	AUTO_CLOSE claim = -1;
	AUTO_CNI_BOX b;
	struct err e;
	AUTO_JV *theirs = NULL;

	cni_box_open(&b);
	theirs = mapping(c->theirs);
	cni_box_plugin(&b, "a");
	b.attachment.capabilities = theirs;
	add(&b, b.netns);
	mine.capabilities = mapping(c->mine);
	assert_int_equal(ports_claim(&b.options, &mine, &claim, &e), c->free ? ERR_OK : ERR_IN_USE);
	assert_int_equal(claim >= 0, c->free);
	if (!c->free)
		assert_non_null(strstr(e.msg, "container c1"));
}

/* A container that is gone has no port. */
static void test_claim_of_the_dead(void **state)
{
	AUTO_CACHE_ENTRY mine = { .network = { "net" },
				  .container = { "c2" },
				  .ifname = { "eth0" } };
	AUTO_JV *theirs = NULL;
	AUTO_CLOSE claim = -1;
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	theirs = mapping("\"hostPort\":80");
	cni_box_plugin(&b, "a");
	b.attachment.capabilities = theirs;
	add(&b, b.netns);
	assert_int_equal(netns_remove(b.netns, &e), ERR_OK);
	mine.capabilities = mapping("\"hostPort\":80");
	assert_int_equal(ports_claim(&b.options, &mine, &claim, &e), ERR_OK);
}

static uint64_t number_of(const struct jv *mappings, size_t i)
{
	uint64_t n = 0;

	assert_true(jv_uint(jv_member(jv_at(mappings, i), "hostPort"), &n));
	return n;
}

static void test_choose(void **state)
{
	static const struct container_id c2 = { "c2" };
	AUTO_JV *wanted = NULL;
	AUTO_PORTS_HELD held = { 0 }, more = { 0 };
	AUTO_JV *chosen = NULL;
	AUTO_JV *again = NULL;
	AUTO_JV *nothing = NULL;
	AUTO_CNI_BOX b;
	struct err e;

	(void)state;
	cni_box_open(&b);
	wanted = jv_pack("[{s:i,s:i},{s:i,s:i,s:s},{s:i,s:i}]", "hostPort", 0, "containerPort", 80,
			 "hostPort", 0, "containerPort", 80, "protocol", "udp", "hostPort", 7,
			 "containerPort", 81);
	assert_int_equal(ports_choose(&b.options, &c2, wanted, &chosen, &held, &e), ERR_OK);
	assert_int_equal(jv_count(chosen), 3);
	assert_int_equal(held.n, 2);
	assert_true(number_of(chosen, 0) > 0 && number_of(chosen, 1) > 0);
	assert_int_equal(number_of(chosen, 2), 7);
	assert_int_equal(ports_choose(&b.options, &c2, wanted, &again, &more, &e), ERR_OK);
	assert_int_not_equal(number_of(chosen, 0), number_of(again, 0));
	assert_int_not_equal(number_of(chosen, 1), number_of(again, 1));
	ports_held_close(&more);
	assert_int_equal(ports_choose(&b.options, &c2, NULL, &nothing, &more, &e), ERR_OK);
	assert_null(nothing);
}

int main(void)
{
	(void)cni_box_enter();
	unit_case("a namespace is kept as long as its process is in it", test_keep);
	unit_case("the next life of a container", test_keep_again);
	unit_case("a number that was given again", test_number_given_again);
	unit_case("what is not kept", test_keep_refused);
	unit_case("the dead are swept, again after a failure", test_sweep);
	unit_case("what others made is let be", test_sweep_leaves_others);
	UNIT_TABLE("claim", test_claim, claims);
	unit_case("the dead have no ports", test_claim_of_the_dead);
	unit_case("ports are chosen, each its own", test_choose);
	return unit_run();
}
