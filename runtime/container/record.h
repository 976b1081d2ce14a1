/*
 * record - what a container was made to be: container.json in its directory (FORMAT.md), written once.
 *
 * Ownership  all texts live in the record's arena.
 * Threads    no shared state.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/idmap.h"
#include "runtime/container/overlay.h"

#define RECORD_FILE "container.json"
#define NETWORK_ARGS_MAX 1024 /* of net_up and net_down */
#define CONTAINER_ID_LEN 64   /* hex digits */

enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED, RESTART_ALWAYS };
enum log_format { LOG_K8S, LOG_JSON, LOG_NONE };
enum health_action { HEALTH_DO_NOTHING, HEALTH_DO_KILL, HEALTH_DO_RESTART, HEALTH_DO_STOP };

struct health_check {
	struct text_list command; /* empty: none */
	uint64_t interval_ms, timeout_ms, start_period_ms, retries;
	enum health_action action; /* once it is unhealthy */
};

struct text_pairs {
	struct text_list keys, values;
};

struct record {
	struct arena arena;
	const char *id, *name;
	const char *image;       /* as it was asked for */
	const char *image_id;    /* digest of its config */
	const char *manifest;    /* digest */
	struct text_list lowers; /* chain IDs, bottom first */
	struct text_list command;
	struct text_pairs labels;
	uint64_t created_ms;
	bool terminal, stdin_open, auto_remove, in_userns;
	const char *userns; /* as it was asked for; "" */
	struct idmaps ids;  /* without pieces: no user namespace of its own */
	bool claims_ids;    /* auto gives them to no other container */
	enum overlay_driver overlay;
	const char *rootfs; /* a directory of the user's in place of an image; "" without */
	enum restart_policy restart;
	uint64_t restart_max; /* of RESTART_ON_FAILURE; 0: no limit */
	uint64_t stop_signal, stop_timeout_ms;
	enum log_format log_format;
	uint64_t log_bytes_max, log_files_max;
	struct health_check health;
	struct text_list volumes,
	    anonymous;       /* names; of the second nobody but this container knows */
	bool shares_mounts;  /* what is mounted in a volume is to be seen on the host */
	const char *network; /* "none", "host", or for whom net_up and net_down are */
	/*
	 * Programs with arguments that attach and detach networks, run by the shim: the first between create and start,
	 * with the pid of the container's process as a last argument; the second after its end, and again when in doubt.
	 */
	struct text_list net_up, net_down;
};

MUST_CHECK enum err_kind record_read(int dir, struct record *ret, struct err *e);
MUST_CHECK enum err_kind record_write(int dir, const struct record *r, struct err *e);
void record_clear(struct record *r);
#define AUTO_RECORD CLEANUP(record_clear) struct record

MUST_CHECK bool restart_policy_parse(struct str in, enum restart_policy *ret, uint64_t *ret_max);
MUST_CHECK bool log_format_parse(struct str in, enum log_format *ret);
MUST_CHECK bool health_action_parse(struct str in, enum health_action *ret);
/* "TERM", "SIGTERM", "15", "RTMIN+3"; 0 if it is none. */
int signal_parse(struct str in);
