/* Configurations of images, chain IDs, platforms. */
#include "runtime/image/config.h"

#include "tests/lib/unit.h"

#define D(c) "sha256:" c c c c c c c c c c c c c c c c
#define DIFFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" D("aaaa") "\",\"" D("bbbb") "\"]}"

static enum err_kind parse(const char *text, struct image_config *ret, struct err *e)
{
	return config_parse(str_of(text), ret, e);
}

static void test_whole(void **state)
{
	AUTO_CONFIG c = { 0 };
	struct err e;

	(void)state;
	assert_ok(
	    parse("{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Env\":[\"A=1\"],"
		  "\"Entrypoint\":[\"/e\"],\"Cmd\":null,\"User\":\"u:g\",\"WorkingDir\":\"/w\","
		  "\"Labels\":{\"k\":\"v\"},\"StopSignal\":\"SIGUSR1\"}," DIFFS "}",
		  &c, &e),
	    &e);
	assert_string_equal(c.platform.arch, "amd64");
	assert_int_equal(c.env.n, 1);
	assert_string_equal(c.entrypoint.v[0], "/e");
	assert_int_equal(c.cmd.n, 0);
	assert_string_equal(c.user, "u:g");
	assert_string_equal(c.workdir, "/w");
	assert_string_equal(c.stop_signal, "SIGUSR1");
	assert_string_equal(c.labels.values[0], "v");
	assert_int_equal(c.n_diff_ids, 2);
}

struct bad_row {
	const char *name;
};
static const struct bad_row bad[] = {
	{ "{}" },
	{ "[]" },
	{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[7]}}" },
	{ "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:12\"]}}" },
	{ "{\"config\":{\"Env\":\"A=1\"}," DIFFS "}" },
	{ "{\"config\":{\"Env\":[1]}," DIFFS "}" },
	{ "{\"config\":{\"User\":7}," DIFFS "}" },
};

static void test_bad(void **state)
{
	const struct bad_row *row = *state;
	AUTO_CONFIG c = { 0 };
	struct err e;

	assert_int_not_equal(parse(row->name, &c, &e), ERR_OK);
}

/* printf 'DIFF0 DIFF1' | sha256sum */
static void test_chain(void **state)
{
	AUTO_CONFIG c = { 0 };
	struct digest chain[2];
	char text[DIGEST_TEXT_MAX];
	struct err e;

	(void)state;
	assert_ok(parse("{\"architecture\":\"amd64\",\"os\":\"linux\"," DIFFS "}", &c, &e), &e);
	assert_ok(config_chain_ids(c.diff_ids, 2, chain, &e), &e);
	assert_true(digest_eq(&chain[0], &c.diff_ids[0]));
	assert_string_equal(
	    digest_text(&chain[1], text),
	    "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c");
}

struct platform_row {
	const char *name, *want, *have;
	bool fits;
};
static const struct platform_row platforms[] = {
	{ "same", "linux/amd64", "linux/amd64", true },
	{ "another architecture", "linux/amd64", "linux/arm64", false },
	{ "another system", "linux/amd64", "windows/amd64", false },
	{ "an older variant will do", "linux/arm/v7", "linux/arm/v6", true },
	{ "a newer one will not", "linux/arm/v6", "linux/arm/v7", false },
	{ "arm64 is v8", "linux/arm64", "linux/arm64/v8", true },
	{ "other words", "linux/x86_64", "linux/amd64", true },
};

static void test_platform(void **state)
{
	const struct platform_row *row = *state;
	struct platform want, have;
	struct err e;

	assert_ok(platform_parse(&want, str_of(row->want), &e), &e);
	assert_ok(platform_parse(&have, str_of(row->have), &e), &e);
	assert_int_equal(platform_rank(&want, &have) > 0, row->fits);
}

int main(void)
{
	unit_case("whole", test_whole);
	UNIT_TABLE("bad", test_bad, bad);
	unit_case("chain IDs", test_chain);
	UNIT_TABLE("platform", test_platform, platforms);
	return unit_run();
}
