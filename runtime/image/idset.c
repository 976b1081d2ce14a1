#include "runtime/image/idset.h"

#define CAP_FIRST 256

void idset_clear(struct idset *s)
{
	free(s->slots);
	*s = (struct idset){ 0 };
}

/* Where it is, or would be; cap is a power of two and has room. */
static size_t slot_of(const uint64_t *slots, size_t cap, uint64_t id)
{
	size_t at = (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (cap - 1);

	while (slots[at] && slots[at] != id)
		at = (at + 1) & (cap - 1);
	return at;
}

static bool grow(struct idset *s)
{
	size_t cap = s->cap ? 2 * s->cap : CAP_FIRST;
	uint64_t *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return false;
	for (size_t i = 0; i < s->cap; i++) {
		if (s->slots[i])
			slots[slot_of(slots, cap, s->slots[i])] = s->slots[i];
	}
	free(s->slots);
	s->slots = slots;
	s->cap = cap;
	return true;
}

bool idset_add(struct idset *s, uint64_t id)
{
	size_t at;

	if (id == 0) {
		s->has_zero = true;
		return true;
	}
	if (s->n >= s->cap / 2 && !grow(s))
		return false;
	at = slot_of(s->slots, s->cap, id);
	s->n += s->slots[at] == 0;
	s->slots[at] = id;
	return true;
}

bool idset_has(const struct idset *s, uint64_t id)
{
	if (id == 0)
		return s->has_zero;
	return s->cap > 0 && s->slots[slot_of(s->slots, s->cap, id)] == id;
}
