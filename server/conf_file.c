#include <errno.h>
#include <yaml.h>

#include "base/fd.h"
#include "server/conf.h"

#define FILE_MAX (1024u * 1024)
#define PREFIX_MAX 64
#define GROUP_DEPTH_MAX 3

#define LIST_DEPTH_MAX 6

/* A configuration is groups of groups of scalars and lists; anchors and tags of YAML are not accepted. */
struct reader {
	struct conf *c; /* NULL for conf_parse_list */
	const char *name;
	struct faults *faults;
	yaml_parser_t parser;
	unsigned depth;          /* of lists and mappings that are open */
	bool broken;             /* what comes next is not known */
	char prefix[PREFIX_MAX]; /* "auth.ldap." inside of auth: {ldap: ..} */
	size_t n_prefix;
};

static enum err_kind refuse(const struct reader *r, const yaml_mark_t *at, const char *what,
			    struct err *e)
{
	if (!r->c) /* a value by itself, whose name says where it was given */
		return err_set(e, ERR_INVALID, __func__, "%s: %s", r->name, what);
	return err_set(e, ERR_INVALID, __func__, "%s:%zu: %s", r->name, at->line + 1, what);
}

static enum err_kind next_event(struct reader *r, yaml_event_t *ret, struct err *e)
{
	if (yaml_parser_parse(&r->parser, ret)) {
		r->depth +=
		    ret->type == YAML_SEQUENCE_START_EVENT || ret->type == YAML_MAPPING_START_EVENT;
		r->depth -=
		    ret->type == YAML_SEQUENCE_END_EVENT || ret->type == YAML_MAPPING_END_EVENT;
		return ERR_OK;
	}
	r->broken = true;
	return refuse(r, &r->parser.problem_mark,
		      r->parser.problem ? r->parser.problem : "bad YAML", e);
}

/* Tells what is wrong, and leaves what was begun inside of depth, so that reading goes on behind it. */
static enum err_kind go_on(struct reader *r, unsigned depth, enum err_kind k, struct err *e)
{
	if (k == ERR_OK || r->broken)
		return k;
	faults_add(r->faults, e);
	for (k = ERR_OK; k == ERR_OK && r->depth > depth;) {
		yaml_event_t ev;

		k = next_event(r, &ev, e);
		if (k == ERR_OK)
			yaml_event_delete(&ev);
	}
	return k;
}

/* The same for a name, whose value goes unread as well. */
static enum err_kind skip_member(struct reader *r, unsigned depth, enum err_kind k, struct err *e)
{
	yaml_event_t ev;

	k = go_on(r, depth, k, e);
	if (k == ERR_OK)
		k = next_event(r, &ev, e);
	if (k != ERR_OK)
		return k;
	yaml_event_delete(&ev);
	while (r->depth > depth) {
		k = next_event(r, &ev, e);
		if (k != ERR_OK)
			return k;
		yaml_event_delete(&ev);
	}
	return ERR_OK;
}

static struct str scalar(const yaml_event_t *ev)
{
	return (struct str){ (const char *)ev->data.scalar.value, ev->data.scalar.length };
}

static enum err_kind read_node(struct reader *r, const yaml_event_t *first, unsigned depth,
			       struct jv **ret, struct err *e);

static enum err_kind no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, __func__, "no memory for options");
}

/* After the start of a list, through its end. */
static enum err_kind read_items(struct reader *r, unsigned depth, struct jv **ret, struct err *e)
{
	AUTO_JV *list = jv_new_array();
	enum err_kind k = list ? ERR_OK : no_memory(e);
	unsigned inside = r->depth;
	bool over = false;

	while (k == ERR_OK && !over) {
		yaml_event_t ev;
		struct jv *item = NULL;

		k = next_event(r, &ev, e);
		if (k != ERR_OK)
			return k;
		over = ev.type == YAML_SEQUENCE_END_EVENT;
		if (!over)
			k = read_node(r, &ev, depth + 1, &item, e);
		yaml_event_delete(&ev);
		if (k == ERR_OK && !over && !jv_append(list, item))
			k = no_memory(e);
		k = go_on(r, inside, k, e);
	}
	if (k == ERR_OK)
		*ret = TAKE(list);
	return k;
}

static bool set_line(struct jv *object, const char *name, const yaml_mark_t *at)
{
	char key[1 + FORM_NAME_MAX];

	return snprintf(key, sizeof(key), "@%s", name) >= (int)sizeof(key) ||
	       jv_set(object, key, jv_pack("I", (long long)at->line + 1));
}

