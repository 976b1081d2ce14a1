/* Device rules: lines of version 1, and the eBPF program of version 2, run here by an interpreter of what it uses. */
#include "tests/lib/unit.h"

#include <linux/bpf.h>

#include "runtime/oci/cgroup/device.h"

#define STEPS_MAX 4096
#define R BPF_DEVCG_ACC_READ
#define W BPF_DEVCG_ACC_WRITE
#define M BPF_DEVCG_ACC_MKNOD
#define CHAR BPF_DEVCG_DEV_CHAR
#define BLOCK BPF_DEVCG_DEV_BLOCK

static bool jumps(int op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_JA:
		return true;
	case BPF_JEQ:
		return a == b;
	case BPF_JNE:
		return a != b;
	default:
		fail_msg("jump %#x", (unsigned)op);
		return false;
	}
}

static uint64_t compute(int op, uint64_t a, uint64_t b)
{
	switch (op) {
	case BPF_MOV:
		return b;
	case BPF_AND:
		return a & b;
	case BPF_RSH:
		return a >> b;
	default:
		fail_msg("operation %#x", (unsigned)op);
		return 0;
	}
}

static uint64_t run(const struct bpf_insn *v, size_t n, const struct bpf_cgroup_dev_ctx *ctx)
{
	uint64_t reg[11] = { 0 };
	size_t pc = 0;

	for (unsigned steps = 0; pc < n && steps < STEPS_MAX; steps++) {
		const struct bpf_insn *i = &v[pc++];
		int class = BPF_CLASS(i->code);
		uint64_t operand =
		    BPF_SRC(i->code) == BPF_X ? reg[i->src_reg] : (uint64_t)(int64_t)i->imm;
		uint32_t word;

		if (class == BPF_LDX) {
			assert_true(i->src_reg == 1 && i->off >= 0 && i->off <= 8);
			memcpy(&word, (const char *)ctx + i->off, sizeof(word));
			reg[i->dst_reg] = word;
		} else if (class == BPF_ALU) {
			reg[i->dst_reg] = (uint32_t)compute(
			    BPF_OP(i->code), (uint32_t)reg[i->dst_reg], (uint32_t)operand);
		} else if (class == BPF_ALU64) {
			reg[i->dst_reg] = compute(BPF_OP(i->code), reg[i->dst_reg], operand);
		} else if (i->code == (BPF_JMP | BPF_EXIT)) {
			return reg[0];
		} else if (jumps(BPF_OP(i->code), reg[i->dst_reg], operand)) {
			pc += (size_t)i->off;
		}
	}
	fail_msg("the program does not end");
	return 0;
}

/* "d c1:3rw": deny or allow, type major:minor access. */
static void parse_rules(const char *const *texts, struct spec_device_rule *rules,
			struct spec_resources *r)
{
	r->devices.v = rules;
	for (; texts[r->devices.n]; r->devices.n++) {
		const char *t = texts[r->devices.n];
		struct spec_device_rule *d = &rules[r->devices.n];
		static char types[64][2];
		char *type = types[r->devices.n];
		int major, minor, at = 0;

		type[0] = t[2];
		*d = (struct spec_device_rule){ .allow = t[0] == 'a', .type = type };
		assert_int_equal(sscanf(t + 3, "%d:%d%n", &major, &minor, &at), 2);
		d->major = (struct opt_i64){ major >= 0, major };
		d->minor = (struct opt_i64){ minor >= 0, minor };
		d->access = t + 3 + at;
	}
}

struct probe {
	unsigned type, access, major, minor;
	bool allowed;
};

struct row {
	const char *rules[8];
	struct probe probes[12];
};

