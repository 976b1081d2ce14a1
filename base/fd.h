/*
 * fd - whole reads and writes, and descriptors that close themselves.
 *
 * F1  EINTR and short transfers are handled here and nowhere else.
 * F2  Closing never changes errno, so it may stand between a failure and its report.
 * Threads  no shared state; all but fd_close may block on disks.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/sys.h"

void fd_close(int *fd); /* -1 is let be; *fd is -1 afterwards */
#define AUTO_CLOSE CLEANUP(fd_close) int

/* All n bytes or an error; what names the file in the message. */
MUST_CHECK enum err_kind fd_write_all(int fd, const void *p, size_t n, const char *what,
				      struct err *e);
MUST_CHECK enum err_kind fd_pwrite_all(int fd, const void *p, size_t n, uint64_t at,
				       const char *what, struct err *e);
/* Exactly n bytes at offset at; fewer there is ERR_CORRUPT. */
MUST_CHECK enum err_kind fd_pread_exact(int fd, void *p, size_t n, uint64_t at, const char *what,
					struct err *e);

/* The whole of a small file into b (which has the maximum). */
MUST_CHECK enum err_kind fd_read_file(int dir, const char *name, struct sbuf *b, struct err *e);
/* The same of one that somebody named to us, where a symbolic link is as good as a file. */
MUST_CHECK enum err_kind fd_read_path(const char *path, struct sbuf *b, struct err *e);

/* What is left to read of fd, to its end: for pipes and for files of the kernel, which have no size. */
MUST_CHECK enum err_kind fd_read_rest(int fd, struct sbuf *b, const char *what, struct err *e);

/*
 * Makes these bytes the file's whole content, durable when ERR_OK comes back; any reader sees all of the old or all of the
 * new.  name.new must not be anybody else's.  The owner stays; made by root, a new file is its directory's owner's.
 */
MUST_CHECK enum err_kind fd_replace_file(int dir, const char *name, struct str bytes, mode_t mode,
					 struct err *e);

/* The same for what need not outlast a power cut. */
MUST_CHECK enum err_kind fd_swap_file(int dir, const char *name, struct str bytes, mode_t mode,
				      struct err *e);

/* Waits until nobody else has the file locked; it is locked as long as this descriptor, or a copy, is open. */
MUST_CHECK enum err_kind fd_lock(int fd, const char *what, struct err *e);
/* openat with O_CLOEXEC | O_NOFOLLOW added. */
MUST_CHECK enum err_kind fd_open_at(int dir, const char *name, int flags, mode_t mode, int *ret,
				    struct err *e);
/* mkdirat that takes an existing directory for success. */
MUST_CHECK enum err_kind fd_mkdir_at(int dir, const char *name, mode_t mode, struct err *e);
/* Makes what is missing of a path of the user's choice, whose links are followed, and opens it as a directory. */
MUST_CHECK enum err_kind fd_make_path(const char *path, mode_t mode, int *ret, struct err *e);
/* Calls fn for each name in a directory but . and .., until it fails; e is fn's to fill. */
typedef enum err_kind fd_name_fn(void *arg, const char *name, struct err *e);
MUST_CHECK enum err_kind fd_list_dir(int dir, const char *name, fd_name_fn *fn, void *arg,
				     struct err *e);
/* Opens the directory and makes its entries durable. */
MUST_CHECK enum err_kind fd_sync_dir(int dir, const char *name, struct err *e);
