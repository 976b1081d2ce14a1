/*
 * request - what one plugin is given on stdin (CNI spec 1.1.0 section 3, "Deriving request configuration").
 *
 * Q1  All keys of the plugin's configuration are passed on unchanged; name, cniVersion and what the operation adds
 *     replace those of the same name.
 * Q2  runtimeConfig holds what the caller gives and the plugin says it can take, and is absent if that is nothing.
 * "capabilities" is left in, though the specification says otherwise: the reference library does so, and plugins that
 * delegate (multus) read it.
 * Threads  no shared state.
 */
#pragma once

#include "base/jv.h"
#include "runtime/net/conflist.h"

struct request_parts {
	const struct jv *prev_result;       /* NULL: none */
	const struct jv *capabilities;      /* object of what the caller gives; NULL: nothing */
	const struct jv *valid_attachments; /* array, for GC; NULL: not GC */
};

/* A new value; NULL without memory. */
struct jv *request_build(const struct conflist *l, const struct jv *plugin,
			 const struct request_parts *parts);
