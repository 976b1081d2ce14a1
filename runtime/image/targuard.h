/*
 * targuard - a second, strict look at the bytes of a tar archive on their way to libarchive.
 *
 * Two readers that see two archives in the same bytes are how files are smuggled past whoever checked them
 * (CVE-2025-62518 and its kin).  The guard knows where each member's headers begin and how many bytes follow them,
 * and refuses whatever readers disagree about; tar.c then compares positions, member by member.
 *
 * G1  Checksums are right, sizes are plain numbers, only files have data, extended headers are at most 1 MiB and
 *     well-formed, and a block of zeros is the end.
 * G2  Names from pax records are handed on as the bytes they are: libarchive converts them by way of the locale.
 * Lifecycle  new -> feed* -> end -> free, with next for each member that was fed.
 * Threads    one at a time per guard.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define TAR_BLOCK 512
#define TARGUARD_EXTENDED_MAX (1024u * 1024)

struct targuard;

/* What the guard saw of a member, in the order of the archive. */
struct targuard_member {
	uint64_t at;     /* where its headers begin: extended ones, if it has any */
	char *path;      /* owned; NULL unless a pax record gives it */
	char *target;    /* the same for linkpath */
	bool has_header; /* set by targuard_next */
};
void targuard_member_clear(struct targuard_member *m);
#define AUTO_TARGUARD_MEMBER CLEANUP(targuard_member_clear) struct targuard_member

MUST_CHECK enum err_kind targuard_new(struct targuard **ret, struct err *e);
void targuard_free(struct targuard **g);

/* The next bytes of the archive.  ERR_INVALID, and again for all that follows, once a rule is broken. */
MUST_CHECK enum err_kind targuard_feed(struct targuard *g, const void *p, size_t n, struct err *e);
/* No bytes follow.  ERR_INVALID if the archive stops inside a member or is empty. */
MUST_CHECK enum err_kind targuard_end(struct targuard *g, struct err *e);

/* The next member fed and not yet taken; has_header is false if there is none. */
void targuard_next(struct targuard *g, struct targuard_member *ret);
