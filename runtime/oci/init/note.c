#include "runtime/oci/init/note.h"

#include <stdarg.h>

void note_add(struct note *note, const char *text)
{
	while (*text && note->n < sizeof(note->s) - 1)
		note->s[note->n++] = *text++;
	note->s[note->n] = '\0';
}

void note_set(struct note *note, ...)
{
	const char *text;
	va_list ap;

	note->n = 0;
	note->s[0] = '\0';
	va_start(ap, note);
	while ((text = va_arg(ap, const char *)))
		note_add(note, text);
	va_end(ap);
}

const char *decimal(uint64_t v, char buf[static DECIMAL_MAX])
{
	char *p = buf + DECIMAL_MAX - 1;

	*p = '\0';
	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	return p;
}

const char *fd_path(int fd, char buf[static FD_PATH_MAX])
{
	char number[DECIMAL_MAX];
	const char *parts[] = { "/proc/self/fd/", decimal((uint64_t)fd, number) };
	char *to = buf;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		for (const char *from = parts[i]; *from;)
			*to++ = *from++;
	}
	*to = '\0';
	return buf;
}
