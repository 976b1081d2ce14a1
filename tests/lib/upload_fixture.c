#include "tests/lib/upload_fixture.h"

#include "base/fd.h"
#include "storage/repo.h"
#include "storage/store_impl.h"
#include "tests/lib/unit.h"

struct rig rig_new(void)
{
	struct rig r = { .root = unit_dir(), .repo = repo_of("a") };

	r.st = store_of(r.root);
	return r;
}

void rig_reopen(struct rig *r)
{
	store_close(&r->st);
	r->st = store_of(r->root);
}

struct upload_id rig_create(struct rig *r)
{
	struct upload_id id;
	struct err e;

	assert_ok(upload_create(r->st, &r->repo, DIGEST_SHA256, &id, &e), &e);
	return id;
}

struct upload *rig_take(struct rig *r, const struct upload_id *id)
{
	struct upload *u = NULL;
	struct err e;

	assert_ok(upload_take(r->st, &r->repo, id, &u, &e), &e);
	return u;
}

void upload_write_text(struct upload *u, const char *text)
{
	struct err e;

	assert_ok(upload_write(u, text, strlen(text), &e), &e);
}

/* One request that adds to a session. */
void rig_append(struct rig *r, const struct upload_id *id, const char *text)
{
	AUTO_UPLOAD *u = rig_take(r, id);

	upload_write_text(u, text);
}

void assert_offset(struct rig *r, const struct upload_id *id, uint64_t want)
{
	uint64_t offset = UINT64_MAX;
	struct err e;

	assert_ok(upload_status(r->st, &r->repo, id, &offset, &e), &e);
	assert_int_equal(offset, want);
}

void assert_gone(struct rig *r, const struct upload_id *id)
{
	struct upload *u = NULL;
	uint64_t offset;
	struct err e;

	assert_err(upload_status(r->st, &r->repo, id, &offset, &e), ERR_NOT_FOUND, &e,
		   "no such upload session");
	assert_err(upload_take(r->st, &r->repo, id, &u, &e), ERR_NOT_FOUND, &e,
		   "no such upload session");
	assert_null(u);
}

void assert_blob(struct rig *r, const struct digest *d, const char *text)
{
	AUTO_CLOSE fd = -1;
	char buf[256] = "";
	uint64_t size;
	struct err e;

	assert_ok(blob_size(store_index(r->st), &r->repo, d, &size, &e), &e);
	assert_int_equal(size, strlen(text));
	assert_ok(blob_open(r->st, d, size, &fd, &e), &e);
	assert_ok(fd_pread_exact(fd, buf, (size_t)size, 0, "blob", &e), &e);
	assert_string_equal(buf, text);
}

void upload_finish_ok(struct upload *u, const struct digest *d)
{
	struct err e;

	assert_ok(upload_finish(&u, d, &e), &e);
	assert_null(u);
}
