/*
 * status - how it is with a container: state.json in its directory, and what is true of it now.
 *
 * T1  The shim alone writes it while it lives, which shows in its lock on the file "shim".  Nothing else tells life from
 *     death: neither pids, which are used again, nor files, which a crash or reboot leaves behind.
 * T2  A container whose shim is gone is what its process is: status_now looks for that, by pid, start and boot.
 * Threads  no shared state.
 */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/fd.h"

#define BOOT_ID_MAX 40
#define STATUS_ERROR_MAX 256

enum phase {
	PHASE_CREATED, /* never started */
	PHASE_STARTING,
	PHASE_RUNNING,
	PHASE_PAUSED,
	PHASE_RESTARTING, /* has ended, and will be started again */
	PHASE_EXITED,
};

enum health { HEALTH_NONE, HEALTH_STARTING, HEALTH_GOOD, HEALTH_BAD };

struct status {
	enum phase phase;
	enum health health;
	pid_t pid;            /* 0 unless there is a process */
	uint64_t pid_started; /* clock ticks after boot, as /proc/PID/stat has it */
	char boot[BOOT_ID_MAX];
	uint64_t started_ms, finished_ms; /* 0: not yet */
	int exit_code;                    /* 128 + signal */
	bool exit_is_known;               /* nobody saw the end otherwise */
	bool oom;
	uint64_t restarts;
	bool stopped_by_user;         /* so that "unless-stopped" is respected after a reboot */
	char error[STATUS_ERROR_MAX]; /* why it could not be started; "" */
};

const char *phase_text(enum phase p);
const char *health_text(enum health h);

MUST_CHECK enum err_kind status_read(int dir, struct status *ret, struct err *e);
MUST_CHECK enum err_kind status_write(int dir, const struct status *s, struct err *e);

/* What is true of it now; *ret_supervised: its shim lives. */
MUST_CHECK enum err_kind status_now(int dir, struct status *ret, bool *ret_supervised,
				    struct err *e);

/* For the shim: takes the lock that shows its life; ERR_IN_USE if there is another. */
MUST_CHECK enum err_kind shim_lock(int dir, int *ret, struct err *e);
/* Waits until no shim lives; false after timeout_ms. */
bool shim_wait_gone(int dir, uint64_t timeout_ms);

/* Of a process: its start, in ticks after boot; false if there is none, or only a zombie. */
bool process_started(pid_t pid, uint64_t *ret);
MUST_CHECK enum err_kind boot_id(char ret[static BOOT_ID_MAX], struct err *e);
