/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sending epochs: the initial copy as it is made, checkpoints from the staging buffer. */
#ifndef REPLICATOR_SHIP_H
#define REPLICATOR_SHIP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/why.h"
#include "proto/proto.h"

struct staging;
struct worker;

/*
 * Ship the captured epoch in @st; returns when all of it is in the socket, which still refers to
 * the staging buffer: nothing may be written there before the backup's ack.
 */
int ship_epoch(struct proto_session *s, uint64_t epoch, const struct staging *st,
	uint64_t deadline_ns, struct why *why);

/*
 * The initial copy: the save core writes to a pipe, a thread of its own sends what comes out as
 * epoch 0 and reports progress. While it runs it alone uses the session and the daemon's channel.
 */
struct ship_copy {
	pthread_t thread;
	struct worker *worker;
	struct proto_session *session;
	int pipe_out;
	uint64_t pages_total;
	uint64_t deadline_ns; /* for a single send */
	uint64_t bytes;       /* sent */
	atomic_uint round;    /* that is under way, from 1 */
	atomic_ullong dirty;  /* pages that it sends */
	atomic_bool stop;     /* the daemon ordered STOP, or is gone */
	int err;              /* valid after ship_copy_finish */
	struct why why;
};

/* Start; *ret_pipe_in is for the save core, owned by the caller. 0 or a negative errno. */
int ship_copy_start(struct ship_copy *c, struct worker *w, struct proto_session *s,
	uint64_t memory_kb, int *ret_pipe_in, struct why *why);

/* The save core begins a round. */
void ship_copy_round(struct ship_copy *c, unsigned int round, uint64_t dirty);

/* The caller has closed the pipe's last write end: wait until all is sent. Returns c->err. */
int ship_copy_finish(struct ship_copy *c);

#endif
