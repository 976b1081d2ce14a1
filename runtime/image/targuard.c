#include "runtime/image/targuard.h"

#define SIZE_MAX_BYTES (UINT64_C(1) << 62)
#define RECORDS_MAX 4096 /* of one extended header */

/* POSIX.1-2017 pax, "ustar Interchange Format": offsets and lengths in a header block. */
#define SIZE_AT 124
#define SIZE_LEN 12
#define SUM_AT 148
#define SUM_LEN 8
#define TYPE_AT 156
#define NAME_LEN 100
#define SPARSE_MORE_AT 482 /* old GNU sparse: another block of the map follows */
#define SPARSE_MORE_NEXT_AT 504

enum guard_state {
	GUARD_HEADER,   /* a header block */
	GUARD_EXTENDED, /* the body of an extended header */
	GUARD_SPARSE,   /* a block of an old GNU sparse map */
	GUARD_SKIP,     /* data and padding */
	GUARD_END,      /* after the end of the archive, where anything may be */
};

struct queued {
	struct queued *next;
	struct targuard_member m;
};

struct targuard {
	enum guard_state state;
	enum err_kind failed;
	struct err failure;
	uint64_t at;   /* bytes fed */
	uint64_t left; /* of SKIP */
	uint64_t data; /* of a sparse member, which follows its map */
	unsigned zeros;
	size_t n;
	uint8_t block[TAR_BLOCK];

	/* The group of headers under way. */
	bool in_group;
	uint64_t group_at;
	uint8_t extended_type;
	size_t extended_n;
	struct sbuf extended;
	bool has_pax, has_long_name, has_long_target, has_size;
	uint64_t size;
	char *path, *target;

	struct queued *first, **last;
	uint64_t members;
};

void targuard_member_clear(struct targuard_member *m)
{
	free(m->path);
	free(m->target);
	*m = (struct targuard_member){ 0 };
}

static void group_clear(struct targuard *g)
{
	g->in_group = g->has_pax = g->has_long_name = g->has_long_target = g->has_size = false;
	free(TAKE(g->path));
	free(TAKE(g->target));
}

enum err_kind targuard_new(struct targuard **ret, struct err *e)
{
	struct targuard *g = calloc(1, sizeof(*g));

	if (!g)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to check an archive");
	g->last = &g->first;
	sbuf_init(&g->extended, TARGUARD_EXTENDED_MAX + TAR_BLOCK);
	*ret = g;
	return ERR_OK;
}

void targuard_free(struct targuard **take)
{
	struct targuard *g = TAKE(*take);

	if (!g)
		return;
	while (g->first) {
		struct queued *q = g->first;

		g->first = q->next;
		targuard_member_clear(&q->m);
		free(q);
	}
	group_clear(g);
	sbuf_clear(&g->extended);
	free(g);
}

static enum err_kind refuse(const struct targuard *g, const char *why, struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "tar header at byte %llu: %s",
		       (unsigned long long)g->group_at, why);
}

/* Blanks, octal digits, then blanks and NULs to the end of the field; nothing at all is 0. */
static bool scan_octal(struct str in, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;

	while (i < in.n && in.p[i] == ' ')
		i++;
	for (; i < in.n && in.p[i] >= '0' && in.p[i] <= '7'; i++) {
		if (v >> 60)
			return false;
		v = v << 3 | (uint64_t)(in.p[i] - '0');
	}
	for (; i < in.n; i++) {
		if (in.p[i] != ' ' && in.p[i] != '\0')
			return false;
	}
	*ret = v;
	return true;
}

/* Octal, or GNU's base 256: a first byte of 0x80, then a big-endian number. */
static bool scan_size(const uint8_t *field, uint64_t *ret)
{
	uint64_t v = 0;

	if (!(field[0] & 0x80))
		return scan_octal((struct str){ (const char *)field, SIZE_LEN }, ret);
	if (field[0] != 0x80)
		return false;
	for (size_t i = 1; i < SIZE_LEN; i++) {
		if (v >> 54)
			return false;
		v = v << 8 | field[i];
	}
	*ret = v;
	return true;
}

