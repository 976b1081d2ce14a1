/*
 * answer - an HTTP/1.1 answer as it comes in, in pieces of any size; the body is counted and dropped.
 *
 * answer_init(), and is_head set if it answers a HEAD; then answer_feed() until the part is ANSWER_DONE or
 * ANSWER_BAD.
 */
#pragma once

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 8192
#define STATUS_N 600

enum answer_part {
	ANSWER_HEAD,
	ANSWER_BODY,
	ANSWER_CHUNK_SIZE,
	ANSWER_CHUNK_DATA,
	ANSWER_CHUNK_END,
	ANSWER_TRAILER,
	ANSWER_DONE,
	ANSWER_BAD,
};

struct answer {
	enum answer_part part;
	unsigned status;
	bool is_head; /* there is no body, whatever the headers say */
	bool is_last; /* the server closes the connection after it */
	uint64_t left, body_n;
	size_t head_n, line_n;
	char head[HEAD_MAX + 1];
};

static inline void answer_init(struct answer *a)
{
	memset(a, 0, offsetof(struct answer, head));
	a->head[0] = '\0';
}

/* Copies the value of a header, "" if there is none or it does not fit. */
static inline void answer_header(const struct answer *a, const char *name, char *ret, size_t size)
{
	size_t name_n = strlen(name), n;
	const char *line = a->head;

	ret[0] = '\0';
	while ((line = strstr(line, "\r\n")) != NULL) {
		line += 2;
		if (strncasecmp(line, name, name_n) != 0 || line[name_n] != ':')
			continue;
		line += name_n + 1;
		line += strspn(line, " \t");
		n = strcspn(line, "\r");
		if (n < size) {
			memcpy(ret, line, n);
			ret[n] = '\0';
		}
		return;
	}
}

static inline bool answer_scan_u64(const char *text, unsigned base, uint64_t *ret)
{
	uint64_t v = 0;

	if (!isxdigit((unsigned char)*text))
		return false;
	for (; isxdigit((unsigned char)*text); text++) {
		unsigned digit = isdigit((unsigned char)*text)
				     ? (unsigned)(*text - '0')
				     : (unsigned)((*text | 0x20) - 'a') + 10;

		if (digit >= base || v > (UINT64_MAX - digit) / base)
			return false;
		v = v * base + digit;
	}
	*ret = v;
	return true;
}

static inline enum answer_part answer_parse_head(struct answer *a)
{
	char value[64];
	uint64_t status;

	if (strncmp(a->head, "HTTP/1.", 7) != 0 || !answer_scan_u64(a->head + 9, 10, &status) ||
	    status < 100 || status >= STATUS_N)
		return ANSWER_BAD;
	a->status = (unsigned)status;
	answer_header(a, "Connection", value, sizeof(value));
	a->is_last = strcasecmp(value, "close") == 0;
	if (a->is_head)
		return ANSWER_DONE;
	answer_header(a, "Transfer-Encoding", value, sizeof(value));
	if (strcasecmp(value, "chunked") == 0)
		return ANSWER_CHUNK_SIZE;
	answer_header(a, "Content-Length", value, sizeof(value));
	if (value[0] == '\0')
		return status == 204 || status == 304 ? ANSWER_DONE : ANSWER_BAD;
	if (!answer_scan_u64(value, 10, &a->left))
		return ANSWER_BAD;
	return a->left > 0 ? ANSWER_BODY : ANSWER_DONE;
}

/* Takes bytes up to the end of the head; returns how many. */
static inline size_t answer_take_head(struct answer *a, const char *p, size_t n)
{
	size_t old = a->head_n, from = old < 3 ? 0 : old - 3;
	size_t fits = n < HEAD_MAX - old ? n : HEAD_MAX - old;
	char *end;

	memcpy(a->head + old, p, fits);
	end = memmem(a->head + from, old + fits - from, "\r\n\r\n", 4);
	if (!end) {
		a->head_n += fits;
		if (a->head_n == HEAD_MAX)
			a->part = ANSWER_BAD;
		return fits;
	}
	a->head_n = (size_t)(end - a->head) + 4;
	a->head[a->head_n] = '\0';
	a->part = answer_parse_head(a);
	return a->head_n - old;
}

/* Takes one byte of the lines around chunks; the line is kept behind the head, which is done with. */
static inline void answer_take_line(struct answer *a, char c)
{
	char *line = a->head + a->head_n;

	if (c != '\n') {
		if (c != '\r' && a->head_n + a->line_n < HEAD_MAX)
			line[a->line_n++] = c;
		return;
	}
	line[a->line_n] = '\0';
	if (a->part == ANSWER_CHUNK_END)
		a->part = ANSWER_CHUNK_SIZE;
	else if (a->part == ANSWER_TRAILER)
		a->part = a->line_n == 0 ? ANSWER_DONE : ANSWER_TRAILER;
	else if (!answer_scan_u64(line, 16, &a->left))
		a->part = ANSWER_BAD;
	else
		a->part = a->left > 0 ? ANSWER_CHUNK_DATA : ANSWER_TRAILER;
	a->line_n = 0;
}

static inline void answer_feed(struct answer *a, const char *p, size_t n)
{
	size_t step;

	for (; n > 0 && a->part < ANSWER_DONE; p += step, n -= step) {
		step = 1;
		if (a->part == ANSWER_HEAD) {
			step = answer_take_head(a, p, n);
		} else if (a->part == ANSWER_BODY || a->part == ANSWER_CHUNK_DATA) {
			step = n < a->left ? n : (size_t)a->left;
			a->left -= step;
			a->body_n += step;
			if (a->left == 0)
				a->part = a->part == ANSWER_BODY ? ANSWER_DONE : ANSWER_CHUNK_END;
		} else {
			answer_take_line(a, *p);
		}
	}
	if (n > 0)
		a->part = ANSWER_BAD; /* bytes that nobody asked for */
}