static const struct row rows[] = {
	{ { "d a-1:-1rwm", NULL },
	  { { CHAR, R | W, 1, 3, true }, /* /dev/null */
	    { CHAR, R | W, 5, 2, true },
	    { CHAR, R | W, 136, 77, true },
	    { CHAR, M, 10, 229, true }, /* making a node gives no right to open it */
	    { CHAR, R, 10, 229, false },
	    { BLOCK, R, 8, 0, false },
	    { BLOCK, M, 8, 0, true },
	    { BLOCK, R | M, 8, 0, false },
	    { BLOCK, R, 1, 3, false } } },
	{ { "d a-1:-1rwm", "a c10:229rw", NULL },
	  { { CHAR, R, 10, 229, true },
	    { CHAR, R | W, 10, 229, true },
	    { CHAR, R | W | M, 10, 229, true },
	    { CHAR, R, 10, 228, false },
	    { BLOCK, R, 10, 229, false } } },
	/* accesses that different rules grant */
	{ { "d a-1:-1rwm", "a b8:-1r", "a b8:1w", NULL },
	  { { BLOCK, R | W, 8, 1, true },
	    { BLOCK, R | W, 8, 2, false },
	    { BLOCK, R, 8, 2, true } } },
	/* the last rule that speaks of an access decides */
	{ { "d a-1:-1rwm", "a b8:-1rwm", "d b8:1w", NULL },
	  { { BLOCK, R, 8, 1, true },
	    { BLOCK, W, 8, 1, false },
	    { BLOCK, R | W, 8, 1, false },
	    { BLOCK, W, 8, 2, true } } },
	/* also over the defaults */
	{ { "d a-1:-1rwm", "d c1:3w", NULL },
	  { { CHAR, W, 1, 3, false }, { CHAR, R, 1, 3, true }, { CHAR, W, 1, 5, true } } },
	/* nothing forbids everything: all the rest is allowed */
	{ { "d b8:-1rwm", NULL },
	  { { BLOCK, R, 8, 0, false }, { BLOCK, R, 9, 0, true }, { CHAR, W, 10, 1, true } } },
	{ { "a a-1:-1rwm", NULL }, { { BLOCK, R | W | M, 8, 0, true } } },
	/* what came before the last "nothing at all" counts no more */
	{ { "a b8:0rwm", "d a-1:-1rwm", "a b9:0r", NULL },
	  { { BLOCK, R, 8, 0, false }, { BLOCK, R, 9, 0, true } } },
	{ { "d a-1:-1rwm", "a c-1:-1r", NULL },
	  { { CHAR, R, 200, 1, true }, { CHAR, W, 200, 1, false }, { BLOCK, R, 200, 1, false } } },
	{ { "d a-1:-1rwm", "a a-1:-1rwm", NULL }, { { BLOCK, R | W | M, 8, 0, true } } },
};

static void test_program(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct spec_device_rule texts[8];
		struct spec_resources r = { 0 };
		struct device_rules rules;
		struct bpf_insn *v;
		AUTO_ARENA a;
		struct err e;
		size_t n;

		arena_init(&a, 1 << 20);
		parse_rules(rows[i].rules, texts, &r);
		assert_int_equal(device_rules_of(&r, &a, &rules, &e), ERR_OK);
		assert_int_equal(device_program(&rules, &a, &v, &n, &e), ERR_OK);
		for (const struct probe *p = rows[i].probes; p->type; p++) {
			const struct bpf_cgroup_dev_ctx ctx = { .access_type =
								    p->access << 16 | p->type,
								.major = p->major,
								.minor = p->minor };

			if (run(v, n, &ctx) != p->allowed)
				fail_msg("row %zu, type %u access %u %u:%u", i, p->type, p->access,
					 p->major, p->minor);
		}
	}
}

static void test_lines(void **state)
{
	static const struct {
		struct device_rule rule;
		const char *line;
	} lines[] = {
		{ { true, 'c', 1, 3, true, true, true }, "c 1:3 rwm" },
		{ { false, 'b', 8, -1, false, true, false }, "b 8:* w" },
		{ { true, 'a', -1, -1, true, true, true }, "a *:* rwm" },
		{ { true, 'c', -1, 4294967295, true, false, false }, "c *:4294967295 r" },
	};
	char buf[DEVICE_LINE_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		assert_string_equal(device_rule_line(&lines[i].rule, buf), lines[i].line);
}

static void test_no_rules(void **state)
{
	const struct spec_resources r = { 0 };
	struct device_rules rules;
	AUTO_ARENA a;
	struct err e;

	(void)state;
	arena_init(&a, 1 << 20);
	assert_int_equal(device_rules_of(&r, &a, &rules, &e), ERR_OK);
	assert_int_equal(rules.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_program),
					    cmocka_unit_test(test_lines),
					    cmocka_unit_test(test_no_rules) };

	return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
