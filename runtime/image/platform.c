#include "runtime/image/platform.h"

#include <sys/utsname.h>

/* Names of uname(2) and others, and Go's for the same. */
static const struct {
	const char *name, *arch, *variant;
} arches[] = {
	{ "x86_64", "amd64", "" },    { "x86-64", "amd64", "" },
	{ "aarch64", "arm64", "" },   { "armv8l", "arm64", "" },
	{ "armv7l", "arm", "v7" },    { "armhf", "arm", "v7" },
	{ "armv6l", "arm", "v6" },    { "armel", "arm", "v6" },
	{ "i386", "386", "" },        { "i486", "386", "" },
	{ "i586", "386", "" },        { "i686", "386", "" },
	{ "ppc64el", "ppc64le", "" }, { "loongarch64", "loong64", "" },
};

static void set(char to[static PLATFORM_PART_MAX], const char *from)
{
	(void)snprintf(to, PLATFORM_PART_MAX, "%s", from);
}

/* v8 is what arm64 is without a word, v7 what arm is, v1 what amd64 is. */
static void normalize(struct platform *p)
{
	for (size_t i = 0; i < ARRAY_LEN(arches); i++) {
		if (strcmp(p->arch, arches[i].name) != 0)
			continue;
		set(p->arch, arches[i].arch);
		if (!p->variant[0])
			set(p->variant, arches[i].variant);
	}
	if (strcmp(p->arch, "arm64") == 0 &&
	    (strcmp(p->variant, "v8") == 0 || strcmp(p->variant, "8") == 0))
		set(p->variant, "");
	if (strcmp(p->arch, "amd64") == 0 && strcmp(p->variant, "v1") == 0)
		set(p->variant, "");
	if (strcmp(p->arch, "arm") == 0 && !p->variant[0])
		set(p->variant, "v7");
}

static const char *processor_level(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("x86-64-v4"))
		return "v4";
	if (__builtin_cpu_supports("x86-64-v3"))
		return "v3";
	if (__builtin_cpu_supports("x86-64-v2"))
		return "v2";
#endif
	return "";
}

struct platform platform_host(void)
{
	struct platform p = { .os = "linux" };
	struct utsname u;

	if (uname(&u) == 0)
		(void)str_copy(str_of(u.machine), p.arch, sizeof(p.arch));
	normalize(&p);
	if (strcmp(p.arch, "amd64") == 0)
		set(p.variant, processor_level());
	return p;
}

static bool copy_word(struct str in, char to[static PLATFORM_PART_MAX])
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '-' || c == '.'))
			return false;
		if (i + 1 < PLATFORM_PART_MAX)
			to[i] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	if (in.n >= PLATFORM_PART_MAX)
		return false;
	to[in.n] = '\0';
	return true;
}

bool platform_of(struct platform *ret, struct str os, struct str arch, struct str variant)
{
	struct platform p;

	if (!copy_word(os, p.os) || !copy_word(arch, p.arch) || !copy_word(variant, p.variant))
		return false;
	normalize(&p);
	*ret = p;
	return true;
}

static bool is_os(struct str s)
{
	return str_eq(s, STR("linux")) || str_eq(s, STR("windows")) || str_eq(s, STR("darwin")) ||
	       str_eq(s, STR("freebsd"));
}

static enum err_kind no_platform(struct str in, struct err *e)
{
	return err_set(
	    e, ERR_INVALID, __func__,
	    "\"%.*s\" is no platform: write OS/ARCHITECTURE[/VARIANT], such as linux/arm64",
	    (int)MIN(in.n, (size_t)60), in.p);
}

enum err_kind platform_parse(struct platform *ret, struct str in, struct err *e)
{
	struct platform host = platform_host();
	struct str part[4] = { { "", 0 }, { "", 0 }, { "", 0 }, { "", 0 } }, rest = in;
	size_t n = 0;
	bool more;

	do
		more = str_cut(rest, '/', &part[n], &rest);
	while (part[n++].n && more && n < ARRAY_LEN(part));
	if (more || n > 3 || part[n - 1].n == 0)
		return no_platform(in, e);
	if (n == 1 && is_os(part[0])) {
		part[1] = str_of(host.arch);
		part[2] = str_of(host.variant);
	} else if (n == 1) {
		part[1] = part[0];
		part[0] = STR("linux");
	}
	if (!platform_of(ret, part[0], part[1], part[2]))
		return no_platform(in, e);
	return ERR_OK;
}

/* "v7" is 7; no variant is the least of its architecture. */
static unsigned level(const struct platform *p)
{
	const char *v = p->variant;

	if (v[0] == 'v' && v[1] >= '1' && v[1] <= '9')
		return (unsigned)(v[1] - '0');
	return strcmp(p->arch, "arm64") == 0 ? 8 : 1;
}

/* Variants of these build on one another: a lower one runs wherever a higher one does. */
static bool has_levels(const struct platform *p)
{
	return strcmp(p->arch, "arm") == 0 || strcmp(p->arch, "arm64") == 0 ||
	       strcmp(p->arch, "amd64") == 0;
}

unsigned platform_rank(const struct platform *want, const struct platform *have)
{
	if (!have->os[0] && !have->arch[0])
		return 1; /* it does not say */
	if (strcmp(want->os, have->os) != 0 || strcmp(want->arch, have->arch) != 0)
		return 0;
	if (!has_levels(want))
		return strcmp(want->variant, have->variant) == 0 ? 20 : (have->variant[0] ? 0 : 10);
	if (level(have) > level(want))
		return 0;
	return 10 + level(have);
}

const char *platform_text(const struct platform *p, char buf[static PLATFORM_TEXT_MAX])
{
	(void)snprintf(buf, PLATFORM_TEXT_MAX, "%s/%s%s%s", p->os[0] ? p->os : "?",
		       p->arch[0] ? p->arch : "?", p->variant[0] ? "/" : "", p->variant);
	return buf;
}
