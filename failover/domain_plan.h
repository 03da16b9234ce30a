/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the lifecycle table's actions are made of, and in which order it is done. Pure: whoever
 * carries it out lends his hands; the daemon and the simulator drive the same object.
 *
 * Invariant: a promise is on disk before its state is entered for good, before it is gossiped and
 * before a worker or a command acts on it. One that could not be made changes nothing.
 */
#ifndef FAILOVER_DOMAIN_PLAN_H
#define FAILOVER_DOMAIN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "failover/domain_machine.h"
#include "failover/state.h"

enum failover_promise {
	FAILOVER_PROMISE_NOTHING,
	FAILOVER_PROMISE_DECISION, /* of this generation, in this role */
	FAILOVER_PROMISE_PAIRING,  /* the attempt's generation begins, in this role */
	FAILOVER_PROMISE_UNWANTED, /* only that nobody wants it protected any more */
	FAILOVER_PROMISE_REST,     /* what failover_decide_forget leaves of it */
};

/* What does the work of a worker that is not there, or clears up after one. */
enum failover_command {
	FAILOVER_RUN_NOTHING,
	FAILOVER_RUN_REPAIR,  /* let held output go */
	FAILOVER_RUN_SWEEP,   /* drop what a guest that has ended still had to say */
	FAILOVER_RUN_DISCARD, /* the standby, or the stale guest: see failover_decide_standby */
	FAILOVER_RUN_START,   /* the guest, from its disks */
};

struct failover_plan {
	enum failover_promise promise;
	enum failover_decision decision;
	enum proto_role role;
	bool unwanted;   /* the promise says as well that nobody wants it protected any more */
	bool wanted;     /* or that somebody does, as before a move */
	bool regardless; /* it is so already: it holds at once, and is written as soon as it can be
			  */
	bool died;       /* the guest did, with its host: the record is then of no boot */
	bool withdraws;  /* what was asked of the peer: its answer changes nothing any more */
	bool dismisses;  /* the worker has nothing left to say */
	bool kills;      /* it may still be at what the command repairs */
	bool later;      /* protection is tried again, later each time */
	enum proto_order order;        /* 0: none */
	enum failover_command command; /* when there is no order, or no worker that takes it */
};

const struct failover_plan *failover_plan(enum failover_action action);

/* What an attempt to protect would pair; or to move, after which nobody may want it protected. */
struct failover_attempt {
	uint64_t generation;
	const char *uuid, *peer;
	bool unwanted; /* on the host that it is moved to */
	bool passing;  /* nobody wants it protected here either: it is so for the move only */
};

/* The record that @p promises, made of the one that holds now; the boot is the caller's. */
struct failover_record failover_plan_record(const struct failover_plan *p,
	const struct failover_record *now, const struct failover_attempt *attempt);

/* What carries a plan out. @host is the caller's. */
struct failover_hands {
	/* Write it; false: it could not be written, and is not `regardless`. */
	bool (*promise)(void *host, const struct failover_plan *p);
	/* What is particular to an action: words for people, questions and answers. */
	void (*particular)(void *host, enum failover_action action);
	/* False: there is no worker that takes orders. */
	bool (*order)(void *host, enum proto_order order);
	void (*command)(void *host, enum failover_command command);
	void (*withdraw)(void *host);
	void (*dismiss)(void *host);
	void (*kill)(void *host);
	void (*later)(void *host);
	/* The state has changed: state it to the peers and the monitor, now. */
	void (*beat)(void *host);
};

/*
 * Enter @step's state and carry out its action. False: what it promises could not be written, and
 * *state is what it was.
 */
bool failover_plan_run(enum failover_state *state, const struct failover_step *step,
	const struct failover_hands *hands, void *host);

#endif
