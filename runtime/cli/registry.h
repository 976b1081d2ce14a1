/*
 * registry - the options of commands that talk to registries, and the client that they make.
 */
#pragma once

#include "runtime/cli/cli.h"
#include "runtime/image/client.h"

struct registry_args {
	const char *authfile, *registries, *creds;
	enum opt_either tls_verify;
	struct credential given; /* of --creds, or of a command's own */
	bool has_given;
};

/* Rows of an option table; at is where the struct registry_args is. */
#define REGISTRY_OPTS(at)                                                                          \
	{ "authfile", 0,                                                                           \
	  OPT_TEXT,   (at) + offsetof(struct registry_args, authfile),                             \
	  "FILE",     "passwords (auth.json, docker's config.json)" },                             \
	    { "creds",         0,          OPT_TEXT, (at) + offsetof(struct registry_args, creds), \
	      "USER:PASSWORD", "use these" },                                                      \
	    { "registries", 0,                                                                     \
	      OPT_TEXT,     (at) + offsetof(struct registry_args, registries),                     \
	      "FILE",       "mirrors and trust (/etc/berth/registries.json)" },                    \
	{                                                                                          \
		"tls-verify", 0, OPT_EITHER, (at) + offsetof(struct registry_args, tls_verify),    \
		    NULL, "false: take any certificate, or plain HTTP"                             \
	}

MUST_CHECK enum err_kind registry_client(struct registry_args *a, struct client **ret,
					 struct err *e);
/* A name, also in the form docker://NAME. */
MUST_CHECK enum err_kind registry_reference(const char *text, struct reference *ret, struct err *e);
#define REGISTRY_SCHEME "docker://"
/* "USER:PASSWORD" into a->given. */
MUST_CHECK enum err_kind registry_credential(struct registry_args *a, const char *text,
					     struct err *e);
