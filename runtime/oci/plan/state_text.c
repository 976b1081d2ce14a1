/* The container's state as hooks and seccomp agents read it. */
#include "runtime/oci/plan/build.h"

#define STATE_BYTES_MAX (1024u * 1024)

static struct jv *annotations_of(const struct spec *s)
{
	const struct jv *v = jv_member(s->document, "annotations");

	return jv_is_object(v) ? jv_share(v) : NULL;
}

/* {"a":1,"pid": */
static char *head_text(struct jv *take, struct arena *a)
{
	AUTO_JV *v = take;
	AUTO_SBUF b;

	sbuf_init(&b, STATE_BYTES_MAX);
	jv_dump(v, &b);
	if (b.failed || b.n < 2)
		return NULL;
	return arena_printf(a, "%.*s,\"pid\":", (int)(b.n - 1), b.p);
}

/* ,"b":2} */
static char *tail_text(struct jv *take, struct arena *a)
{
	AUTO_JV *v = take;
	AUTO_SBUF b;

	sbuf_init(&b, STATE_BYTES_MAX);
	jv_dump(v, &b);
	return b.failed || b.n < 2 ? NULL : arena_printf(a, ",%s", b.p + 1);
}

static struct jv *rest_of(const struct spec *s, const struct plan_options *o)
{
	struct jv *annotations = annotations_of(s);

	if (annotations)
		return jv_pack("{s:s, s:o}", "bundle", o->bundle, "annotations", annotations);
	return jv_pack("{s:s}", "bundle", o->bundle);
}

enum err_kind plan_state_text(const struct spec *s, const struct plan_options *o,
			      const char *status, struct arena *a, struct state_text *ret,
			      struct err *e)
{
	ret->head = head_text(
	    jv_pack("{s:s, s:s, s:s}", "ociVersion", s->version, "id", o->id, "status", status), a);
	ret->tail = tail_text(rest_of(s, o), a);
	return ret->head && ret->tail ? ERR_OK : plan_no_memory(e);
}

/* config-linux.md "The Container Process State" */
enum err_kind plan_agent_state(const struct spec *s, const struct plan_options *o, struct arena *a,
			       const char *parts[3], struct err *e)
{
	const char *metadata = s->linux_.seccomp->listener_metadata;
	struct state_text state;
	enum err_kind k = plan_state_text(s, o, "created", a, &state, e);

	if (k != ERR_OK)
		return k;
	parts[0] = head_text(jv_pack("{s:s, s:[s], s:s}", "ociVersion", SPEC_VERSION, "fds",
				     "seccompFd", "metadata", metadata ? metadata : ""),
			     a);
	parts[1] = arena_printf(a, ",\"state\":%s", state.head);
	parts[2] = arena_printf(a, "%s}", state.tail);
	return parts[0] && parts[1] && parts[2] ? ERR_OK : plan_no_memory(e);
}

enum err_kind plan_hook(const struct spec_hook *h, const struct state_text *state, struct arena *a,
			struct hook_op *ret, struct err *e)
{
	const char **argv = h->args.v;

	if (!h->args.n) {
		argv = arena_array(a, 2, sizeof(*argv));
		if (!argv)
			return plan_no_memory(e);
		argv[0] = h->path;
	}
	*ret = (struct hook_op){ .path = h->path,
				 .argv = (char *const *)(uintptr_t)argv,
				 .envp = (char *const *)(uintptr_t)h->env.v,
				 .timeout_s = h->timeout.set ? (int)h->timeout.v : 0,
				 .state = *state };
	if (!ret->envp) {
		ret->envp = arena_array(a, 1, sizeof(*ret->envp));
		if (!ret->envp)
			return plan_no_memory(e);
	}
	return ERR_OK;
}

enum err_kind plan_hooks(struct plan *p, const struct spec *s, enum hook_kind kind,
			 const struct plan_options *o, struct err *e)
{
	const spec_hooks *list = &s->hooks[kind];
	struct state_text state;
	enum err_kind k = list->n ? plan_state_text(s, o, "created", p->arena, &state, e) : ERR_OK;

	for (size_t i = 0; k == ERR_OK && i < list->n; i++) {
		struct hook_op *op = arena_get(p->arena, sizeof(*op));
		const char *name = arena_printf(p->arena, "hooks.%s[%zu] %s", spec_hook_names[kind],
						i, list->v[i].path);

		if (!op || !name)
			return plan_no_memory(e);
		k = plan_hook(&list->v[i], &state, p->arena, op, e);
		if (k == ERR_OK)
			k = plan_put(p, STEP(HOOK, name, .hook = op), e);
	}
	return k;
}
