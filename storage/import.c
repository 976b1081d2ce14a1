#include "storage/import.h"

#include <errno.h>
#include <search.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "storage/import_impl.h"
#include "storage/repo.h"
#include "storage/store_impl.h"

#define THREADS_MAX 8 /* whose commits are made together */
#define NICE 10       /* so that requests come first */
#define TICK_MS 250
#define TELL_MS 2000
#define DEPTH_MAX 64 /* of indexes and subjects in each other */
#define TRIES 3      /* against clients that push the same tag */
#define SHOWN_MAX 512

bool import_is_refusal(enum err_kind k)
{
	switch (k) {
	case ERR_NOT_FOUND:
	case ERR_EXISTS:
	case ERR_INVALID:
	case ERR_DIGEST:
	case ERR_SIZE:
	case ERR_TOO_LARGE:
	case ERR_DENIED:
	case ERR_REFS:
	case ERR_UNSUPPORTED:
		return true;
	case ERR_OK:
	case ERR_RANGE:
	case ERR_TOO_MANY:
	case ERR_LOGIN:
	case ERR_AWAY:
	case ERR_IN_USE:
	case ERR_NO_SPACE:
	case ERR_NO_MEMORY:
	case ERR_CORRUPT:
	case ERR_IO:
	case ERR_BUG:
	case ERR_KIND_N:
		break;
	}
	return false;
}

enum err_kind(import_stopped)(struct err *e)
{
	return err_set(e, ERR_IN_USE, __func__, "stopped: another import goes on from here");
}

/* --- telling --- */

/* Names of files may be any bytes. */
static const char *printable(const char *text, char buf[static SHOWN_MAX])
{
	size_t i = 0;

	for (; text[i] && i + 1 < SHOWN_MAX; i++)
		buf[i] = (char)(text[i] < ' ' || text[i] > '~' ? '?' : text[i]);
	buf[i] = '\0';
	return buf;
}

void import_refuse(struct import *im, const char *what, const char *name, const char *reason)
{
	char a[SHOWN_MAX], b[SHOWN_MAX];

	im->result.refused++;
	im->l->refused(im->l->arg, what, printable(name, a), printable(reason, b));
}

void import_refuse_digest(struct import *im, const char *what, const struct digest *d,
			  const char *reason)
{
	char name[REPO_NAME_MAX + DIGEST_TEXT_MAX + 2], text[DIGEST_TEXT_MAX];

	(void)snprintf(name, sizeof(name), "%s@%s", im->name.s, digest_text(d, text));
	import_refuse(im, what, name, reason);
}

static void refuse_tag(struct import *im, const struct source_tag *tag, const char *reason)
{
	char name[REPO_NAME_MAX + TAG_NAME_MAX + 2];

	(void)snprintf(name, sizeof(name), "%s:%s", im->name.s, tag->name.s);
	import_refuse(im, "tag", name, reason);
}

static void on_fault(void *arg, const char *what, const char *name, const char *reason)
{
	struct import *im = arg;
	char whole[SHOWN_MAX];

	(void)snprintf(whole, sizeof(whole), "%s%c%s", im->name.s,
		       strcmp(what, "tag") == 0 ? ':' : '@', name);
	import_refuse(im, what, whole, reason);
}

static void tell(struct import *im, bool done)
{
	im->told_mono_ms = mono_ms();
	im->result.read_bytes = im->read_bytes;
	im->l->progress(im->l->arg, im->name.s, &im->result, done);
}

/* By the thread that was called; the others look at the flag. */
static void tick(struct import *im)
{
	if (!im->l->goes_on(im->l->arg))
		im->stop = true;
	else if (mono_ms() - im->told_mono_ms >= TELL_MS)
		tell(im, false);
}

/* --- threads --- */

struct crew {
	struct import *im;
	import_task_fn *fn;
	size_t n;
	_Atomic size_t next;
};

static void work(struct crew *c)
{
	size_t i;

	while ((i = c->next++) < c->n)
		c->fn(c->im, i);
}

static void *crew_main(void *arg)
{
	(void)setpriority(PRIO_PROCESS, 0, NICE); /* of this thread only; without it it works too */
	work(arg);
	return NULL;
}

