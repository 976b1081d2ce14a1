/*
 * manager - the service manager that started us, systemd or what speaks as it does: the sockets that it opened for us
 * (sd_listen_fds(3)), and what it is told (sd_notify(3)).
 *
 * Y1  Started by nobody of that kind, all of this does nothing.
 * Y2  Telling waits for a second at most, and nothing depends on whether it was heard.
 * Sequence  manager_find and manager_take_sockets, while files and calls are open to us -> the rest, at any time after.
 * Threads   by one thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"

#define MANAGER_STATUS_MAX 256

struct manager {
	int fd; /* -1: nobody listens */
	struct sockaddr_un to;
	socklen_t to_n;
	uint64_t look_every_ms; /* 0: no signs of life are asked for */
	uint64_t looked_mono_ms;
	char status[MANAGER_STATUS_MAX]; /* while we are ready */
};

/* Who there is, by the environment. */
void manager_find(struct manager *m);
void manager_clear(struct manager *m);

/*
 * The sockets that are ours now: one to serve on, and one of the name "metrics"; -1 for what there is not.  ERR_INVALID:
 * others than these, or several of a kind.
 */
#define MANAGER_METRICS "metrics"
MUST_CHECK enum err_kind manager_take_sockets(int *ret_fd, int *ret_watch_fd, struct err *e);

/* What we do, for "systemctl status"; ready says that from now on it is to be counted on. */
void manager_ready(struct manager *m, const char *status);
/* Not to be counted on as it was; manager_reloaded: as before. */
void manager_reloading(struct manager *m);
void manager_reloaded(struct manager *m);
void manager_stopping(struct manager *m, const char *status);

/* Is it time to look whether we are alive?  Four times in the span after which the manager takes us for dead. */
bool manager_look_is_due(struct manager *m);
/* The sign of life. */
void manager_alive(struct manager *m);
