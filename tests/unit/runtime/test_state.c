/* What is kept of a container. */
#include "tests/lib/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "runtime/oci/state/container.h"
#include "runtime/oci/state/state.h"

static struct pair notes[] = { { "a", "1" }, { "b", "\"\n\xc3\xa4" } };

static struct state sample(void)
{
	struct state s = { .version = "1.0.2",
			   .id = "c1",
			   .bundle = "/b",
			   .rootfs = "/b/rootfs",
			   .created = "2024-05-06T07:08:09.123Z",
			   .pid = 4194304,
			   .start_time = INT64_MAX,
			   .owner = 4294967294,
			   .is_committed = true,
			   .has_process = true,
			   .has_poststop = true,
			   .cgroup = { .n = 2, .unit = "berth-c1.scope", .slice = "system.slice" },
			   .rdt_group = "/sys/fs/resctrl/c1" };

	s.cgroup.dirs[0] = (struct cgroup_dir){ "cpu,cpuacct", "/c/cpu", "/c/cpu/c1", false, 3 };
	s.cgroup.dirs[1] = (struct cgroup_dir){ "", "/c/u", "/c/u/c1", true, 0 };
	s.annotations.v = notes;
	s.annotations.n = ARRAY_LEN(notes);
	return s;
}

static void test_round_trip(void **state)
{
	const struct state in = sample();
	struct jv *doc = NULL;
	struct state out;
	AUTO_ARENA a;
	AUTO_SBUF b;
	struct err e;

	(void)state;
	arena_init(&a, 1 << 20);
	sbuf_init(&b, 65536);
	state_write(&in, &b);
	assert_int_equal(state_read((struct str){ b.p, b.n }, &a, &doc, &out, &e), ERR_OK);
	assert_string_equal(out.version, in.version);
	assert_string_equal(out.bundle, in.bundle);
	assert_string_equal(out.created, in.created);
	assert_int_equal(out.pid, in.pid);
	assert_true(out.start_time == in.start_time);
	assert_true(out.owner == in.owner);
	assert_true(out.is_committed && out.has_process && out.has_poststop);
	assert_false(out.has_terminal || out.has_poststart);
	assert_int_equal(out.cgroup.n, 2);
	assert_string_equal(out.cgroup.dirs[0].controllers, "cpu,cpuacct");
	assert_string_equal(out.cgroup.dirs[1].path, "/c/u/c1");
	assert_true(out.cgroup.dirs[0].missing == 3 && out.cgroup.dirs[1].missing == 0);
	assert_true(out.cgroup.dirs[1].is_v2 && !out.cgroup.dirs[0].is_v2);
	assert_string_equal(out.cgroup.unit, in.cgroup.unit);
	assert_string_equal(out.rdt_group, in.rdt_group);
	assert_null(out.rdt_monitor);
	assert_int_equal(out.annotations.n, 2);
	jv_free(&doc);
}

/* Every text that is cut off, or has a byte changed, is told as damage or read as something whole. */
static void test_damage(void **state)
{
	const struct state in = sample();
	AUTO_SBUF b;

	(void)state;
	sbuf_init(&b, 65536);
	state_write(&in, &b);
	for (size_t n = 0; n < b.n; n++) {
		AUTO_ARENA a;
		struct jv *doc = NULL;
		struct state out;
		struct err e;

		arena_init(&a, 1 << 20);
		assert_int_equal(state_read((struct str){ b.p, n }, &a, &doc, &out, &e),
				 ERR_CORRUPT);
		jv_free(&doc);
	}
	for (size_t at = 0; at < b.n; at++) {
		AUTO_ARENA a;
		struct jv *doc = NULL;
		struct state out;
		struct err e;
		enum err_kind k;

		arena_init(&a, 1 << 20);
		b.p[at] = (char)(b.p[at] ^ 0x11);
		k = state_read((struct str){ b.p, b.n }, &a, &doc, &out, &e);
		assert_true(k == ERR_CORRUPT ||
			    (k == ERR_OK && out.id && out.bundle && out.version));
		b.p[at] = (char)(b.p[at] ^ 0x11);
		jv_free(&doc);
	}
}

struct place {
	char path[32];
	int root;
	struct arena arena;
};

static int make_place(void **state)
{
	static struct place p;

	(void)snprintf(p.path, sizeof(p.path), "/tmp/test-state.XXXXXX");
	if (!mkdtemp(p.path))
		return -1;
	p.root = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	arena_init(&p.arena, 1 << 20);
	*state = &p;
	return 0;
}

static int remove_place(void **state)
{
	struct place *p = *state;

	arena_clear(&p->arena);
	fd_close(&p->root);
	return rmdir(p->path);
}

static void make(struct place *p, const char *id, struct container *c)
{
	struct err e;

	assert_int_equal(container_new(p->root, id, &p->arena, c, &e), ERR_OK);
	c->state = sample();
	c->state.id = c->id;
	c->state.pid = getpid();
	assert_true(process_start_time(getpid(), &c->state.start_time));
	assert_int_equal(container_save(c, &e), ERR_OK);
}

