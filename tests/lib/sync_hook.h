/*
 * sync_hook - fsync, fdatasync and syncfs of the whole program, libraries included, in the hands of a test.
 *
 * They are defined here and so take the place of the C library's; until a test asks for more they do what those do.
 * Threads  set by one thread while no other syncs.
 */
#pragma once

#include <stdbool.h>

/* The n'th sync from now (1: the next) fails with the errno, once. */
void sync_fail(unsigned n, int sys_errno);
/* fn is called in place of the n'th sync from now, which it may delay; it must not sync itself. */
void sync_call(unsigned n, void (*fn)(void *arg), void *arg);
/* Forgets what was asked for; true if it came to pass. */
bool sync_reset(void);
/* Syncs so far, those of file systems not counted. */
unsigned sync_count(void);
/* syncfs fails with the errno; 0: not any more. */
void sync_fail_fs(int sys_errno);
unsigned sync_count_fs(void);
