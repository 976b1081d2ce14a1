/*
 * berth-runtime-systemd - asks systemd for the cgroups of a container.
 *
 * usage: berth-runtime-systemd start UNIT SLICE PID [PROPERTY]...     makes a scope around a process
 *        berth-runtime-systemd set UNIT [PROPERTY]...                 changes its limits
 *        berth-runtime-systemd stop UNIT                              ends it; not being there is no error
 *
 * PROPERTY is KIND:NAME=VALUE with KIND t (an unsigned number), b (0 or 1), s (text) or m (a list of numbers, 0-3,7).
 * root speaks to the system's manager, anybody else to his own.  Exit status 1 with one line on stderr.
 */
#include <errno.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/compiler.h"

#define DESTINATION "org.freedesktop.systemd1"
#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define JOB_WAIT_US (30u * 1000 * 1000)
#define MASK_BYTES 128

static void unref_bus(sd_bus **bus)
{
	sd_bus_flush_close_unref(*bus);
}
#define AUTO_BUS CLEANUP(unref_bus) sd_bus

static void unref_message(sd_bus_message **m)
{
	sd_bus_message_unref(*m);
}
#define AUTO_MESSAGE CLEANUP(unref_message) sd_bus_message

static int fail(const char *what, int r, const sd_bus_error *error)
{
	const char *text = error && error->message ? error->message : strerror(-r);

	(void)fprintf(stderr, "%s: %s\n", what, text);
	return 1;
}

static int connect_manager(sd_bus **ret)
{
	return geteuid() == 0 ? sd_bus_open_system(ret) : sd_bus_open_user(ret);
}

/* "0-3,7" as bytes, the lowest number in the lowest bit of the first. */
static int parse_mask(const char *text, uint8_t mask[static MASK_BYTES], size_t *ret_n)
{
	*ret_n = 0;
	while (*text) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (end == text)
			return -EINVAL;
		if (*end == '-') {
			text = end + 1;
			last = strtoul(text, &end, 10);
		}
		if (last < first || last >= 8 * MASK_BYTES)
			return -EINVAL;
		for (unsigned long i = first; i <= last; i++)
			mask[i / 8] = (uint8_t)(mask[i / 8] | 1u << (i % 8));
		*ret_n = *ret_n > last / 8 + 1 ? *ret_n : last / 8 + 1;
		text = *end == ',' ? end + 1 : end;
		if (*end && *end != ',')
			return -EINVAL;
	}
	return 0;
}

