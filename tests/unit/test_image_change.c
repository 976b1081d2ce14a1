/* Instructions that change an image's configuration. */
#include "runtime/image/change.h"

#include "tests/lib/unit.h"

struct row {
	const char *name, *before, *instruction, *after;
};

static const struct row rows[] = {
	{ "CMD as a list", "{}", "CMD [\"a\", \"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}" },
	{ "CMD for a shell", "{\"Cmd\":[\"x\"]}", "CMD echo \"a b\" $c",
	  "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo \\\"a b\\\" $c\"]}" },
	{ "no entry point", "{\"Entrypoint\":[\"x\"]}", "ENTRYPOINT []", "{\"Entrypoint\":[]}" },
	{ "a list that is none is for a shell", "{}", "CMD [ -e /x ]",
	  "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[ -e /x ]\"]}" },
	{ "lower case and blanks", "{}", "  user   33:33 ", "{\"User\":\"33:33\"}" },
	{ "ENV of old", "{}", "ENV A the rest  of it", "{\"Env\":[\"A=the rest  of it\"]}" },
	{ "ENV replaces in place", "{\"Env\":[\"A=1\",\"AB=2\"]}",
	  "ENV A=3 C=", "{\"Env\":[\"A=3\",\"AB=2\",\"C=\"]}" },
	{ "ENV with quotes", "{}", "ENV A=\"x y\" B='\\z' C=a\\ b D=\"q\\\"r\"",
	  "{\"Env\":[\"A=x y\",\"B=\\\\z\",\"C=a b\",\"D=q\\\"r\"]}" },
	{ "LABEL beside others", "{\"Labels\":{\"a\":\"1\"}}", "LABEL b=2 \"c d\"=3",
	  "{\"Labels\":{\"a\":\"1\",\"b\":\"2\",\"c d\":\"3\"}}" },
	{ "EXPOSE", "{\"ExposedPorts\":{\"1/udp\":{}}}", "EXPOSE 80 53/udp",
	  "{\"ExposedPorts\":{\"1/udp\":{},\"80/tcp\":{},\"53/udp\":{}}}" },
	{ "VOLUME as a list", "{}", "VOLUME [\"/a b\"]", "{\"Volumes\":{\"/a b\":{}}}" },
	{ "VOLUME as words", "{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}" },
	{ "ONBUILD", "{\"OnBuild\":[\"RUN a\"]}", "ONBUILD RUN b",
	  "{\"OnBuild\":[\"RUN a\",\"RUN b\"]}" },
	{ "what else is there stays", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}",
	  "STOPSIGNAL SIGINT",
	  "{\"Healthcheck\":{\"Test\":[\"NONE\"]},\"StopSignal\":\"SIGINT\"}" },
	{ "WORKDIR", "{\"WorkingDir\":\"/a\"}", "WORKDIR /b c", "{\"WorkingDir\":\"/b c\"}" },
	{ "an unknown instruction", "{}", "RUN x", NULL },
	{ "no value", "{}", "USER", NULL },
	{ "nothing", "{}", "", NULL },
	{ "no name", "{}", "ENV =x", NULL },
	{ "no pair", "{}", "LABEL a=1 b", NULL },
	{ "a quote that does not end", "{}", "ENV A=\"x", NULL },
};

static void test_change(void **state)
{
	const struct row *row = *state;
	AUTO_JV *config = NULL;
	AUTO_SBUF text;
	struct err e;
	enum err_kind k;

	sbuf_init(&text, SBUF_MAX);
	assert_ok(jv_parse_object(str_of(row->before), 8, &config, &e), &e);
	k = change_apply(&config, str_of(row->instruction), &e);
	assert_int_equal(k, row->after ? ERR_OK : ERR_INVALID);
	jv_dump(config, &text);
	assert_false(text.failed);
	assert_string_equal(text.p, row->after ? row->after : row->before);
}

int main(void)
{
	UNIT_TABLE("change", test_change, rows);
	return unit_run();
}
