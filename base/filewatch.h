/*
 * filewatch - has a file been changed or replaced since it was read, and has it come to rest?
 *
 * What counts is what stat tells (device, inode, size, times), so it works on every file system, for files written in place
 * and for links that are moved, and costs one system call a look.
 * V1  A change is told once it looked the same twice in a row, so a file that is being written is not read half-way.
 * Threads  one at a time per object.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/compiler.h"

struct filewatch {
	const char *path; /* borrowed */
	struct stat read; /* as of filewatch_mark */
	struct stat seen; /* at the last look */
};

void filewatch_init(struct filewatch *w, const char *path);
/* Before the file is read: changes count from now on. */
void filewatch_mark(struct filewatch *w);
/* To be called from time to time.  A file that is gone counts as changed too. */
bool filewatch_changed(struct filewatch *w);