static void join(struct import *im, pthread_t thread)
{
	struct timespec until;

	do {
		tick(im);
		(void)clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TICK_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000L;
		until.tv_nsec %= 1000000000L;
	} while (pthread_timedjoin_np(thread, NULL, &until) == ETIMEDOUT);
}

void import_in_parallel(struct import *im, size_t n, import_task_fn *fn)
{
	struct crew crew = { .im = im, .fn = fn, .n = n };
	size_t most = im->st->options.single_thread ? 1 : MIN(n, (size_t)THREADS_MAX);
	pthread_t threads[THREADS_MAX];
	size_t n_threads = 0;

	while (n_threads < MIN(n, most) &&
	       pthread_create(&threads[n_threads], NULL, crew_main, &crew) == 0)
		n_threads++;
	if (n_threads == 0)
		work(&crew);
	for (size_t i = 0; i < n_threads; i++)
		join(im, threads[i]);
}

/* --- what became of manifests --- */

static int node_order(const void *a, const void *b)
{
	return memcmp(&((const struct node *)a)->digest, &((const struct node *)b)->digest,
		      sizeof(struct digest));
}

/* NULL if nobody asked for it yet. */
static struct node *find_node(struct import *im, const struct digest *d)
{
	const struct node key = { .digest = *d };
	struct node **at = tfind(&key, &im->nodes, node_order);

	return at ? *at : NULL;
}

/* NULL without memory. */
static struct node *get_node(struct import *im, const struct digest *d)
{
	struct node *n = find_node(im, d);

	if (n)
		return n;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	n->digest = *d;
	if (!tsearch(n, &im->nodes, node_order))
		free(TAKE(n));
	return n;
}

/* --- putting one manifest; by any thread --- */

static enum err_kind check_parts(struct import *im, const struct manifest_job *j, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < j->m.n_refs; i++) {
		const struct digest *d = &j->m.refs[i].digest;
		const struct blob_job *b = import_blob_of(im, d);
		const struct node *n = find_node(im, d);

		if ((j->m.kind == MEDIA_MANIFEST && b && b->k != ERR_OK) ||
		    (j->m.kind == MEDIA_INDEX && n && n->state == NODE_REFUSED))
			return err_set(e, ERR_REFS, __func__,
				       "it refers to %.80s, which was refused",
				       digest_text(d, text));
	}
	return ERR_OK;
}

/* tag may be NULL. */
static enum err_kind put(struct import *im, const struct manifest_job *j,
			 const struct source_tag *tag, const struct tag_row *expected,
			 struct err *e)
{
	AUTO_MANIFEST_PUSHED pushed = { 0 };
	uint64_t at_ms = tag ? tag->pushed_ms : j->pushed_ms;
	const struct manifest_push push = {
		.body = { j->body.p, j->body.n },
		.media_type = str_of(j->m.media_type),
		.digest = j->m.digest,
		.tags = tag ? &tag->name : NULL,
		.n_tags = tag != NULL,
		.pushed_ms = MIN(at_ms, wall_ms()), /* a clock there may have been wrong */
		.expected = expected,
	};
	char text[DIGEST_TEXT_MAX];
	enum err_kind k;

	if (im->o->dry_run)
		return ERR_OK;
	k = repo_manifest_put(im->st, &im->name, &push, &pushed, e);
	if (k == ERR_REFS && pushed.n_missing)
		return err_set(e, k, __func__, "it refers to %.80s, which is not there",
			       digest_text(&pushed.missing[0], text));
	return k;
}

/* N3 */
static enum err_kind may_move(const struct import *im, const struct source_tag *tag,
			      const struct tag_row *row, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	if (im->o->overwrite || row->pushed_ms < tag->pushed_ms)
		return ERR_OK;
	return err_set(e, ERR_EXISTS, __func__, "here it points to %.80s, which %s",
		       digest_text(&row->digest, text),
		       tag->pushed_ms ? "was pushed later" : "may be newer: see --overwrite");
}

static enum err_kind try_tag(struct import *im, const struct manifest_job *j, struct tag_job *t)
{
	struct tag_row row = { .pushed_ms = 0 };
	enum err_kind k =
	    index_tag_find(store_index(im->st), &im->name, &t->tag->name, &row, &t->e);

