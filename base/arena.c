#include "base/arena.h"

#include <limits.h>
#include <stdarg.h>
#include <unistd.h>

#define BLOCK_BYTES (16u * 1024)
#define ALIGN 16u

struct arena_block {
	struct arena_block *next;
	size_t used, cap; /* of bytes */
	_Alignas(ALIGN) uint8_t bytes[];
};

void arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){ .max = max };
}

void arena_clear(struct arena *a)
{
	struct arena_block *b = TAKE(a->blocks);

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	a->held = 0;
}

static struct arena_block *add_block(struct arena *a, size_t n)
{
	size_t cap = n > BLOCK_BYTES ? n : BLOCK_BYTES;
	struct arena_block *b;

	if (cap > a->max - a->held)
		return NULL;
	b = malloc(sizeof(*b) + cap);
	if (!b)
		return NULL;
	*b = (struct arena_block){ .next = a->blocks, .cap = cap };
	a->blocks = b;
	a->held += cap;
	return b;
}

void *arena_get(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;
	void *p;

	if (n > a->max)
		return NULL;
	n = (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!b || n > b->cap - b->used)
		b = add_block(a, n);
	if (!b)
		return NULL;
	p = b->bytes + b->used;
	b->used += n;
	return memset(p, 0, n);
}

void *arena_array(struct arena *a, size_t n, size_t each)
{
	size_t bytes;

	return __builtin_mul_overflow(n, each, &bytes) ? NULL : arena_get(a, bytes);
}

char *arena_text(struct arena *a, struct str s)
{
	char *z = arena_get(a, s.n + 1);

	if (z && s.n)
		memcpy(z, s.p, s.n);
	return z;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *z = NULL;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0)
		z = arena_get(a, (size_t)n + 1);
	if (z)
		(void)vsnprintf(z, (size_t)n + 1, fmt, again);
	va_end(again);
	return z;
}

const char *arena_absolute(struct arena *a, const char *path)
{
	char here[PATH_MAX];

	if (path[0] == '/' || !getcwd(here, sizeof(here)))
		return path;
	return arena_printf(a, "%s/%s", here, path);
}

bool arena_list_add(struct arena *a, struct text_list *l, const char *text)
{
	/* Room doubles: it is full whenever the number is a power of two. */
	if ((l->n & (l->n - 1)) == 0) {
		const char **v = arena_array(a, 2 * l->n + 2, sizeof(*v));

		if (!v)
			return false;
		if (l->n)
			memcpy(v, l->v, l->n * sizeof(*v));
		l->v = v;
	}
	l->v[l->n++] = text;
	l->v[l->n] = NULL;
	return true;
}
