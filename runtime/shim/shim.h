/*
 * shim - berth-shim: parent of one container's process, and all that lasts as long as it does.
 *
 * H1  It outlives whoever started it, and nothing that a client does or leaves undone holds it up (but SHIM_WITH_BRAKE).
 * H2  Output that was written before the end is in the log, and sent, before the end is told.
 * H3  The container's root is mounted in the mount namespaces of runtime and container alone, so nothing of it is left when
 *     both are gone, whatever killed them.
 * Threads  one, but while a root with a map of ids is mounted; signals by signalfd.
 */
#pragma once

#include <poll.h>

#include "runtime/container/record.h"
#include "runtime/container/status.h"
#include "runtime/shim/log.h"
#include "runtime/shim/protocol.h"

#define SESSIONS_MAX 32
#define CLIENTS_MAX 64
#define STDIN_PENDING_MAX SHIM_PACKET_MAX
#define RUNTIME_ARGS_MAX 24

enum session_kind { SESSION_INIT, SESSION_EXEC, SESSION_HEALTH };

/* A process with what is connected to it. */
struct session {
	enum session_kind kind;
	bool used;
	pid_t runtime; /* that starts it; 0 when it is done */
	pid_t pid;     /* 0: not yet */
	bool ended;
	int exit_code;
	int in, out, err; /* our ends; out is the terminal's master, if there is one */
	bool terminal, in_is_ending;
	size_t pending_n; /* of input that was not taken yet */
	size_t pending_at;
	char *pending;        /* owned; STDIN_PENDING_MAX */
	int console;          /* listens for the terminal; -1 */
	char name[24];        /* of its files in the state directory */
	uint64_t deadline_ms; /* of a health check */
};

struct client {
	int fd;                  /* -1: unused */
	struct session *session; /* that it is attached to; NULL */
	bool output, waits, stops, feeds, brakes;
};

struct shim {
	const char *container_path, *state_path, *layers_path, *runtime, *runtime_root;
	char *const *exit_command; /* NULL: none */
	int dir, state, lock;
	int listener, signals, sync;
	struct record record;
	struct status status;
	struct log log;
	struct session sessions[SESSIONS_MAX]; /* the first is the container's own */
	struct client clients[CLIENTS_MAX];
	unsigned execs;

	/* what is to be done when */
	uint64_t kill_at_ms;    /* 0: not stopping */
	uint64_t health_at_ms;  /* 0: no health check is due */
	uint64_t restart_at_ms; /* 0: not waiting to be restarted */
	uint64_t backoff_ms;
	unsigned health_failures;
	bool is_stopped;   /* by a user: no restart */
	bool must_restart; /* whatever its policy is */
	char cgroup[512];  /* of memory; "" */

	/* children that ended before it was known whose they are */
	struct {
		pid_t pid;
		int status;
	} strays[8];
	unsigned n_strays;
};

/* --- launch.c: the runtime's commands --- */

/* Makes and starts the container; its session is under way then. */
MUST_CHECK enum err_kind launch_container(struct shim *s, struct err *e);
/* Begins to start a process in it, which is in that file. */
MUST_CHECK enum err_kind launch_exec(struct shim *s, struct session *x, const char *process_file,
				     bool with_stdin, bool with_output, struct err *e);
/* The runtime has ended: takes the pid.  ERR_* with the runtime's message if it failed. */
MUST_CHECK enum err_kind launch_exec_done(struct shim *s, struct session *x, int status,
					  struct err *e);
/* Its terminal has come. */
void launch_take_console(struct session *x);
/* runtime COMMAND [ARG] ID, waited for. */
MUST_CHECK enum err_kind launch_command(struct shim *s, const char *const *args, struct err *e);
/* Undoes what launch_container did. */
void launch_delete(struct shim *s);

/* --- session.c --- */

void session_clear(struct session *x);
struct session *session_free_slot(struct shim *s);
/* Reads once and passes it on; true if there was nothing. */
bool session_pump(struct shim *s, struct session *x, int *fd, char stream);
/* Passes on what is there, as far as clients let it; true when there is no more, and all is closed. */
MUST_CHECK bool session_drain(struct shim *s, struct session *x);
void session_feed(struct session *x, const char *p, size_t n);
void session_flush(struct session *x);
void session_resize(const struct session *x, const char *text);

/* --- client.c --- */

void client_accept(struct shim *s);
void client_add(struct shim *s, int fd, struct session *x, const char *flags);
void client_read(struct shim *s, struct client *c);
void client_drop(struct shim *s, struct client *c);
/* To all that are attached to the session. */
void client_output(struct shim *s, const struct session *x, char stream, const char *p, size_t n);
void client_tell_exit(struct shim *s, const struct session *x, int code);
/* Of the container: also to those who wait or stop. */
void client_tell_end(struct shim *s, int code, bool for_good);
/* Must this session's output wait for a client? */
bool client_holds_up(const struct shim *s, const struct session *x);
MUST_CHECK bool client_send(struct client *c, char type, const char *p, size_t n);

/* --- health.c --- */

void health_begin(struct shim *s);
void health_run(struct shim *s);
void health_done(struct shim *s, struct session *x);

/* --- main.c --- */

/* For good. */
void shim_stop(struct shim *s, uint64_t timeout_ms);
/* To be started again, in the time that the container has for its end. */
void shim_restart(struct shim *s);
void shim_write_status(struct shim *s);