static bool sum_is_right(const uint8_t *block)
{
	uint64_t want;
	uint32_t plain = 0;
	int32_t with_signs = 0; /* of old Sun tars, which others still read */

	if (!scan_octal((struct str){ (const char *)block + SUM_AT, SUM_LEN }, &want))
		return false;
	for (size_t i = 0; i < TAR_BLOCK; i++) {
		bool in_sum = i >= SUM_AT && i < SUM_AT + SUM_LEN;

		plain += in_sum ? ' ' : block[i];
		with_signs += in_sum ? ' ' : (int8_t)block[i];
	}
	return want == plain || (with_signs >= 0 && want == (uint32_t)with_signs);
}

static bool is_zeros(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i])
			return false;
	}
	return true;
}

static uint64_t padded(uint64_t n)
{
	return (n + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

/* "-12.345": what libarchive reads as a time. */
static bool is_time(struct str s)
{
	uint64_t v;

	(void)scan_char(&s, '-');
	if (!scan_u64(&s, INT64_MAX, &v))
		return false;
	if (!scan_char(&s, '.'))
		return scan_end(&s);
	while (s.n && s.p[0] >= '0' && s.p[0] <= '9') {
		s.p++;
		s.n--;
	}
	return scan_end(&s);
}

static bool is_number(struct str s, uint64_t max, uint64_t *ret)
{
	return scan_u64(&s, max, ret) && scan_end(&s);
}

static enum err_kind keep_name(struct targuard *g, struct str value, char **to, struct err *e)
{
	char *copy;

	if (value.n == 0 || memchr(value.p, '\0', value.n))
		return refuse(g, "a pax name that is empty or has a NUL", e);
	copy = malloc(value.n + 1);
	if (!copy)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a name");
	memcpy(copy, value.p, value.n);
	copy[value.n] = '\0';
	free(*to);
	*to = copy;
	return ERR_OK;
}

/* One record of an 'x' header. */
static enum err_kind take_record(struct targuard *g, struct str key, struct str value,
				 struct err *e)
{
	uint64_t v;

	if (str_eq(key, STR("path")) || str_eq(key, STR("GNU.sparse.name")))
		return keep_name(g, value, &g->path, e);
	if (str_eq(key, STR("linkpath")))
		return keep_name(g, value, &g->target, e);
	if (str_eq(key, STR("size"))) {
		g->has_size = is_number(value, SIZE_MAX_BYTES, &g->size);
		return g->has_size ? ERR_OK : refuse(g, "a pax size that is none", e);
	}
	if ((str_eq(key, STR("uid")) || str_eq(key, STR("gid"))) &&
	    !is_number(value, UINT32_MAX - 1, &v))
		return refuse(g, "a pax uid or gid that is none", e);
	if ((str_eq(key, STR("mtime")) || str_eq(key, STR("atime")) || str_eq(key, STR("ctime"))) &&
	    !is_time(value))
		return refuse(g, "a pax time that is none", e);
	return ERR_OK;
}

/*
 * A 'g' header holds for all members that follow.  Readers of layers skip it, tar itself does not: what would make them
 * differ is refused.
 */
static enum err_kind check_global(const struct targuard *g, struct str key, struct err *e)
{
	static const char *const differing[] = { "path", "linkpath", "size",  "uid",
						 "gid",  "uname",    "gname", "mtime" };

	for (size_t i = 0; i < ARRAY_LEN(differing); i++) {
		if (str_eq(key, str_of(differing[i])))
			return refuse(g, "a global pax header that sets a member's attributes", e);
	}
	if (str_starts(key, STR("GNU.sparse.")) || str_starts(key, STR("SCHILY.")) ||
	    str_starts(key, STR("LIBARCHIVE.")))
		return refuse(g, "a global pax header that sets a member's attributes", e);
	return ERR_OK;
}

/* "LENGTH KEY=VALUE\n", where LENGTH counts all of it. */
static bool cut_record(struct str *in, struct str *ret_key, struct str *ret_value)
{
	struct str rest = *in, record;
	uint64_t length;

	if (!scan_u64(&rest, in->n, &length) || !scan_char(&rest, ' ') ||
	    length < in->n - rest.n + 2)
		return false;
	record = (struct str){ rest.p, (size_t)length - (in->n - rest.n) };
	if (record.p[record.n - 1] != '\n')
		return false;
	record.n--;
	*in = (struct str){ in->p + length, in->n - (size_t)length };
	return str_cut(record, '=', ret_key, ret_value) && ret_key->n > 0 &&
	       !memchr(ret_key->p, '\0', ret_key->n);
}

static enum err_kind take_pax(struct targuard *g, struct str body, struct err *e)
{
	struct str key, value;
	enum err_kind k = ERR_OK;

	for (unsigned i = 0; k == ERR_OK && body.n > 0; i++) {
		if (i == RECORDS_MAX || !cut_record(&body, &key, &value))
			return refuse(g, "malformed pax records", e);
		k = g->extended_type == 'g' ? check_global(g, key, e)
					    : take_record(g, key, value, e);
	}
	return k;
}

static enum err_kind end_extended(struct targuard *g, struct err *e)
{
	struct str body = { g->extended.p, g->extended_n };

	if (g->extended.failed)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for an extended header");
	g->state = GUARD_HEADER;
	if (g->extended_type == 'x' || g->extended_type == 'g')
		return take_pax(g, body, e);
	if (body.n == 0 || !memchr(body.p, '\0', body.n))
		return refuse(g, "a long name without its end", e);
	return ERR_OK;
}

static enum err_kind begin_extended(struct targuard *g, uint64_t size, struct err *e)
{
	bool *had = g->extended_type == 'x'   ? &g->has_pax
		    : g->extended_type == 'L' ? &g->has_long_name
		    : g->extended_type == 'K' ? &g->has_long_target
					      : NULL;

	if (had && *had)
		return refuse(g, "two extended headers of one kind for one member", e);
	if (had)
		*had = true;
	if (size > TARGUARD_EXTENDED_MAX)
		return refuse(g, "an extended header of more than 1 MiB", e);
	g->extended_n = (size_t)size;
	sbuf_clear(&g->extended);
	g->state = GUARD_EXTENDED;
	return size ? ERR_OK : end_extended(g, e);
}

static enum err_kind queue_member(struct targuard *g, struct err *e)
{
	struct queued *q = calloc(1, sizeof(*q));

	if (!q)
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory for a member");
	q->m = (struct targuard_member){ .at = g->group_at,
					 .path = TAKE(g->path),
					 .target = TAKE(g->target) };
	*g->last = q;
	g->last = &q->next;
	g->members++;
	group_clear(g);
	return ERR_OK;
}

static bool name_ends_in_slash(const struct targuard *g)
{
	const char *name = g->path ? g->path : (const char *)g->block;
	size_t n = g->path ? strlen(name) : strnlen(name, NAME_LEN);

	return n > 0 && name[n - 1] == '/';
}

static enum err_kind begin_member(struct targuard *g, char type, uint64_t size, struct err *e)
{
	if (g->has_size)
		size = g->size;
	switch (type) {
	case '0':
	case '\0':
	case '7':
	case 'S':
		if (size && !g->has_long_name && name_ends_in_slash(g))
			return refuse(g, "a file whose name ends in a slash", e);
		break;
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
		if (size)
			return refuse(g, "a member that is no file but has data", e);
		break;
	default:
		return refuse(g, "a member of an unknown type", e);
	}
	g->left = padded(size);
	g->state = g->left ? GUARD_SKIP : GUARD_HEADER;
	if (type == 'S' && g->block[SPARSE_MORE_AT]) {
		g->state = GUARD_SPARSE;
		g->data = g->left;
	}
	return queue_member(g, e);
}

static enum err_kind take_zeros(struct targuard *g, struct err *e)
{
	if (g->in_group)
		return refuse(g, "an extended header without a member", e);
	g->zeros++;
	if (g->zeros == 2)
		g->state = GUARD_END;
	return ERR_OK;
}

static enum err_kind take_header(struct targuard *g, struct err *e)
{
	uint64_t size;
	char type = (char)g->block[TYPE_AT];

	if (!g->in_group)
		g->group_at = g->at - TAR_BLOCK;
	if (is_zeros(g->block, sizeof(g->block)))
		return take_zeros(g, e);
	if (g->zeros)
		return refuse(g, "a member after a block of zeros", e);
	if (!sum_is_right(g->block))
		return refuse(g, g->group_at ? "wrong checksum" : "this is not a tar archive", e);
	if (!scan_size(g->block + SIZE_AT, &size) || size > SIZE_MAX_BYTES)
		return refuse(g, "a size that is none", e);
	g->in_group = true;
	if (memchr("xgLK", type, 4)) {
		g->extended_type = (uint8_t)type;
		return begin_extended(g, size, e);
	}
	return begin_member(g, type, size, e);
}

static enum err_kind take_block(struct targuard *g, struct err *e)
{
	g->n = 0;
	if (g->state == GUARD_HEADER)
		return take_header(g, e);
	if (g->state == GUARD_SPARSE) {
		if (!g->block[SPARSE_MORE_NEXT_AT]) {
			g->left = g->data;
			g->state = g->left ? GUARD_SKIP : GUARD_HEADER;
		}
		return ERR_OK;
	}
	sbuf_add(&g->extended, g->block, TAR_BLOCK);
	return g->extended.n >= padded(g->extended_n) || g->extended.failed ? end_extended(g, e)
									    : ERR_OK;
}

/* Consumes a part of the bytes. */
static enum err_kind step(struct targuard *g, const uint8_t *p, size_t n, size_t *ret_used,
			  struct err *e)
{
	size_t used = n;

	if (g->state == GUARD_SKIP) {
		used = (size_t)MIN(g->left, (uint64_t)n);
		g->left -= used;
		if (g->left == 0)
			g->state = GUARD_HEADER;
	} else if (g->state == GUARD_END) {
		if (g->members == 0 && !is_zeros(p, n)) /* an ISO image also begins with zeros */
			return refuse(g, "this is not a tar archive", e);
	} else {
		used = MIN(n, sizeof(g->block) - g->n);
		memcpy(g->block + g->n, p, used);
		g->n += used;
	}
	g->at += used;
	*ret_used = used;
	return g->n == sizeof(g->block) ? take_block(g, e) : ERR_OK;
}

enum err_kind targuard_feed(struct targuard *g, const void *p, size_t n, struct err *e)
{
	const uint8_t *at = p;

	while (n > 0 && g->failed == ERR_OK) {
		size_t used = 0;

		g->failed = step(g, at, n, &used, &g->failure);
		at += used;
		n -= used;
	}
	if (g->failed != ERR_OK)
		*e = g->failure;
	return g->failed;
}

enum err_kind targuard_end(struct targuard *g, struct err *e)
{
	if (g->failed != ERR_OK) {
		*e = g->failure;
		return g->failed;
	}
	if (g->at == 0)
		return err_set(e, ERR_INVALID, __func__, "an empty file is not a tar archive");
	if (g->state == GUARD_END)
		return ERR_OK;
	if (g->in_group || g->n > 0 || g->state != GUARD_HEADER)
		return err_set(e, ERR_INVALID, __func__, "the archive is cut off at byte %llu",
			       (unsigned long long)g->at);
	return ERR_OK;
}

void targuard_next(struct targuard *g, struct targuard_member *ret)
{
	struct queued *q = g->first;

	*ret = (struct targuard_member){ 0 };
	if (!q)
		return;
	g->first = q->next;
	if (!g->first)
		g->last = &g->first;
	*ret = q->m;
	ret->has_header = true;
	free(q);
}
