/*
 * criu - checkpoints of a container and processes restored from them, by the program criu.
 *
 * criu is asked by its command line.  What it says goes to dump.log and restore.log in the work directory; the first
 * error there becomes ours.  It hands on no terminal that way, and runs no hook in the middle: both are refused.
 */
#pragma once

#include "runtime/oci/spec/spec.h"
#include "runtime/oci/state/container.h"

struct criu_options {
	const char *program; /* criu, or what --criu names */
	const char *images;  /* directory, made if missing */
	const char *work;    /* for logs; NULL: images */
	const char *parent;  /* of an earlier checkpoint, relative to images; or NULL */
	const char *page_server, *manage_cgroups, *empty_ns, *lsm_profile, *lsm_mount_context;
	bool leave_running, pre_dump, tcp_established, tcp_close, ext_unix_sk, shell_job,
	    file_locks, lazy_pages, auto_dedup;
};

/* Writes the images; unless leave_running or pre_dump, the processes are gone then. */
MUST_CHECK enum err_kind criu_dump(const struct criu_options *o, const struct spec *s,
				   const struct container *c, struct arena *a, struct err *e);

/* ERR_UNSUPPORTED, naming the property, for what a restored container would lack. */
MUST_CHECK enum err_kind criu_check_restore(const struct spec *s, struct err *e);
/* The container's groups and state are made.  *ret is the first process, a child of ours. */
MUST_CHECK enum err_kind criu_restore(const struct criu_options *o, const struct spec *s,
				      const struct container *c, struct arena *a, pid_t *ret,
				      struct err *e);