/* inside: r->depth between members. */
static enum err_kind read_member(struct reader *r, const yaml_event_t *key, unsigned depth,
				 unsigned inside, struct jv *object, struct err *e)
{
	yaml_event_t value;
	struct jv *v = NULL;
	struct str name = scalar(key);
	enum err_kind k;

	if (key->type != YAML_SCALAR_EVENT || memchr(name.p, '@', name.n) ||
	    strlen(name.p) != name.n)
		return skip_member(r, inside,
				   refuse(r, &key->start_mark, "a name is wanted here", e), e);
	if (jv_member(object, name.p))
		return skip_member(r, inside,
				   refuse(r, &key->start_mark, "this name was given before", e), e);
	k = next_event(r, &value, e);
	if (k != ERR_OK)
		return k;
	k = read_node(r, &value, depth + 1, &v, e);
	yaml_event_delete(&value);
	if (k == ERR_OK &&
	    !(jv_set(object, name.p, v) && set_line(object, name.p, &key->start_mark)))
		k = no_memory(e);
	return k;
}

/* After the start of a mapping at line, through its end. */
static enum err_kind read_object(struct reader *r, size_t line, unsigned depth, struct jv **ret,
				 struct err *e)
{
	AUTO_JV *object = jv_pack("{s:I}", CONF_LINE, (long long)line);
	enum err_kind k = object ? ERR_OK : no_memory(e);
	unsigned inside = r->depth;
	bool over = false;

	while (k == ERR_OK && !over) {
		yaml_event_t key;

		k = next_event(r, &key, e);
		if (k != ERR_OK)
			return k;
		over = key.type == YAML_MAPPING_END_EVENT;
		if (!over)
			k = read_member(r, &key, depth, inside, object, e);
		yaml_event_delete(&key);
		k = go_on(r, inside, k, e);
	}
	if (k == ERR_OK)
		*ret = TAKE(object);
	return k;
}

static enum err_kind expand(const struct reader *r, struct str text, const yaml_mark_t *at,
			    char path[static CONF_PATH_MAX], struct err *e)
{
	char where[512];

	(void)snprintf(where, sizeof(where), r->c ? "%.400s:%zu" : "%.400s", r->name, at->line + 1);
	return conf_expand(text, where, path, e);
}

/* Any value of a list: text, list or object.  first is its first event. */
static enum err_kind read_node(struct reader *r, const yaml_event_t *first, unsigned depth,
			       struct jv **ret, struct err *e)
{
	char path[CONF_PATH_MAX];
	struct str text;
	enum err_kind k = ERR_OK;

	if (depth > LIST_DEPTH_MAX)
		return refuse(r, &first->start_mark, "this is nested too deeply", e);
	if (first->type == YAML_SEQUENCE_START_EVENT)
		return read_items(r, depth, ret, e);
	if (first->type == YAML_MAPPING_START_EVENT)
		return read_object(r, first->start_mark.line + 1, depth, ret, e);
	if (first->type != YAML_SCALAR_EVENT)
		return refuse(r, &first->start_mark, "a value is wanted here", e);
	text = scalar(first);
	if (str_starts(text, STR("credential:"))) {
		k = expand(r, text, &first->start_mark, path, e);
		text = str_of(path);
	}
	if (k == ERR_OK)
		*ret = jv_pack("s%", text.p, text.n);
	return *ret || k != ERR_OK ? k : refuse(r, &first->start_mark, "this is not UTF-8", e);
}

static enum err_kind read_mapping(struct reader *r, unsigned depth, struct err *e);

/* The option's name in full, and where it stands. */
struct place {
	char key[2 * PREFIX_MAX], where[512];
	size_t n_key;
};

static void find_place(const struct reader *r, struct str key, const yaml_mark_t *at,
		       struct place *ret)
{
	size_t n = MIN(key.n, (size_t)PREFIX_MAX); /* no option has so long a name */

	memcpy(ret->key, r->prefix, r->n_prefix);
	memcpy(ret->key + r->n_prefix, key.p, n);
	ret->n_key = r->n_prefix + n;
	(void)snprintf(ret->where, sizeof(ret->where), "%.400s:%zu", r->name, at->line + 1);
}

