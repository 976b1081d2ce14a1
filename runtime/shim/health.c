/* Health checks: a command in the container, again and again (Docker's HEALTHCHECK). */
#include <signal.h>

#include "base/clock.h"
#include "runtime/shim/shim.h"

#define PROCESS_FILE "health.json"

void health_begin(struct shim *s)
{
	const struct health_check *h = &s->record.health;

	s->health_failures = 0;
	s->status.health = h->command.n ? HEALTH_STARTING : HEALTH_NONE;
	s->health_at_ms = h->command.n ? mono_ms() + h->interval_ms : 0;
}

static void set(struct shim *s, enum health now)
{
	if (s->status.health == now)
		return;
	s->status.health = now;
	shim_write_status(s);
}

static void act(struct shim *s)
{
	switch (s->record.health.action) {
	case HEALTH_DO_NOTHING:
		break;
	case HEALTH_DO_KILL:
		(void)kill(s->sessions[0].pid, SIGKILL);
		break;
	case HEALTH_DO_RESTART:
		shim_restart(s);
		break;
	case HEALTH_DO_STOP:
		shim_stop(s, s->record.stop_timeout_ms);
		break;
	}
}

static void failed(struct shim *s)
{
	const struct health_check *h = &s->record.health;
	bool in_grace = s->status.health == HEALTH_STARTING &&
			wall_ms() < s->status.started_ms + h->start_period_ms;

	if (in_grace || ++s->health_failures < h->retries || s->status.health == HEALTH_BAD)
		return;
	set(s, HEALTH_BAD);
	act(s);
}

void health_run(struct shim *s)
{
	char path[4200];
	struct session *x = session_free_slot(s);
	struct err ignored;

	s->health_at_ms = 0; /* the next one when this one has ended */
	if (!x || s->status.phase != PHASE_RUNNING) {
		if (x)
			session_clear(x);
		s->health_at_ms = mono_ms() + s->record.health.interval_ms;
		return;
	}
	x->kind = SESSION_HEALTH;
	x->deadline_ms = mono_ms() + s->record.health.timeout_ms;
	(void)snprintf(path, sizeof(path), "%s/" PROCESS_FILE, s->container_path);
	if (launch_exec(s, x, path, false, false, &ignored) == ERR_OK)
		return;
	x->exit_code = 125;
	health_done(s, x);
}

void health_done(struct shim *s, struct session *x)
{
	if (x->exit_code == 0) {
		s->health_failures = 0;
		set(s, HEALTH_GOOD);
	} else {
		failed(s);
	}
	session_clear(x);
	s->health_at_ms = mono_ms() + s->record.health.interval_ms;
}
