/*
 * pipe - blocks of bytes from one thread to another, a few at a time: the joint between two stages of a pipeline.
 *
 * Q1  The writer waits while all blocks are full, the reader while all are empty: memory is fixed.
 * Q2  A failure of either side reaches the other: the reader gets the writer's error, the writer is told to stop.
 * Lifecycle  new -> (writer: space -> push)* -> end | (reader: next)* -> stop; free when both are done.
 * Threads    one writer, one reader.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct pipe;

MUST_CHECK enum err_kind pipe_new(size_t blocks, size_t block_bytes, struct pipe **ret,
				  struct err *e);
void pipe_free(struct pipe **p);

/* An empty block to write to, or NULL: the reader wants no more. */
void *pipe_space(struct pipe *p);
/* Hands on the block with n > 0 bytes in it. */
void pipe_push(struct pipe *p, size_t n);
/* No block follows; failure NULL: all went well. */
void pipe_end(struct pipe *p, const struct err *failure);

/* The next block, valid until the next call; *ret_n 0 at the end.  Fails with the writer's failure. */
MUST_CHECK enum err_kind pipe_next(struct pipe *p, const void **ret, size_t *ret_n, struct err *e);
/* The reader wants no more. */
void pipe_stop(struct pipe *p);
