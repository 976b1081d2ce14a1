/*
 * disk - what of a directory tree would be left after a power cut: a model of stable storage, fed by the calls that sync.
 *
 * K1  A file has the bytes of its last fsync or fdatasync, or none; a directory has the names of its last fsync.
 * K2  syncfs makes everything durable; a write to a descriptor opened with O_DSYNC makes its file durable.
 * Lifecycle  disk_begin -> (disk_note after each call) -> disk_copy at any time -> disk_end.
 * Threads    one.
 */
#pragma once

#include <stdbool.h>

struct disk;

/* root is an empty directory. */
struct disk *disk_begin(const char *root);
/* True if more is durable than before. */
bool disk_note(struct disk *d, const char *call, int fd);
/*
 * Makes in `to`, an empty directory, what a power cut would leave of root.  luck: 0 loses all that is not synced; any
 * other number decides by chance, for each name and each file, whether it got to the disk by itself.
 */
void disk_copy(struct disk *d, const char *to, unsigned luck);
void disk_end(struct disk **d);
