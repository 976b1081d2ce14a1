/*
 * version - versions of the CNI specification.
 *
 * V1  An enum cni_version stands for a version that results are read and written in; any other is "unsupported".
 * V2  Order follows the numbers, as libcni has it: parts that are missing count as 0, no version at all is 0.1.0.
 * Threads  no shared state.
 */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum cni_version {
	CNI_0_1_0,
	CNI_0_2_0,
	CNI_0_3_0,
	CNI_0_3_1,
	CNI_0_4_0,
	CNI_1_0_0,
	CNI_1_1_0,
	CNI_VERSION_N,
};

#define CNI_VERSION_NEWEST CNI_1_1_0

const char *cni_version_text(enum cni_version v);
/* One of the above by its exact text; "" is 0.1.0. */
MUST_CHECK bool cni_version_parse(struct str in, enum cni_version *ret);

struct cni_number {
	uint32_t part[3];
};

/* Any version, known or not. */
MUST_CHECK bool cni_number_parse(struct str in, struct cni_number *ret);
int cni_number_cmp(const struct cni_number *a, const struct cni_number *b); /* <0, 0, >0 */

/* The versions that a plugin says it speaks. */
struct cni_versions {
	bool has[CNI_VERSION_N];
};

struct jv;
/* Reads the answer to VERSION. */
MUST_CHECK enum err_kind cni_versions_read(const struct jv *answer, struct cni_versions *ret,
					   struct err *e);
