/*
 * protocol - what berth and a container's shim say to each other: packets on a SOCK_SEQPACKET socket, in the container's
 * directory in STATE.  The first byte tells what a packet is; the first packet what a connection is for.
 */
#pragma once

#define SHIM_SOCKET "sock"
#define SHIM_PACKET_MAX (32u * 1024) /* with its first byte */

/* What a connection is for. */
#define SHIM_ATTACH 'A' /* output from now on; texts SHIM_WITH_... follow */
#define SHIM_EXEC                                                                                  \
	'E' /* JSON: {"file": .., "terminal": bool, "stdin": bool, "detach": bool}: a process in that file */
#define SHIM_STOP                                                                                  \
	'S' /* milliseconds until SIGKILL, decimal; SHIM_EXIT when it has ended, for good */
#define SHIM_KILL 'K' /* a signal's number, decimal */
#define SHIM_PAUSE 'P'
#define SHIM_RESUME 'U'
#define SHIM_WAIT 'W' /* SHIM_EXIT when it has ended */

#define SHIM_WITH_STDIN 'i' /* this client feeds standard input, which ends with it */
#define SHIM_WITH_BRAKE                                                                            \
	'b' /* the container waits for this client, if need be; others are dropped */

/* From then on, to the shim. */
#define SHIM_STDIN '0' /* bytes; none: the end */
#define SHIM_SIZE 'Z'  /* "ROWS COLUMNS" of the terminal */

/* From the shim. */
#define SHIM_STDOUT '1'
#define SHIM_STDERR '2'
#define SHIM_EXIT 'X'   /* exit status, decimal; nothing follows */
#define SHIM_DONE 'O'   /* done */
#define SHIM_FAILED '!' /* why not; nothing follows */

/* On the descriptor that the shim is started with: the container runs, or why not. */
#define SHIM_STARTED '+'
#define SHIM_NOT_STARTED '-'
