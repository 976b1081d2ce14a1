/*
 * upload_fixture - what tests of upload sessions share: a store with one repository, and requests that must go well.
 */
#pragma once

#include "storage/upload.h"
#include "tests/lib/fixture.h"

#define TEXT "the bytes of a blob"

struct rig {
	const char *root;
	struct store *st;
	struct repo_name repo;
};

struct rig rig_new(void);
void rig_reopen(struct rig *r);
struct upload_id rig_create(struct rig *r);
struct upload *rig_take(struct rig *r, const struct upload_id *id);
void upload_write_text(struct upload *u, const char *text);
/* One request that adds to a session. */
void rig_append(struct rig *r, const struct upload_id *id, const char *text);
void assert_offset(struct rig *r, const struct upload_id *id, uint64_t want);
void assert_gone(struct rig *r, const struct upload_id *id);
void assert_blob(struct rig *r, const struct digest *d, const char *text);
void upload_finish_ok(struct upload *u, const struct digest *d);
