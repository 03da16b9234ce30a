/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulusd on one or two hosts of loopback, and what is asked of it. By itself the rig begins with
 * a record on disk, of one domain "db" that alpha protects on beta, and with workers that only say
 * that they were called.
 */
#ifndef TESTS_UNIT_DAEMON_RIG_H
#define TESTS_UNIT_DAEMON_RIG_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/clock.h"
#include "failover/state.h"

#define RIG_UUID "12345678-9abc-def0-1234-56789abcdef0"
/* A loaded machine; nothing waits for it to pass. */
#define RIG_PATIENCE (30 * NSEC_PER_SEC)

struct host {
	const char *name, *peer, *address, *peer_address;
	pid_t pid;
};

extern struct host host_alpha, host_beta;

/* Find romulusd beside the test, and a port. @dir: what belongs to the hosts is below it. */
void daemon_rig_begin(const char *dir);
/* Kill what a test that failed has left. */
void daemon_rig_finish(void);

/* A fresh folder for @h. @arbiter: for its peer; @more: sections of the configuration. */
void daemon_configure(const struct host *h, const char *arbiter, const char *more);
/* As if romulusd had been killed in this boot with a generation undecided. */
void daemon_record(const struct host *h, enum proto_role role, uint64_t generation);
struct failover_record daemon_record_of(const struct host *h);

void daemon_run(struct host *h);
void daemon_kill(struct host *h);
void daemon_end(struct host *h); /* it and the sanitizers are content */

/* Ask @line of its socket; -1: nobody listens yet. */
int daemon_ask(const struct host *h, const char *line);
/* All that comes back to @fd; "" for -1. The caller's to free. */
char *daemon_answer(int fd);
/* Both in one. */
char *daemon_command(const struct host *h, const char *line);
void daemon_await(const struct host *h, const char *expect); /* in `status` */
/* Whether a worker was called with arguments that match @pattern, a basic regular expression. */
bool daemon_called(const struct host *h, const char *pattern);

extern uint16_t rig_port; /* of both hosts */
/* What is @name in the folder of @h. Good until it was called seven times more. */
const char *rig_path(const struct host *h, const char *name);
/* Fails the test when it fails. */
void rig_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint16_t rig_free_port(int *ret_fd); /* free as soon as the descriptor is closed */

#endif