	if (k == ERR_OK && digest_eq(&row.digest, &j->m.digest)) {
		t->outcome = TAG_HAD;
		return ERR_OK;
	}
	if (k == ERR_OK)
		k = may_move(im, t->tag, &row, &t->e);
	else if (k == ERR_NOT_FOUND)
		k = ERR_OK;
	if (k == ERR_EXISTS) { /* the manifest comes in all the same */
		t->outcome = TAG_REFUSED;
		return ERR_OK;
	}
	if (k == ERR_OK)
		k = put(im, j, t->tag, &row, &t->e);
	if (k == ERR_OK)
		t->outcome = TAG_SET;
	return k;
}

/* The oldest first, so that the manifest keeps the time of the last push, as it would have. */
static enum err_kind put_tags(struct import *im, struct manifest_job *j, bool *ret_put,
			      struct err *e)
{
	*ret_put = false;
	for (size_t i = 0; i < j->n_tags; i++) {
		struct tag_job *t = &j->tags[i];
		enum err_kind k = ERR_IN_USE;

		for (int try = 0; try < TRIES && k == ERR_IN_USE; try++)
			k = try_tag(im, j, t);
		if (k != ERR_OK) {
			*e = t->e;
			return k == ERR_IN_USE
				   ? err_set(e, ERR_EXISTS, __func__,
					     "clients keep pushing its tag %s", t->tag->name.s)
				   : k;
		}
		*ret_put = *ret_put || t->outcome == TAG_SET;
	}
	return ERR_OK;
}

static void put_manifest(struct import *im, struct manifest_job *j)
{
	bool was_put = false;

	j->k = im->stop ? import_stopped(&j->e) : check_parts(im, j, &j->e);
	if (j->k == ERR_OK)
		j->k = put_tags(im, j, &was_put, &j->e);
	if (j->k == ERR_OK && !was_put && !j->had)
		j->k = put(im, j, NULL, NULL, &j->e);
	if (j->k != ERR_OK && !import_is_refusal(j->k))
		im->stop = true;
}

static void put_task(struct import *im, size_t i)
{
	if (im->jobs[i].m.kind == MEDIA_MANIFEST)
		put_manifest(im, &im->jobs[i]);
}

/* --- groups --- */

static void job_clear(struct manifest_job *j)
{
	sbuf_clear(&j->body);
	manifest_clear(&j->m);
	free(TAKE(j->tags));
}

static void clear_group(struct import *im)
{
	for (size_t i = 0; i < im->n_jobs; i++)
		job_clear(&im->jobs[i]);
	im->n_jobs = im->job_bytes = 0;
	import_blobs_clear(im);
}

/* Tells of it and counts it; what was refused only now is told of when all of the repository was looked at. */
static enum err_kind finish(struct import *im, struct manifest_job *j, struct err *e)
{
	if (j->k != ERR_OK && !import_is_refusal(j->k)) {
		*e = j->e;
		return j->k;
	}
	j->node->state = j->k == ERR_OK ? NODE_THERE : NODE_REFUSED;
	if (j->k != ERR_OK) {
		import_refuse_digest(im, "manifest", &j->m.digest, j->e.msg);
		return ERR_OK;
	}
	im->result.manifests += !j->had;
	im->result.manifests_had += j->had;
	for (size_t i = 0; i < j->n_tags; i++) {
		im->result.tags += j->tags[i].outcome == TAG_SET;
		im->result.tags_had += j->tags[i].outcome == TAG_HAD;
		if (j->tags[i].outcome == TAG_REFUSED)
			refuse_tag(im, j->tags[i].tag, j->tags[i].e.msg);
	}
	return ERR_OK;
}

/* N2: what manifests refer to, the manifests, and then, one after another, the indexes, which may refer to each other. */
static enum err_kind flush(struct import *im, struct err *e)
{
	enum err_kind k = import_blobs(im, e);

	if (k == ERR_OK)
		import_in_parallel(im, im->n_jobs, put_task);
	for (size_t i = 0; i < im->n_jobs && k == ERR_OK; i++) {
		if (im->jobs[i].m.kind == MEDIA_INDEX)
			put_manifest(im, &im->jobs[i]);
		k = finish(im, &im->jobs[i], e);
	}
	clear_group(im);
	tick(im);
	if (k == ERR_OK && im->stop)
		k = import_stopped(e);
	return k;
}

