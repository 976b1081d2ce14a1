/*
 * late - functions of a shared library that few need: it is loaded when something asks for it, not with the program.
 *
 * A library that a program is linked with costs memory at every start: its relocations, what the loader reads of it, its
 * constructors, and the same for each library that it needs itself.  LATE_LIBRARY instead defines each function of a list as
 * a jump to where late_load has found it, so callers include the library's own header and call its functions as ever.  What
 * is called but not in the list does not link; what is in the list but not in the library fails late_load.
 *
 * T1  After ERR_OK of late_load every function of the list can be called, by any thread.  Before it, a call aborts.
 * T2  Nothing is unloaded.
 * Threads  any; late_load reads files.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

typedef void late_fn(void);

struct late_function {
	const char *name;
	late_fn **to;
};

struct late {
	const char *file; /* as the loader looks it up: libcurl.so.4 */
	const struct late_function *functions;
	size_t n;
	_Atomic bool ready;
};

/* ERR_IO: it, or a function of it, is not there. */
MUST_CHECK enum err_kind late_load(struct late *l, struct err *e);

#if defined(__x86_64__)
#define LATE_JUMP(f) "endbr64\n\tjmp *late_to_" #f "(%rip)\n"
#elif defined(__aarch64__)
#define LATE_JUMP(f)                                                                               \
	"hint #34\n\tadrp x16, late_to_" #f "\n\tldr x16, [x16, :lo12:late_to_" #f "]\n\tbr x16\n"
#else
#error "how this processor jumps to an address in memory is missing here"
#endif

#define LATE_FUNCTION(f)                                                                           \
	__attribute__((visibility("hidden"))) late_fn *late_to_##f = abort;                        \
	__asm__(".pushsection .text\n\t.globl " #f "\n\t.hidden " #f "\n\t.type " #f               \
		", %function\n" #f ":\n\t" LATE_JUMP(f) "\t.size " #f ", . - " #f                  \
							"\n\t.popsection");
#define LATE_ENTRY(f) { #f, &late_to_##f },
/* LIST(X) is X(function) for each.  Once, in one file; others say extern struct late late_NAME. */
#define LATE_LIBRARY(library, path, LIST)                                                          \
	LIST(LATE_FUNCTION)                                                                        \
	static const struct late_function library##_functions[] = { LIST(LATE_ENTRY) };            \
	struct late late_##library = { path, library##_functions, ARRAY_LEN(library##_functions),  \
				       false }