static void test_life(void **state)
{
	struct place *p = *state;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	AUTO_CONTAINER other = { .dir = -1, .lock = -1 };
	struct err e;

	assert_int_equal(container_open(p->root, "c1", &p->arena, &other, &e), ERR_NOT_FOUND);
	make(p, "c1", &c);
	assert_int_equal(container_new(p->root, "c1", &p->arena, &other, &e), ERR_EXISTS);
	assert_string_equal(e.msg, "container with given ID already exists");
	assert_int_equal(container_open(p->root, "c1", &p->arena, &other, &e), ERR_OK);
	/* S2: one changes it, everybody may look */
	assert_int_equal(container_lock(&other, 0, &e), ERR_IN_USE);
	fd_close(&c.lock);
	assert_int_equal(container_lock(&other, 0, &e), ERR_OK);
	assert_int_equal(container_remove(&other, &e), ERR_OK);
	/* who waited for the lock meanwhile sees that it is gone */
	assert_int_equal(container_lock(&c, 0, &e), ERR_IN_USE);
	fd_close(&other.lock);
	assert_int_equal(container_lock(&c, 0, &e), ERR_NOT_FOUND);
}

/* S4: a pid that was used again is not our process. */
static void test_pid_reuse(void **state)
{
	struct place *p = *state;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	struct err e;
	int fd;

	make(p, "c1", &c);
	assert_int_equal(container_status(&c), STATUS_RUNNING);
	assert_int_equal(container_pidfd(&c, &fd, &e), ERR_OK);
	fd_close(&fd);
	c.state.start_time++;
	assert_int_equal(container_status(&c), STATUS_STOPPED);
	assert_int_equal(container_pidfd(&c, &fd, &e), ERR_NOT_FOUND);
	c.state.pid = 0;
	assert_int_equal(container_status(&c), STATUS_STOPPED);
	assert_int_equal(container_remove(&c, &e), ERR_OK);
}

static void test_status_of_dead(void **state)
{
	struct place *p = *state;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	siginfo_t info;
	struct err e;
	pid_t child = fork();

	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	make(p, "c1", &c);
	c.state.pid = child;
	assert_true(process_start_time(child, &c.state.start_time));
	assert_int_equal(container_status(&c), STATUS_RUNNING);
	assert_false(container_wait(&c, 20));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_true(container_wait(&c, 10000));
	/* a zombie is as good as gone */
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(container_status(&c), STATUS_STOPPED);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(container_remove(&c, &e), ERR_OK);
}

/* A listener on the start socket is a process that waits for start. */
static void test_status_of_created(void **state)
{
	struct place *p = *state;
	AUTO_CONTAINER c = { .dir = -1, .lock = -1 };
	AUTO_CLOSE listener = -1;
	AUTO_CLOSE peer = -1;
	struct err e;

	make(p, "c1", &c);
	assert_int_equal(container_bind_start(&c, &listener, &e), ERR_OK);
	assert_int_equal(container_connect_start(&c, &peer, &e), ERR_NOT_FOUND);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(container_status(&c), STATUS_CREATED);
	assert_int_equal(container_connect_start(&c, &peer, &e), ERR_OK);
	assert_int_equal(container_status(&c), STATUS_CREATED); /* also with a full line */
	fd_close(&listener);
	assert_int_equal(container_status(&c), STATUS_RUNNING);
	c.state.is_committed = false;
	assert_int_equal(container_status(&c), STATUS_CREATING);
	fd_close(&c.lock);
	assert_int_equal(container_status(&c), STATUS_STOPPED);
	assert_int_equal(container_remove(&c, &e), ERR_OK);
}

static enum err_kind visit(struct container *c, void *arg, struct err *e)
{
	struct sbuf *b = arg;

	(void)e;
	sbuf_addf(b, "%s ", c->id);
	return ERR_OK;
}

/* What is no container, or not yet one, is passed over. */
static void test_each(void **state)
{
	static const char *const ids[] = { "b", "a", "c" };
	struct place *p = *state;
	struct container all[ARRAY_LEN(ids)];
	AUTO_SBUF b;
	struct err e;

	sbuf_init(&b, 4096);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++)
		make(p, ids[i], &all[i]);
	assert_int_equal(mkdirat(p->root, "~seccomp", 0700), 0);
	assert_int_equal(mkdirat(p->root, "empty", 0700), 0);
	assert_int_equal(symlinkat("a", p->root, "link"), 0);
	assert_int_equal(container_each(p->root, visit, &b, &e), ERR_OK);
	assert_string_equal(b.p, "a b c ");
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		assert_int_equal(container_remove(&all[i], &e), ERR_OK);
		container_close(&all[i]);
	}
	(void)unlinkat(p->root, "~seccomp", AT_REMOVEDIR);
	(void)unlinkat(p->root, "empty", AT_REMOVEDIR);
	(void)unlinkat(p->root, "link", 0);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		PLACED(test_life),
		PLACED(test_pid_reuse),
		PLACED(test_status_of_dead),
		PLACED(test_status_of_created),
		PLACED(test_each),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
