/*
 * A power cut after each system call: of what was not synced all is lost, or some of it by chance.  What was
 * acknowledged is there at the next start, and the step that was cut off left all of its effect or nothing.
 */
#include "base/sys.h"
#include "tests/fault/disk.h"
#include "tests/fault/steps.h"
#include "tests/lib/fixture.h"
#include "tests/lib/unit.h"

#define CALLS_MIN 300
#define ROUNDS 3 /* POWER_ROUNDS sets another number */

static unsigned long golden[STEPS_N + 1];

static struct {
	struct disk *disk;
	unsigned luck;
	unsigned long calls;
	unsigned at; /* steps that were acknowledged */
	bool open;   /* the first start came to its end */
} now;

/* Looks at what the power cut left, and goes on with it. */
static void check_after_cut(const char *call)
{
	char root[64];
	struct store *st = NULL;
	struct err e = { 0 };
	unsigned long seen;

	temp_dir_make(root, sizeof(root));
	disk_copy(now.disk, root, now.luck ? now.luck + (unsigned)now.calls : 0);
	if (steps_open(root, &st, &e) != ERR_OK)
		fail_msg("power cut after call %lu, %s: open: %s", now.calls, call, e.msg);
	seen = steps_probe(st);
	if (seen != golden[now.at] && (now.at == STEPS_N || seen != golden[now.at + 1]))
		fail_msg("power cut after call %lu, %s, when \"%s\" was acknowledged: %lx is seen, "
			 "not %lx",
			 now.calls, call, now.at ? steps_name(now.at - 1) : "open", seen,
			 golden[now.at]);
	if (seen == golden[now.at] && now.at < STEPS_N && steps_run(st, now.at, &e) != ERR_OK)
		fail_msg("power cut after call %lu, %s: \"%s\" cannot be repeated: %s", now.calls,
			 call, steps_name(now.at), e.msg);
	store_close(&st);
	temp_dir_remove(root);
}

static void on_call(const char *call, int fd)
{
	(void)disk_note(now.disk, call, fd);
	now.calls++;
	check_after_cut(call);
}

static void cut_everywhere(unsigned luck)
{
	char root[64];
	struct store *st = NULL;
	struct err e;

	temp_dir_make(root, sizeof(root));
	now.disk = disk_begin(root);
	now.luck = luck;
	now.calls = 0;
	now.at = 0;
	fault_observe(on_call);
	assert_int_equal(steps_open(root, &st, &e), ERR_OK);
	for (unsigned i = 0; i < STEPS_N; i++) {
		assert_int_equal(steps_run(st, i, &e), ERR_OK);
		now.at = i + 1;
	}
	store_close(&st);
	fault_observe(NULL);
	assert_in_range(now.calls, CALLS_MIN, 100000);
	disk_end(&now.disk);
	temp_dir_remove(root);
}

static void test_all_is_lost(void **state)
{
	(void)state;
	cut_everywhere(0);
}

static void test_some_is_lost(void **state)
{
	const char *rounds = getenv("POWER_ROUNDS");
	unsigned n = rounds ? (unsigned)strtoul(rounds, NULL, 10) : ROUNDS;

	(void)state;
	for (unsigned i = 1; i <= n; i++)
		cut_everywhere(i * 1000003);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_is_lost),
		cmocka_unit_test(test_some_is_lost),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	steps_golden(golden);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
