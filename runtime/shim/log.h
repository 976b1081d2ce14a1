/*
 * log - a container's output in a file: k8s-file as Kubernetes and podman read it, or docker's json-file.
 *
 * G1  A line is one entry; what is longer than a read, or has no end yet, is several, marked as parts.
 * G2  A file that would get too large is rotated to NAME.1, NAME.2, ... first; the oldest goes.
 * G3  A disk that is full loses entries, never the container.
 * Threads  one.
 */
#pragma once

#include "base/err.h"
#include "runtime/container/record.h"

#define LOG_FILE "log"

struct log {
	int dir, fd; /* dir borrowed */
	enum log_format format;
	uint64_t bytes, bytes_max, files_max; /* bytes_max 0: no rotation */
};

MUST_CHECK enum err_kind log_open(struct log *l, int dir, const struct record *r, struct err *e);
void log_close(struct log *l);
/* stream: 1 or 2. */
void log_write(struct log *l, int stream, const char *p, size_t n);
