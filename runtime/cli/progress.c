#include "runtime/cli/progress.h"

#include "base/clock.h"
#include "runtime/cli/cli.h"

#define DRAW_EVERY_MS 100
#define BAR_WIDTH 30u
#define ID_SHOWN 12

void progress_init(struct progress *p, bool quiet)
{
	*p = (struct progress){ .quiet = quiet,
				.is_terminal = isatty(STDERR_FILENO) == 1,
				.started_ms = mono_ms() };
}

void progress_clear(struct progress *p)
{
	free(TAKE(p->told));
}

static void add_id(struct sbuf *b, const struct pull_layer *l)
{
	char hex[DIGEST_HEX_MAX + 1];

	sbuf_addf(b, "%.*s", ID_SHOWN, digest_hex(&l->digest, hex));
}

static void add_bar(struct sbuf *b, const struct pull_layer *l)
{
	unsigned filled =
	    l->size_bytes ? (unsigned)(l->have_bytes * BAR_WIDTH / l->size_bytes) : BAR_WIDTH;

	sbuf_addf(b, " [");
	for (unsigned i = 0; i < BAR_WIDTH; i++)
		sbuf_addf(b, "%s", i < filled ? "=" : (i == filled ? ">" : " "));
	sbuf_addf(b, "] ");
}

static void add_layer(struct sbuf *b, const struct pull_layer *l)
{
	char have[TEXT_SIZE_MAX], size[TEXT_SIZE_MAX];

	add_id(b, l);
	if (l->state == PULL_HERE)
		sbuf_addf(b, " here already");
	else if (l->state == PULL_FETCHED)
		sbuf_addf(b, " fetched %s", text_size(l->size_bytes, size));
	else if (l->state == PULL_WAITING)
		sbuf_addf(b, " waiting");
	else {
		add_bar(b, l);
		sbuf_addf(b, "%s of %s", text_size(l->have_bytes, have),
			  text_size(l->size_bytes, size));
	}
	sbuf_addf(b, "\x1b[K\n");
}

/* Speed of this run, so without what was there before. */
static void add_total(struct progress *p, struct sbuf *b, const struct pull_layer *layers, size_t n)
{
	uint64_t have = 0, size = 0, took = mono_ms() - p->started_ms, rate;
	char text[TEXT_SIZE_MAX];

	for (size_t i = 0; i < n; i++) {
		have += layers[i].have_bytes;
		size += layers[i].size_bytes;
	}
	if (p->lines == 0)
		p->begun_bytes = have;
	rate = took ? (have - MIN(have, p->begun_bytes)) * 1000 / took : 0;
	sbuf_addf(b, "%s/s", text_size(rate, text));
	if (rate && have < size)
		sbuf_addf(b, ", %llu s left", (unsigned long long)((size - have) / rate));
	sbuf_addf(b, "\x1b[K\n");
}

static void draw(struct progress *p, const struct pull_layer *layers, size_t n)
{
	AUTO_SBUF b;

	sbuf_init(&b, SBUF_MAX);
	if (p->lines)
		sbuf_addf(&b, "\x1b[%uA", p->lines);
	for (size_t i = 0; i < n; i++)
		add_layer(&b, &layers[i]);
	add_total(p, &b, layers, n);
	p->lines = (unsigned)n + 1;
	if (!b.failed)
		(void)fputs(b.p, stderr);
}

static void tell(struct progress *p, const struct pull_layer *layers, size_t n)
{
	char size[TEXT_SIZE_MAX];

	for (size_t i = 0; i < n; i++) {
		AUTO_SBUF id = { 0 };

		if (layers[i].state != PULL_FETCHED || p->told[i] == PULL_FETCHED)
			continue;
		p->told[i] = PULL_FETCHED;
		sbuf_init(&id, 64);
		add_id(&id, &layers[i]);
		cli_note("%s: fetched %s", id.failed ? "" : id.p,
			 text_size(layers[i].size_bytes, size));
	}
}

static bool is_over(const struct pull_layer *layers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (layers[i].state != PULL_FETCHED && layers[i].state != PULL_HERE)
			return false;
	}
	return true;
}

void progress_show(void *arg, const struct pull_layer *layers, size_t n)
{
	struct progress *p = arg;

	if (p->quiet)
		return;
	if (!p->told)
		p->told = calloc(n + 1, sizeof(*p->told));
	if (!p->told)
		return;
	if (!p->is_terminal) {
		tell(p, layers, n);
		return;
	}
	if (p->lines && mono_ms() - p->drawn_ms < DRAW_EVERY_MS && !is_over(layers, n))
		return;
	p->drawn_ms = mono_ms();
	draw(p, layers, n);
}
