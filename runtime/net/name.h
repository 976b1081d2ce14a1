/*
 * name - the names that network plugins are given (CNI spec 1.1.0 sections 1 and 2), checked before anything is made.
 *
 * M1  A struct net_name, container_id or if_name exists only if its text is safe as a part of a file name, of an
 *     environment variable and of a command line: no slash, no blank, no control byte, never "." or "..".
 * M2  NETWORK-CONTAINER-INTERFACE, the name of a cached result, always fits into a directory entry.
 * M3  Arguments are pairs.  Neither part holds ";", "=" or a control byte, so one value never becomes two pairs.
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/jv.h"

#define NET_NAME_MAX 110
#define CONTAINER_ID_MAX 127
#define IF_NAME_MAX 15 /* the kernel's IFNAMSIZ - 1 */

struct net_name {
	char s[NET_NAME_MAX + 1];
};

struct container_id {
	char s[CONTAINER_ID_MAX + 1];
};

struct if_name {
	char s[IF_NAME_MAX + 1];
};

/* [A-Za-z0-9][A-Za-z0-9_.-]* */
MUST_CHECK enum err_kind net_name_parse(struct str in, struct net_name *ret, struct err *e);
MUST_CHECK enum err_kind container_id_parse(struct str in, struct container_id *ret, struct err *e);
/* What the kernel takes: 1 to 15 bytes, without "/", ":" and blanks. */
MUST_CHECK enum err_kind if_name_parse(struct str in, struct if_name *ret, struct err *e);
/* The name of an executable: not empty, no slash, not "." or "..". */
MUST_CHECK enum err_kind plugin_type_check(struct str in, struct err *e);

/* CNI_ARGS as an array of pairs, [["K","V"],...], as caches keep it; "" gives an empty one. */
MUST_CHECK enum err_kind net_args_parse(struct str in, struct jv **ret, struct err *e);
MUST_CHECK enum err_kind net_args_add(struct jv *args, struct str key, struct str value,
				      struct err *e);
/* An array that came from elsewhere: only pairs that net_args_add would take. */
MUST_CHECK enum err_kind net_args_check(const struct jv *args, struct err *e);
/* "K=V;K=V"; NULL is empty. */
void net_args_text(const struct jv *args, struct sbuf *out);
/* The value of the last pair with this key. */
bool net_args_find(const struct jv *args, struct str key, struct str *ret);
