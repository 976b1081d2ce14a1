/*
 * auth_impl - what the files of auth.h share: auth.c (sources and rules), auth_login.c (credentials).
 */
#pragma once

#include "auth/auth.h"
#include "auth/htpasswd.h"
#include "auth/idcache.h"
#include "base/filewatch.h"
#include "base/lock.h"

#define IDENTITIES_CACHED 16384

struct auth {
	struct auth_options o;
	struct idcache *cache;
	struct throttle *throttle;
	struct identity *anonymous;
	struct lock mu;
	struct rules *rules;             /* under mu */
	struct htpasswd *htpasswd;       /* under mu; NULL: not configured */
	struct filewatch htpasswd_watch; /* auth_tend's */
};

struct rules *auth_rules(struct auth *a);       /* a reference */
struct htpasswd *auth_htpasswd(struct auth *a); /* a reference, or NULL */
