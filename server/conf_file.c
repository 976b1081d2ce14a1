#include <errno.h>
#include <yaml.h>

#include "base/fd.h"
#include "server/conf.h"

#define FILE_MAX (1024u * 1024)
#define PREFIX_MAX 64

/* A configuration is mappings of mappings of scalars; nothing else of YAML is accepted. */
struct reader {
	struct conf *c;
	const char *name;
	yaml_parser_t parser;
	char prefix[PREFIX_MAX]; /* "http." inside of http: */
	size_t n_prefix;
};

static enum err_kind refuse(const struct reader *r, const yaml_mark_t *at, const char *what,
			    struct err *e)
{
	return err_set(e, ERR_INVALID, __func__, "%s:%zu: %s", r->name, at->line + 1, what);
}

static enum err_kind next_event(struct reader *r, yaml_event_t *ret, struct err *e)
{
	if (yaml_parser_parse(&r->parser, ret))
		return ERR_OK;
	return refuse(r, &r->parser.problem_mark,
		      r->parser.problem ? r->parser.problem : "bad YAML", e);
}

static struct str scalar(const yaml_event_t *ev)
{
	return (struct str){ (const char *)ev->data.scalar.value, ev->data.scalar.length };
}

static enum err_kind read_mapping(struct reader *r, unsigned depth, struct err *e);

static enum err_kind set_value(struct reader *r, struct str key, const yaml_event_t *value,
			       struct err *e)
{
	char full[2 * PREFIX_MAX], where[512];
	size_t n = MIN(key.n, (size_t)PREFIX_MAX); /* no option has so long a name */

	memcpy(full, r->prefix, r->n_prefix);
	memcpy(full + r->n_prefix, key.p, n);
	(void)snprintf(where, sizeof(where), "%.400s:%zu", r->name, value->start_mark.line + 1);
	return conf_set(r->c, (struct str){ full, r->n_prefix + n }, scalar(value), where, e);
}

static enum err_kind read_value(struct reader *r, struct str key, unsigned depth, struct err *e)
{
	yaml_event_t ev;
	enum err_kind k = next_event(r, &ev, e);

	if (k != ERR_OK)
		return k;
	if (ev.type == YAML_SCALAR_EVENT) {
		k = set_value(r, key, &ev, e);
	} else if (ev.type != YAML_MAPPING_START_EVENT || depth != 0 || key.n + 1 > PREFIX_MAX) {
		k = refuse(r, &ev.start_mark, "a value or a group of options is wanted here", e);
	} else {
		memcpy(r->prefix, key.p, key.n);
		r->prefix[key.n] = '.';
		r->n_prefix = key.n + 1;
		k = read_mapping(r, depth + 1, e);
		r->n_prefix = 0;
	}
	yaml_event_delete(&ev);
	return k;
}

/* After the start of a mapping, through its end. */
static enum err_kind read_mapping(struct reader *r, unsigned depth, struct err *e)
{
	for (;;) {
		yaml_event_t key;
		enum err_kind k = next_event(r, &key, e);

		if (k != ERR_OK)
			return k;
		if (key.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&key);
			return ERR_OK;
		}
		if (key.type == YAML_SCALAR_EVENT)
			k = read_value(r, scalar(&key), depth, e);
		else
			k = refuse(r, &key.start_mark, "the name of an option is wanted here", e);
		yaml_event_delete(&key);
		if (k != ERR_OK)
			return k;
	}
}

static enum err_kind read_document(struct reader *r, struct err *e)
{
	for (;;) {
		yaml_event_t ev;
		enum err_kind k = next_event(r, &ev, e);
		yaml_event_type_t type;

		if (k != ERR_OK)
			return k;
		type = ev.type;
		if (type == YAML_MAPPING_START_EVENT)
			k = read_mapping(r, 0, e);
		else if (type == YAML_SEQUENCE_START_EVENT || type == YAML_ALIAS_EVENT ||
			 (type == YAML_SCALAR_EVENT && ev.data.scalar.length))
			k = refuse(r, &ev.start_mark, "options are wanted here", e);
		yaml_event_delete(&ev);
		if (k != ERR_OK || type == YAML_STREAM_END_EVENT)
			return k;
	}
}

enum err_kind conf_read_file(struct conf *c, const char *name, struct err *e)
{
	AUTO_SBUF text;
	AUTO_FREE char *real = realpath(name, NULL); /* a symbolic link is as good as a file here */
	struct reader r = { .c = c, .name = name };
	enum err_kind k;

	sbuf_init(&text, FILE_MAX);
	if (!real)
		return err_sys(e, __func__, "find %s", name);
	k = fd_read_file(AT_FDCWD, real, &text, e);
	if (k != ERR_OK)
		return k;
	if (!yaml_parser_initialize(&r.parser))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to read %s", name);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	k = read_document(&r, e);
	yaml_parser_delete(&r.parser);
	return k;
}