/* --- finding out what there is to do --- */

/* What refers to nothing that may have been left out, and is all there, is not looked at again. */
static bool is_whole(const struct import *im, const struct manifest_info *info)
{
	enum sparse sparse = im->st->options.sparse;

	return sparse == SPARSE_NONE || (sparse == SPARSE_INDEX &&
					 media_kind_of(str_of(info->media_type)) == MEDIA_MANIFEST);
}

static enum err_kind look(struct import *im, struct node *n, bool *ret_had, bool *ret_done,
			  struct err *e)
{
	struct manifest_info info = { 0 };
	size_t n_tags;
	const struct source_tag *tags = source_tags_of(&im->repo, &n->digest, &n_tags);
	enum err_kind k = repo_manifest_find(im->st, &im->name, NULL, &n->digest, &info, e);

	free(TAKE(info.bytes));
	*ret_had = k == ERR_OK;
	*ret_done = k == ERR_OK && is_whole(im, &info);
	if (k != ERR_OK)
		return k == ERR_NOT_FOUND ? ERR_OK : k;
	for (size_t i = 0; i < n_tags && *ret_done; i++) {
		struct tag_row row;

		k = index_tag_find(store_index(im->st), &im->name, &tags[i].name, &row, e);
		if (k != ERR_OK && k != ERR_NOT_FOUND)
			return k;
		*ret_done = k == ERR_OK && digest_eq(&row.digest, &n->digest);
	}
	if (*ret_done) {
		n->state = NODE_THERE;
		im->result.manifests_had++;
		im->result.tags_had += n_tags;
	}
	return ERR_OK;
}

static enum err_kind read_job(struct import *im, const struct node *n, struct manifest_job *j,
			      struct err *e)
{
	unsigned depth = im->st->options.json_depth_max;
	char type[MEDIA_TYPE_MAX + 1];
	const struct source_tag *tags = source_tags_of(&im->repo, &n->digest, &j->n_tags);
	enum err_kind k = source_manifest_read(&im->repo, &n->digest, &j->body, &j->pushed_ms, e);
	struct str body = { j->body.p, j->body.n };

	im->read_bytes += j->body.n;
	if (k == ERR_OK)
		k = manifest_type_of(body, depth, type, e);
	if (k == ERR_OK)
		k = manifest_parse(body, str_of(type), &n->digest, depth, &j->m, e);
	if (k != ERR_OK)
		return k;
	j->tags = calloc(j->n_tags + 1, sizeof(*j->tags));
	if (!j->tags)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for tags");
	for (size_t i = 0; i < j->n_tags; i++)
		j->tags[i].tag = &tags[i];
	return ERR_OK;
}

static enum err_kind add_job(struct import *im, struct manifest_job *take, struct err *e)
{
	enum err_kind k = ERR_OK;

	if (im->n_jobs == GROUP_MAX || im->job_bytes + take->body.n > GROUP_BYTES_MAX)
		k = flush(im, e);
	if (k != ERR_OK)
		return k;
	im->job_bytes += take->body.n;
	im->jobs[im->n_jobs++] = *take;
	*take = (struct manifest_job){ .k = ERR_OK };
	return ERR_OK;
}

static enum err_kind visit(struct import *im, const struct digest *d, unsigned depth,
			   bool is_listed, struct err *e);

/* An index may name what the registry never had, and a subject need not be there. */
static enum err_kind visit_related(struct import *im, const struct manifest *m, unsigned depth,
				   struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < m->n_refs && m->kind == MEDIA_INDEX && k == ERR_OK; i++)
		k = visit(im, &m->refs[i].digest, depth + 1, false, e);
	return k == ERR_OK && m->has_subject ? visit(im, &m->subject, depth + 1, false, e) : k;
}

static enum err_kind visit_new(struct import *im, struct node *n, unsigned depth, bool is_listed,
			       struct err *e)
{
	struct manifest_job j = { .node = n, .body = { .max = im->o->manifest_bytes_max } };
	bool done;
	enum err_kind k = look(im, n, &j.had, &done, e);

