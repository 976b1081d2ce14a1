/*
 * images_impl - what images.c (looking) and images_change.c (changing) share.
 */
#pragma once

#include "runtime/image/images.h"
#include "storage/index.h"

/* Tags of our own, which no registry is asked for (FORMAT.md "Names"). */
#define TAG_DIGEST "_d."
#define TAG_USER "_u."

struct images {
	char *root;
	int dirs[IMAGES_DIR_N];
	struct store *store; /* between begin and end */
};
