#include "server/expo.h"

static const char *const type_names[] = {
	[EXPO_COUNTER] = "counter",
	[EXPO_GAUGE] = "gauge",
	[EXPO_HISTOGRAM] = "histogram",
};

void expo_family(struct expo *x, enum expo_type type, const char *name, const char *help)
{
	/* OpenMetrics names the family of a counter without the suffix. */
	const char *suffix = type == EXPO_COUNTER && !x->is_openmetrics ? "_total" : "";

	x->name = name;
	x->type = type;
	sbuf_addf(x->b, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, suffix, help, name, suffix,
		  type_names[type]);
}

static void add_name(struct expo *x, const char *suffix, const char *labels)
{
	sbuf_addf(x->b, *labels ? "%s%s{%s} " : "%s%s%s ", x->name, suffix, labels);
}

static const char *suffix_of(const struct expo *x)
{
	return x->type == EXPO_COUNTER ? "_total" : "";
}

void expo_sample(struct expo *x, const char *labels, uint64_t v)
{
	add_name(x, suffix_of(x), labels);
	sbuf_addf(x->b, "%llu\n", (unsigned long long)v);
}

void expo_ms(struct expo *x, const char *labels, uint64_t ms)
{
	add_name(x, suffix_of(x), labels);
	sbuf_addf(x->b, "%llu.%03u\n", (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
}

static void add_us(struct expo *x, uint64_t us)
{
	sbuf_addf(x->b, "%llu.%06u\n", (unsigned long long)(us / 1000000),
		  (unsigned)(us % 1000000));
}

void expo_us(struct expo *x, const char *labels, uint64_t us)
{
	add_name(x, suffix_of(x), labels);
	add_us(x, us);
}

static void add_bucket(struct expo *x, const char *labels, const char *bound, uint64_t v)
{
	sbuf_addf(x->b, "%s_bucket{%s%sle=\"%s\"} %llu\n", x->name, labels, *labels ? "," : "",
		  bound, (unsigned long long)v);
}

void expo_histogram(struct expo *x, const char *labels, const struct histogram *h)
{
	uint64_t sum = 0;
	char bound[32];

	for (size_t i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
		sum += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
		(void)snprintf(bound, sizeof(bound), "%g", (double)histogram_bounds_us[i] / 1e6);
		add_bucket(x, labels, bound, sum);
	}
	sum += atomic_load_explicit(&h->counts[HISTOGRAM_BUCKETS - 1], memory_order_relaxed);
	add_bucket(x, labels, "+Inf", sum);
	add_name(x, "_sum", labels);
	add_us(x, atomic_load_explicit(&h->sum_us, memory_order_relaxed));
	add_name(x, "_count", labels);
	sbuf_addf(x->b, "%llu\n", (unsigned long long)sum);
}

void expo_one(struct expo *x, enum expo_type type, const char *name, const char *help, uint64_t v)
{
	expo_family(x, type, name, help);
	expo_sample(x, "", v);
}

void expo_end(struct expo *x)
{
	if (x->is_openmetrics)
		sbuf_add_str(x->b, STR("# EOF\n"));
}
