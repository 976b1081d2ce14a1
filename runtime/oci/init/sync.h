/*
 * sync - messages between the runtime and the process that becomes the container's.
 *
 * One SOCK_SEQPACKET pair; a message is one packet.  The other side's end shows as SYNC_END.
 *
 *   runtime                              container's process
 *                         <-  SYNC_MAPS (stage only)
 *   id maps
 *   SYNC_MAPS_DONE        ->
 *                         <-  SYNC_PID (stage only)
 *   id maps, cgroups, network devices
 *   SYNC_GO               ->             namespaces, mounts
 *                         <-  SYNC_HOOKS
 *   prestart, createRuntime hooks
 *   SYNC_HOOKS_DONE       ->             createContainer hooks, pivot_root, the process's own settings
 *                         <-  SYNC_LIMITS (only in a user namespace: the runtime raises what the child may not)
 *   SYNC_LIMITS_DONE      ->
 *                         <-  SYNC_READY
 *   state "created" on disk
 *   SYNC_COMMITTED        ->             outlives the runtime from here on
 *                         <-  SYNC_LISTENING
 *
 * `start` connects to the socket that the process then listens on:
 *   SYNC_START            ->             startContainer hooks
 *                         <-  SYNC_EXEC, then the end of the connection when the program runs
 *
 * In place of any message the process may send SYNC_ERROR and exit.
 */
#pragma once

#include <stdint.h>

#include "runtime/oci/init/note.h"

enum sync_type {
	SYNC_END,
	SYNC_MAPS,
	SYNC_MAPS_DONE,
	SYNC_PID,
	SYNC_GO,
	SYNC_HOOKS,
	SYNC_HOOKS_DONE,
	SYNC_LIMITS,
	SYNC_LIMITS_DONE,
	SYNC_READY,
	SYNC_COMMITTED,
	SYNC_LISTENING,
	SYNC_START,
	SYNC_EXEC,
	SYNC_ERROR
};

struct sync_msg {
	uint32_t type; /* enum sync_type */
	int32_t sys;   /* SYNC_ERROR: errno or 0 */
	uint32_t value;
	char text[NOTE_MAX];
};

/* 0 or -errno.  Safe between clone and exec. */
int sync_send(int sock, enum sync_type type, uint32_t value);
int sync_send_error(int sock, int sys, const char *text);
/* Waits for one message; SYNC_END when the other side is gone. */
int sync_receive(int sock, struct sync_msg *ret);
/* The same with -EPROTO for a message of another type, -EPIPE for the end. */
int sync_expect(int sock, enum sync_type type);

/* One byte of text and a descriptor, over any unix socket. */
int sync_send_fd(int sock, int fd, const void *data, size_t n);
/* A descriptor, or -errno. */
int sync_receive_fd(int sock);