static int append_mask(sd_bus_message *m, const char *value)
{
	uint8_t mask[MASK_BYTES] = { 0 };
	size_t n;
	int r = parse_mask(value, mask, &n);

	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', mask, n);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_value(sd_bus_message *m, char kind, const char *value)
{
	switch (kind) {
	case 't':
		return sd_bus_message_append(m, "v", "t", (uint64_t)strtoull(value, NULL, 10));
	case 'b':
		return sd_bus_message_append(m, "v", "b", value[0] == '1');
	case 's':
		return sd_bus_message_append(m, "v", "s", value);
	case 'm':
		return append_mask(m, value);
	default:
		return -EINVAL;
	}
}

static int append_property(sd_bus_message *m, const char *text)
{
	const char *equals = strchr(text, '=');
	char name[64];
	int r;

	if (!text[0] || text[1] != ':' || !equals || (size_t)(equals - text - 2) >= sizeof(name))
		return -EINVAL;
	memcpy(name, text + 2, (size_t)(equals - text - 2));
	name[equals - text - 2] = '\0';
	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", name);
	if (r >= 0)
		r = append_value(m, text[0], equals + 1);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* ---- jobs ---- */

struct job {
	const char *path; /* of the call's answer; NULL before it */
	bool is_done;
	char result[32];
};

static int job_removed(sd_bus_message *m, void *arg, sd_bus_error *error UNUSED)
{
	struct job *j = arg;
	const char *path, *unit, *result;
	uint32_t id;
	int r = sd_bus_message_read(m, "uoss", &id, &path, &unit, &result);

	if (r >= 0 && j->path && strcmp(path, j->path) == 0) {
		j->is_done = true;
		(void)snprintf(j->result, sizeof(j->result), "%s", result);
	}
	return 0;
}

static int wait_for_job(sd_bus *bus, struct job *j, const char *what)
{
	while (!j->is_done) {
		int r = sd_bus_process(bus, NULL);

		if (r == 0)
			r = sd_bus_wait(bus, JOB_WAIT_US);
		if (r < 0)
			return fail(what, r, NULL);
		if (r == 0)
			return fail(what, -ETIMEDOUT, NULL);
	}
	if (strcmp(j->result, "done") == 0)
		return 0;
	(void)fprintf(stderr, "%s: the job ended as %s\n", what, j->result);
	return 1;
}

static int append_start(sd_bus_message *m, int argc, char **argv)
{
	const char *unit = argv[2], *slice = argv[3];
	uint32_t pid = (uint32_t)strtoul(argv[4], NULL, 10);
	char description[512];
	int r;

	(void)snprintf(description, sizeof(description), "s:Description=container %s", unit);
	r = sd_bus_message_append(m, "ss", unit, "replace");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_property(m, description);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "Slice", "s", slice);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)", "PIDs", "au", 1, pid);
	/* Ours to divide further, and kept from being stopped at shutdown before their manager. */
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)", "Delegate", "b", 1, "DefaultDependencies",
					  "b", 0);
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)", "MemoryAccounting", "b", 1,
					  "CPUAccounting", "b", 1, "TasksAccounting", "b", 1);
	for (int i = 5; r >= 0 && i < argc; i++)
		r = append_property(m, argv[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_append(m, "a(sa(sv))", 0);
}

static int start(sd_bus *bus, int argc, char **argv)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE *call = NULL;
	AUTO_MESSAGE *answer = NULL;
	struct job job = { 0 };
	int r;

	if (argc < 5)
		return fail("start", -EINVAL, NULL);
	r = sd_bus_match_signal(bus, NULL, DESTINATION, PATH, MANAGER, "JobRemoved", job_removed,
				&job);
	if (r >= 0)
		r = sd_bus_message_new_method_call(bus, &call, DESTINATION, PATH, MANAGER,
						   "StartTransientUnit");
	if (r >= 0)
		r = append_start(call, argc, argv);
	if (r >= 0)
		r = sd_bus_call(bus, call, 0, &error, &answer);
	if (r >= 0)
		r = sd_bus_message_read(answer, "o", &job.path);
	if (r < 0)
		return fail(argv[2], r, &error);
	return wait_for_job(bus, &job, argv[2]);
}

static int set(sd_bus *bus, int argc, char **argv)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	AUTO_MESSAGE *call = NULL;
	int r = sd_bus_message_new_method_call(bus, &call, DESTINATION, PATH, MANAGER,
					       "SetUnitProperties");

	if (r >= 0)
		r = sd_bus_message_append(call, "sb", argv[2], 1);
	if (r >= 0)
		r = sd_bus_message_open_container(call, 'a', "(sv)");
	for (int i = 3; r >= 0 && i < argc; i++)
		r = append_property(call, argv[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(call);
	if (r >= 0)
		r = sd_bus_call(bus, call, 0, &error, NULL);
	return r < 0 ? fail(argv[2], r, &error) : 0;
}

static int stop(sd_bus *bus, char **argv)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	/* A scope whose processes are gone fails to be there; one that failed stays until it is reset. */
	(void)sd_bus_call_method(bus, DESTINATION, PATH, MANAGER, "ResetFailedUnit", NULL, NULL,
				 "s", argv[2]);
	r = sd_bus_call_method(bus, DESTINATION, PATH, MANAGER, "StopUnit", &error, NULL, "ss",
			       argv[2], "replace");
	if (r < 0 && sd_bus_error_has_name(&error, "org.freedesktop.systemd1.NoSuchUnit"))
		return 0;
	return r < 0 ? fail(argv[2], r, &error) : 0;
}

int main(int argc, char **argv)
{
	AUTO_BUS *bus = NULL;
	int r;

	if (argc < 3) {
		(void)fprintf(stderr, "usage: %s start|set|stop UNIT ...\n", argv[0]);
		return 2;
	}
	r = connect_manager(&bus);
	if (r < 0)
		return fail("connect to D-Bus", r, NULL);
	if (strcmp(argv[1], "start") == 0)
		return start(bus, argc, argv);
	if (strcmp(argv[1], "set") == 0)
		return set(bus, argc, argv);
	if (strcmp(argv[1], "stop") == 0)
		return stop(bus, argv);
	return fail(argv[1], -EINVAL, NULL);
}
