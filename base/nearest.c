#include "base/nearest.h"

#define WORD_MAX 64

/* Optimal string alignment, over three rows of its matrix. */
static unsigned distance(struct str a, struct str b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= b.n; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a.n; i++) {
		unsigned *spare = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= b.n; j++) {
			unsigned changed = last[j - 1] + (a.p[i - 1] != b.p[j - 1]);

			now[j] = MIN(last[j], now[j - 1]) + 1;
			now[j] = MIN(now[j], changed);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				now[j] = MIN(now[j], before[j - 2] + 1);
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.n];
}

void nearest_init(struct nearest *n, struct str word)
{
	*n =
	    (struct nearest){ .word = word, .distance = word.n > 3 ? 1 + (unsigned)word.n / 5 : 1 };
	n->distance++; /* what is to be fallen short of */
}

void nearest_try(struct nearest *n, const char *candidate)
{
	struct str c = str_of(candidate);
	unsigned d;

	if (c.n > WORD_MAX || n->word.n > WORD_MAX)
		return;
	d = distance(n->word, c);
	if (d < n->distance) {
		n->distance = d;
		n->best = candidate;
	}
}
