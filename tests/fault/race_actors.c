#include "tests/fault/race_actors.h"

#include "storage/store_impl.h"
#include "storage/trash.h"
#include "storage/upload.h"
#include "tests/lib/unit.h"

struct store *scene;

void scene_open(const char *root, uint64_t trash_keep_ms)
{
	scene = gc_store_of(root, trash_keep_ms);
}

void scene_close(void)
{
	AUTO_SBUF faults = gc_faults(scene, false);

	store_close(&scene);
	assert_string_equal(faults.p, "");
}

/* --- what they do --- */

static struct repo_name repo_name_of(const struct actor *a)
{
	return repo_of(a->repo ? a->repo : "a");
}

static struct digest blob_of(const struct actor *a)
{
	return digest_of(a->text ? a->text : RACE_LAYER);
}

void act_push(void *actor)
{
	struct actor *a = actor;
	AUTO_UPLOAD *u = NULL;
	struct repo_name r = repo_name_of(a);
	struct digest d = blob_of(a);
	const char *text = a->text ? a->text : RACE_LAYER;

	a->k = upload_begin(scene, &r, DIGEST_SHA256, &u, &a->e);
	if (a->k == ERR_OK)
		a->k = upload_write(u, text, strlen(text), &a->e);
	if (a->k == ERR_OK)
		a->k = upload_finish(&u, &d, &a->e);
}

void act_put(void *actor)
{
	struct actor *a = actor;
	AUTO_MANIFEST_PUSHED pushed = { 0 };

	a->k = gc_put(scene, a->repo ? a->repo : "a", a->body, MEDIA_OCI_MANIFEST, a->tag, &pushed,
		      &a->e);
	if (pushed.n_missing == 1)
		a->missing = pushed.missing[0];
}

void act_ask_blob(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a);
	struct digest d = blob_of(a);
	struct blob_info info;

	a->k = repo_blob_find(scene, &r, &d, &info, &a->e);
}

void act_ask_manifest(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a);
	struct manifest_info m = { .bytes = NULL };

	a->k = repo_manifest_find(scene, &r, NULL, &a->digest, &m, &a->e);
	free(m.bytes);
}

void act_collect(void *actor)
{
	struct actor *a = actor;
	struct collect_item items[COLLECT_MAX];
	struct digest watched = a->watched.alg ? a->watched : digest_of(RACE_LAYER);
	size_t found = gc_due(scene, items), n = 0;

	for (size_t i = 0; i < found; i++) {
		if (!a->only_content || items[i].row.why == REVIEW_CONTENT)
			items[n++] = items[i];
	}
	a->verdict = VERDICT_N;
	a->k = store_collect(scene, items, n, &a->e);
	for (size_t i = 0; i < n; i++) {
		if (digest_eq(&items[i].row.digest, &watched))
			a->verdict = items[i].verdict;
	}
}

void act_mount(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a), from = repo_of(a->from ? a->from : "a");
	struct digest d = blob_of(a);

	a->k = repo_blob_mount(scene, &r, a->from ? &from : NULL, &d, NULL, &a->e);
}

void act_restore(void *actor)
{
	struct actor *a = actor;

	a->k = trash_restore(scene, a->trash_id, NULL, &a->e);
}

void act_delete_blob(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a);
	struct digest d = blob_of(a);

	a->k = repo_blob_delete(scene, &r, &d, NULL, &a->e);
}

void act_delete_manifest(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a);

	a->k = repo_manifest_delete(scene, &r, &a->digest, NULL, &a->e);
}

/* To another image, of the same blobs. */
void act_move_tag(void *actor)
{
	struct actor *a = actor;
	AUTO_SBUF other = race_image("other");
	AUTO_MANIFEST_PUSHED pushed = { 0 };

	a->k = gc_put(scene, "a", (struct str){ other.p, other.n }, MEDIA_OCI_MANIFEST, a->tag,
		      &pushed, &a->e);
}

void act_delete_tag(void *actor)
{
	struct actor *a = actor;
	struct repo_name r = repo_name_of(a);
	struct tag_name t = tag_of(a->tag);

	a->k = repo_tag_delete(scene, &r, &t, NULL, &a->e);
}

/* --- running them --- */

void actor_start(struct actor *a, actor_fn *fn, const char *stop)
{
	race_start(&a->racer, fn, a, stop);
}

void actor_stop_at(struct actor *a, actor_fn *fn, const char *stop)
{
	actor_start(a, fn, stop);
	race_at(&a->racer);
}

void actor_end(struct actor *a)
{
	race_end(&a->racer);
}

enum err_kind actor_run(struct actor *a, actor_fn *fn)
{
	fn(a);
	return a->k;
}

/* --- the props --- */

struct sbuf race_image(const char *note)
{
	char extra[64];

	(void)snprintf(extra, sizeof(extra), ",\"annotations\":{\"note\":\"%s\"}", note);
	return gc_image(RACE_CONFIG, RACE_LAYER, extra);
}

void push_free_layer(void)
{
	(void)gc_push_image(scene, "a", RACE_CONFIG, "base", "keep");
	push_blob(scene, "a", RACE_LAYER);
}

const char *why_not_accepted(void)
{
	AUTO_SBUF b = race_image("accepted");
	struct actor put = { .body = { b.p, b.n }, .tag = "accepted" };
	struct digest d = digest_of(b.p);

	if (actor_run(&put, act_put) != ERR_OK)
		return "the manifest is refused";
	return gc_why_not_whole(scene, "a", &d);
}

size_t expire_trash(void)
{
	struct err e;
	size_t n = 0;

	MUST(trash_expire(scene, UINT64_MAX, 100, &n, &e) == ERR_OK);
	return n;
}