	if (k != ERR_OK || done)
		return k;
	n->state = NODE_WAITS;
	k = depth > DEPTH_MAX
		? err_set(e, ERR_TOO_LARGE, __func__, "nested deeper than %d", DEPTH_MAX)
		: read_job(im, n, &j, e);
	if (k == ERR_NOT_FOUND && !is_listed) {
		n->state = NODE_ABSENT;
		k = ERR_OK;
	} else if (k != ERR_OK && import_is_refusal(k)) {
		n->state = NODE_REFUSED;
		import_refuse_digest(im, "manifest", &n->digest, e->msg);
		k = ERR_OK;
	} else if (k == ERR_OK) {
		k = visit_related(im, &j.m, depth, e);
		if (k == ERR_OK)
			k = add_job(im, &j, e);
	}
	job_clear(&j);
	return k;
}

static enum err_kind visit(struct import *im, const struct digest *d, unsigned depth,
			   bool is_listed, struct err *e)
{
	struct node *n = get_node(im, d);

	if (!n)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a manifest");
	if (n->state != NODE_NEW)
		return ERR_OK;
	if (im->stop)
		return import_stopped(e);
	return visit_new(im, n, depth, is_listed, e);
}

/* --- repositories --- */

static void refuse_lost_tags(struct import *im)
{
	for (size_t i = 0; i < im->repo.n_tags; i++) {
		const struct node *n = find_node(im, &im->repo.tags[i].digest);

		if (!n || n->state != NODE_THERE)
			refuse_tag(im, &im->repo.tags[i],
				   n && n->state == NODE_REFUSED ? "its manifest was refused"
								 : "its manifest is not there");
	}
}

static enum err_kind import_manifests(struct import *im, struct err *e)
{
	enum err_kind k = ERR_OK;

	for (size_t i = 0; i < im->repo.n_manifests && k == ERR_OK; i++)
		k = visit(im, &im->repo.manifests[i].digest, 0, true, e);
	if (k == ERR_OK)
		k = flush(im, e);
	if (k == ERR_OK)
		refuse_lost_tags(im);
	clear_group(im);
	tdestroy(TAKE(im->nodes), free);
	return k;
}

static enum err_kind import_repo(struct import *im, const char *path, struct err *e)
{
	enum err_kind k = source_repo_open(&im->source, path, on_fault, im, &im->repo, e);

	if (k != ERR_OK && import_is_refusal(k)) {
		import_refuse(im, "repository", im->name.s, e->msg);
		return ERR_OK;
	}
	if (k != ERR_OK)
		return k;
	im->result.repositories++;
	k = import_manifests(im, e);
	source_repo_close(&im->repo);
	if (k == ERR_OK)
		tell(im, true);
	return k;
}

static enum err_kind on_repo(void *arg, const char *path, struct err *e)
{
	struct import *im = arg;
	const struct repo_name *only = im->o->repo;

	if (im->source.kind == SOURCE_LAYOUT) {
		im->name = *only;
	} else if (!repo_name_parse(&im->name, str_of(path))) {
		if (!only)
			import_refuse(im, "repository", path, "no name of a repository");
		return ERR_OK;
	}
	if (only && !str_eq(repo_name_str(only), repo_name_str(&im->name)))
		return ERR_OK;
	return import_repo(im, path, e);
}

enum err_kind store_import(struct store *st, const struct import_options *o,
			   const struct import_listener *l, struct import_result *ret,
			   struct err *e)
{
	struct import im = {
		.st = st, .o = o, .l = l, .source = { .dir_fd = -1 }, .told_mono_ms = mono_ms()
	};
	enum err_kind k = source_open(o->source, &im.source, e);

	if (k == ERR_OK && im.source.kind == SOURCE_LAYOUT && !o->repo)
		k = err_set(e, ERR_INVALID, __func__,
			    "an image layout does not say which repository it is: give "
			    "--repository=NAME");
	if (k == ERR_OK)
		k = source_list(&im.source, on_repo, &im, e);
	if (k == ERR_OK && o->repo && im.result.repositories == 0 && im.result.refused == 0)
		k = err_set(e, ERR_NOT_FOUND, __func__, "there is no repository %.100s in it",
			    o->repo->s);
	source_close(&im.source);
	tdestroy(TAKE(im.verified), free);
	im.result.read_bytes = im.read_bytes;
	*ret = im.result;
	return k;
}
