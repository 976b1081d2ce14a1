/*
 * filter - a seccomp profile as the BPF program that the kernel loads.
 *
 * Compiling is slow (13 ms for a usual profile of 437 names), so filters are kept in a directory of the runtime's own.
 *
 * F1  A kept filter is taken only if the profile it was made from, kept beside it, equals the wanted one byte by
 *     byte, together with the versions of this compiler, of libseccomp and of the kernel.  The digest in its name only
 *     finds it; a collision costs a compilation.
 * F2  It is taken only from a file that nobody but root and the caller could have written: plain, owned by the caller,
 *     without other links, in a directory that the caller owns and only the caller may write to (ADR 0022).
 * F3  Anything that is wrong with the directory or a file costs a compilation, nothing else.
 */
#pragma once

#include "runtime/oci/spec/seccomp.h"

struct sock_filter;

struct filter {
	struct sock_filter *v;
	uint16_t n;
	unsigned flags; /* SECCOMP_FILTER_FLAG_* */
};

/* cache_dir: descriptor of a directory as in F2, or -1 to compile always. */
MUST_CHECK enum err_kind filter_get(const struct spec_seccomp *s, int cache_dir, struct arena *a,
				    struct filter *ret, struct err *e);

/* Makes or opens the directory below the one given; -1 if there is none to trust. */
int filter_cache_open(int dir);

/* ---- for filter.c and tests ---- */

MUST_CHECK enum err_kind filter_compile(const struct spec_seccomp *s, struct arena *a,
					struct filter *ret, struct err *e);
/* SECCOMP_FILTER_FLAG_* that the profile asks for. */
unsigned filter_load_flags(const struct spec_seccomp *s);
/* "2.5.4" */
const char *filter_library_version(char buf[static 32]);
