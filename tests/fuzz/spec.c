/* config.json, the process of exec and the resources of update; what is accepted becomes mounts, writes and a state. */
#include "runtime/oci/spec/spec.h"
#include "runtime/oci/cgroup/convert.h"
#include "runtime/oci/plan/mount_opt.h"
#include "runtime/oci/state/state.h"

#define ARENA_MAX (16u * 1024 * 1024)

static void check_resources(const struct spec_resources *r, struct arena *a)
{
	struct cgroup_writes w[2] = { { 0 }, { 0 } };
	struct err e;

	(void)!cgroup_writes_v1(r, a, &w[0], &e);
	(void)!cgroup_writes_v2(r, a, &w[1], &e);
	for (size_t version = 0; version < 2; version++) {
		for (size_t i = 0; i < w[version].n; i++) {
			const struct cgroup_write *x = &w[version].v[i];

			if (!x->controller || !x->file || !x->value || !x->property)
				abort();
			if (strchr(x->file, '/') || strchr(x->controller, '/'))
				abort(); /* a name inside of the group, whatever `unified` says */
		}
	}
}

static void check_process(const struct spec_process *p)
{
	if (!p->cwd || p->cwd[0] != '/')
		abort();
	for (size_t i = 0; i < p->env.n; i++) {
		const char *equals = strchr(p->env.v[i], '=');

		if (!equals || equals == p->env.v[i])
			abort();
	}
}

static void check_spec(struct str text, struct arena *a)
{
	AUTO_SPEC s;
	struct mount_opts opts;
	struct err e = { 0 };

	if (spec_parse(text, &s, &e) != ERR_OK) {
		if (!e.msg[0])
			abort();
		return;
	}
	if (s.process)
		check_process(s.process);
	for (size_t i = 0; i < s.mounts.n; i++)
		(void)!mount_opts_parse(&s.mounts.v[i].options, a, &opts, &e);
	for (size_t kind = 0; kind < HOOK_N; kind++) {
		for (size_t i = 0; i < s.hooks[kind].n; i++) {
			if (s.hooks[kind].v[i].path[0] != '/')
				abort();
		}
	}
	if (s.linux_.resources)
		check_resources(s.linux_.resources, a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str text = { (const char *)data, n };
	AUTO_JV *process_doc = NULL;
	AUTO_JV *resources_doc = NULL;
	AUTO_JV *state_doc = NULL;
	AUTO_ARENA a;
	struct spec_process *process;
	struct spec_resources *resources;
	struct state state;
	struct err e;

	arena_init(&a, ARENA_MAX);
	check_spec(text, &a);
	if (spec_parse_process(text, &a, &process_doc, &process, &e) == ERR_OK)
		check_process(process);
	if (spec_parse_resources(text, &a, &resources_doc, &resources, &e) == ERR_OK)
		check_resources(resources, &a);
	(void)!state_read(text, &a, &state_doc, &state, &e);
	return 0;
}
