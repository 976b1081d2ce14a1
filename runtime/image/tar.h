/*
 * tar - archives to and from members; the only file that includes archive.h.
 *
 * A1  libarchive reads and writes tar and nothing else: no other format, no filter, nothing that would start a program.
 * A2  What it warns of is an error; what it sees and what targuard sees must agree, member by member.
 * A3  Names are the bytes in the archive, whatever the locale.
 * Lifecycle  reader: open -> (next -> data*)* -> close.  writer: open -> (add -> data*)* -> finish -> close.
 * Ownership  a member borrows its attributes from the reader until the next call of next.
 * Threads    one at a time per object.
 */
#pragma once

#include "runtime/image/member.h"

struct tar_reader;
struct tar_writer;

/* Gives some of the bytes that follow, valid until the next call; *ret_n 0 at the end. */
typedef enum err_kind tar_source_fn(void *arg, const void **ret, size_t *ret_n, struct err *e);

MUST_CHECK enum err_kind tar_reader_open(tar_source_fn *source, void *arg, struct tar_reader **ret,
					 struct err *e);
void tar_reader_close(struct tar_reader **r);
#define AUTO_TAR_READER CLEANUP(tar_reader_close) struct tar_reader

/* ERR_NOT_FOUND at the end of the archive, with e untouched. */
MUST_CHECK enum err_kind tar_reader_next(struct tar_reader *r, struct member *ret, struct err *e);
/* A piece of a file's data and where it belongs: pieces come in order, with holes between them.  *ret_n 0 at the end. */
MUST_CHECK enum err_kind tar_reader_data(struct tar_reader *r, const void **ret, size_t *ret_n,
					 uint64_t *ret_at, struct err *e);

/* Takes the bytes of an archive as they are made. */
typedef enum err_kind tar_sink_fn(void *arg, const void *p, size_t n, struct err *e);

MUST_CHECK enum err_kind tar_writer_open(tar_sink_fn *sink, void *arg, struct tar_writer **ret,
					 struct err *e);
/* For a file, size_bytes of data follow. */
MUST_CHECK enum err_kind tar_writer_add(struct tar_writer *w, const struct member *m,
					struct err *e);
MUST_CHECK enum err_kind tar_writer_data(struct tar_writer *w, const void *p, size_t n,
					 struct err *e);
/* Writes the end of the archive. */
MUST_CHECK enum err_kind tar_writer_finish(struct tar_writer *w, struct err *e);
void tar_writer_close(struct tar_writer **w);
#define AUTO_TAR_WRITER CLEANUP(tar_writer_close) struct tar_writer
