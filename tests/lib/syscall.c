/*
 * syscall - makes system calls by number and says what they return: seen from inside a seccomp filter.
 *
 * usage: syscall [i386:|x32:]NUMBER[,FIRST]...     with all arguments 0, or the first one of choice
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"

#define X32_BIT 0x40000000

static long by_int80(long number)
{
	long r = -ENOSYS;

#if defined(__x86_64__)
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(number), "b"(0), "c"(0), "d"(0) : "memory");
#else
	(void)number;
#endif
	return r;
}

static long call(struct str text)
{
	bool i386 = str_starts(text, STR("i386:")), x32 = str_starts(text, STR("x32:"));
	struct str kind, digits = text;
	uint64_t number = 0, first = 0;

	if (i386 || x32)
		(void)str_cut(text, ':', &kind, &digits);
	if (!scan_u64(&digits, 100000, &number))
		return -EINVAL;
	if (scan_char(&digits, ',') && !scan_u64(&digits, UINT64_MAX, &first))
		return -EINVAL;
	if (i386)
		return (int)by_int80((long)number);
	return syscall((long)number | (x32 ? X32_BIT : 0), first, 0, 0, 0, 0, 0) < 0 ? -errno : 0;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		char line[128];
		long r = call(str_of(argv[i]));
		const char *name = r < 0 ? strerrorname_np((int)-r) : "0";
		int n = snprintf(line, sizeof(line), "%s %s\n", argv[i], name ? name : "?");

		if (write(1, line, (size_t)n) < 0)
			return 1;
	}
	return 0;
}