static enum err_kind set_list(struct reader *r, struct str key, const yaml_event_t *first,
			      struct err *e)
{
	struct place p;
	struct jv *list = NULL;
	enum err_kind k = read_node(r, first, 0, &list, e);

	if (k != ERR_OK)
		return k;
	find_place(r, key, &first->start_mark, &p);
	return conf_set_list(r->c, (struct str){ p.key, p.n_key }, list, p.where, e);
}

static enum err_kind set_value(struct reader *r, struct str key, const yaml_event_t *value,
			       struct err *e)
{
	struct place p;

	find_place(r, key, &value->start_mark, &p);
	return conf_set(r->c, (struct str){ p.key, p.n_key }, scalar(value), p.where, e);
}

static enum err_kind read_value(struct reader *r, struct str key, unsigned depth, struct err *e)
{
	yaml_event_t ev;
	enum err_kind k = next_event(r, &ev, e);

	if (k != ERR_OK)
		return k;
	if (ev.type == YAML_SCALAR_EVENT) {
		k = set_value(r, key, &ev, e);
	} else if (ev.type == YAML_SEQUENCE_START_EVENT) {
		k = set_list(r, key, &ev, e);
	} else if (ev.type != YAML_MAPPING_START_EVENT || depth + 1 == GROUP_DEPTH_MAX ||
		   key.n + 1 > PREFIX_MAX - r->n_prefix) {
		k = refuse(r, &ev.start_mark, "a value or a group of options is wanted here", e);
	} else {
		size_t n = r->n_prefix;

		memcpy(r->prefix + n, key.p, key.n);
		r->prefix[n + key.n] = '.';
		r->n_prefix = n + key.n + 1;
		k = read_mapping(r, depth + 1, e);
		r->n_prefix = n;
	}
	yaml_event_delete(&ev);
	return k;
}

/* After the start of a mapping, through its end. */
static enum err_kind read_mapping(struct reader *r, unsigned depth, struct err *e)
{
	unsigned inside = r->depth;

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
			k = go_on(r, inside, read_value(r, scalar(&key), depth, e), e);
		else
			k = skip_member(
			    r, inside,
			    refuse(r, &key.start_mark, "the name of an option is wanted here", e),
			    e);
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

enum err_kind conf_parse_list(struct str text, const char *where, struct jv **ret, struct err *e)
{
	struct faults faults = { 0 };
	struct reader r = { .name = where, .faults = &faults };
	enum err_kind k = ERR_OK;
	bool over = false;

	*ret = NULL;
	if (!yaml_parser_initialize(&r.parser))
		return no_memory(e);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	while (k == ERR_OK && !over) {
		yaml_event_t ev;

		k = next_event(&r, &ev, e);
		if (k != ERR_OK)
			break;
		over = ev.type == YAML_STREAM_END_EVENT;
		if (ev.type == YAML_SEQUENCE_START_EVENT && !*ret)
			k = read_items(&r, 0, ret, e);
		else if (!over && ev.type != YAML_STREAM_START_EVENT &&
			 ev.type != YAML_DOCUMENT_START_EVENT && ev.type != YAML_DOCUMENT_END_EVENT)
			k = refuse(&r, &ev.start_mark, "one list is wanted here", e);
		yaml_event_delete(&ev);
	}
	yaml_parser_delete(&r.parser);
	if (faults.n)
		k = faults_first(&faults, e);
	if (k == ERR_OK && !*ret)
		k = err_set(e, ERR_INVALID, __func__, "%s: a list is wanted, such as []", where);
	if (k != ERR_OK)
		jv_free(ret);
	return k;
}

static enum err_kind read_file(struct reader *r, struct err *e)
{
	AUTO_SBUF text;
	enum err_kind k;

	sbuf_init(&text, FILE_MAX);
	k = fd_read_path(r->name, &text, e);
	if (k != ERR_OK)
		return k;
	if (!yaml_parser_initialize(&r->parser))
		return err_set(e, ERR_NO_MEMORY, __func__, "no memory to read %s", r->name);
	yaml_parser_set_input_string(&r->parser, (const unsigned char *)text.p, text.n);
	k = read_document(r, e);
	yaml_parser_delete(&r->parser);
	return k;
}

void conf_read_file(struct conf *c, const char *name, struct faults *f)
{
	struct reader r = { .c = c, .name = name, .faults = f };
	struct err e;

	if (read_file(&r, &e) != ERR_OK)
		faults_add(f, &e);
}
