/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator: two hosts, one domain, a network, a power switch and fate, in virtual time, all
 * from one seed. What decides are the product's own objects: failover/domain_machine.o, decide.o,
 * detector.o and replicator/primary_epoch.o, backup_epoch.o. What is simulated is what they ask
 * for: processes, disks, streams, fencing, etcd. Of its arbiter the product's claim,
 * failover/arbiter_etcd.o, is driven too.
 *
 * The guest counts. Its output is numbered by the count, its disk holds it, a checkpoint is a
 * count. So the invariants are about numbers:
 *   1, 4  a takeover, or a start from disks, begins at no less than the client has seen
 *   2     no frame comes from a guest that a later one has replaced, but for late ones
 *   3     after a takeover disk and memory are the same
 *         and a guest that ended in agreement is never resumed
 *   5     when everything works again the domain runs, is heard and is protected, or its state
 *         says what a person must do
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "failover/arbiter.h"
#include "failover/decide.h"
#include "failover/detector.h"
#include "failover/domain_machine.h"
#include "failover/timeouts.h"
#include "replicator/backup_epoch.h"
#include "replicator/primary_epoch.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HOSTS 2
#define PATHS 2
#define LINEAGES 256

/* Deliberate bugs, each of which must be caught. */
enum bug {
	BUG_NONE,
	BUG_ACK_BEFORE_COMPLETE,
	BUG_RELEASE_BEFORE_ACK,
	BUG_GRANT_TWICE,
	BUG_FORGET_ON_RESTART,
	BUG_SOLO_WITHOUT_GRANT,
	BUG_PUT_WITHOUT_COMPARE,
	BUG_CLAIM_IS_DECISION,
	BUG_RESTART_SPEAKS,
	BUG_COUNT,
};

/* Places where a process or a host may die, counted for coverage. */
enum crash_point {
	CRASH_BEFORE_RECORD,
	CRASH_AFTER_RECORD,
	CRASH_BEFORE_ORDER,
	CRASH_SUSPENDED,
	CRASH_CAPTURED,
	CRASH_SHIPPED,
	CRASH_BEFORE_ACK,
	CRASH_AFTER_ACK,
	CRASH_BEFORE_ROLLBACK,
	CRASH_AFTER_ROLLBACK,
	CRASH_FENCING,
	CRASH_POINTS,
};

struct host;

enum worker_kind { WORKER_NONE, WORKER_PRIMARY, WORKER_BACKUP };

struct worker {
	enum worker_kind kind;
	unsigned int life; /* events of an earlier life are void */
	unsigned int peer; /* life of the worker at the other end; 0: not connected */
	bool leaving;      /* nothing more is expected of it */
	bool dead;         /* and its daemon has not noticed yet */
	uint64_t said_at;  /* when the daemon has read all that was said */
	struct primary_epoch primary;
	struct backup_epoch backup;
	bool suspended;      /* primary: it has the guest stopped */
	uint64_t captured;   /* count of the epoch at hand */
	uint64_t opening;    /* backup: count of the epoch that is arriving */
	uint64_t checkpoint; /* backup: count of the last acked one */
};

struct guest {
	bool exists, suspended;
	unsigned int lineage; /* which of the instances, in the order in which they were let go */
	uint64_t count;
	bool plugged;
	bool told;       /* that it could not be unplugged: a person has to look */
	uint64_t closed; /* frames up to here are of closed epochs */
	uint64_t out;    /* frames up to here have left */
};

struct arbiter {
	bool asked, proven, fencing;
	unsigned int failures;
	uint64_t retry_at;
	struct failover_arbiter product; /* what a claim knows of its arbiter */
	struct failover_events events;
	struct failover_claim claim;
};

struct host {
	const char *name;
	int number;
	bool power, daemon;
	unsigned int boot;     /* of the kernel */
	unsigned int life;     /* of the daemon: events of an earlier one are void */
	uint64_t paused_until; /* the whole host stands still */
	uint64_t disk;         /* count that it holds */
	bool disk_current;     /* no newer content is known to be elsewhere */
	struct guest guest;
	struct worker worker;
	uint64_t back_at;   /* the guest is to start again then; 0: it is not */
	bool restrained;    /* but is not to be heard */
	uint64_t missed_at; /* when the monitor will have seen that it is gone */

	struct failover_record on_disk;
	bool recorded; /* it is */

	/* in the daemon's memory */
	struct failover_record record;
	enum failover_state state;
	bool vacant, guest_died;
	bool guest_ended, restarts; /* its monitor has said so */
	struct failover_detector detector;
	struct failover_gossip gossip; /* of the peer */
	bool gossip_known;
	unsigned int gossip_boot;
	uint64_t gossip_sequence, sequence;
	struct arbiter arbiter;
	uint64_t attempt_generation, retry_at;
	unsigned int attempts;
	bool requesting, asker, asker_unprotects, commanding;
	uint64_t request, asker_request; /* numbers of them */
};

struct sim {
	uint64_t now, seed, random;
	enum bug bug;
	bool disks, stay_mute, healing;
	enum failover_arbiter_kind arbiter;
	struct host host[HOSTS];
	bool cut[PATHS][HOSTS]; /* nothing from that host gets through */
	bool deaf[HOSTS];       /* its heartbeats do not, all else does */
	uint64_t agreed;        /* newest generation that both hosts know has ended */
	uint64_t decided;       /* generation about which the operator has said a word, */
	int decided_for;        /* and to which host: never to both */
	struct failover_timeouts timeouts;
	unsigned int lineage;     /* newest that may speak */
	uint64_t began[LINEAGES]; /* the count that each one began with */
	uint64_t seen;            /* highest count that the client has had a frame of */
	const char *violation;
	unsigned int crashes_left;
	bool ended; /* the guest ended by itself, or nobody wants it protected */
	uint64_t taken_over, solos, protections;
};

extern struct sim sim;
extern uint64_t transitions_taken[FAILOVER_STATE_COUNT][FAILOVER_EVENT_COUNT];
extern uint64_t crashes_taken[CRASH_POINTS];

/* ---- world.c: time, chance, trace, the network ---------------------------------------------- */

typedef void sim_handler(struct host *h, uint64_t a, uint64_t b);

/* @when from now; @h's daemon and worker lives are the caller's to check (see a and b). */
void sim_after(uint64_t when, struct host *h, sim_handler *handler, uint64_t a, uint64_t b);
bool sim_step(void);
void sim_forget(void); /* all that is to come */
uint64_t sim_random(uint64_t below);
uint64_t sim_between(uint64_t least, uint64_t most);
bool sim_chance(unsigned int per_mille);
void sim_say(const struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sim_print_trace(FILE *f);
void sim_violated(const char *what);
struct host *sim_other(const struct host *h);
bool sim_awake(const struct host *h);

/* ---- daemon.c: romulusd --------------------------------------------------------------------- */

void daemon_start(struct host *h, uint64_t a, uint64_t b);
void daemon_kill(struct host *h);
bool daemon_on(struct host *h, enum failover_event event);
void daemon_report(struct host *h, enum failover_event event); /* of its worker */
void daemon_note_started(struct host *h);                      /* the guest, from its disks */
void daemon_note_restarted(struct host *h);                    /* the guest, by itself */
void daemon_ask_protect(struct host *h);
void daemon_ask_unprotect(struct host *h);
/* Whether the romulusd of that @life has ended since. */
bool daemon_gone(const struct host *h, unsigned int life);

/* arbiter.c: asked while the other host is silent; idempotent */
void arbiter_begin(struct host *h);
void arbiter_need(struct host *h);
void arbiter_decided(struct host *h); /* the decision is on disk: the store is told of it */
/* By a heartbeat or in a session: a proof that the other host is off is void. */
void arbiter_heard(struct host *h);

/* ---- store.c: etcd, as one thing that all can reach or not ---------------------------------- */

void store_begin(void);
void store_cut(const struct host *h, uint64_t until); /* it answers @h late or never until then */

/* ---- workers.c: romulus-primary, romulus-backup, and what clears up after them -------------- */

void worker_spawn(struct host *h, enum worker_kind kind);
void worker_kill(struct host *h); /* with its daemon, or by it */
void worker_dies(struct host *h); /* by itself: the daemon notices in a moment */
void worker_standby_lost(struct host *h);
void worker_fails(struct host *h); /* primary: for want of a guest, or of the stream */
void worker_connect(struct host *h);
void worker_order_solo(struct host *h);
void worker_order_stop(struct host *h);
void worker_order_discard(struct host *h);
void worker_order_takeover(struct host *h);
/* What a stream brings, to the worker of @h. */
sim_handler primary_lost, backup_lost, backup_greeting, backup_begin, backup_end, backup_boundary;
void command_repair(struct host *h);
void command_sweep(struct host *h); /* of a guest that has ended */
void command_discard(struct host *h);
void command_start(struct host *h);

/* ---- guest.c: the domain, what its client sees ----------------------------------------------- */

void guest_begin(struct host *h, uint64_t count, const char *from);
void guest_end(struct host *h);
void guest_release_all(struct host *h);
void guest_release_closed(struct host *h);
void guest_tick(struct host *h, uint64_t a, uint64_t b);
/* It ends; some time later the process that has created it starts it again. */
void guest_reboot(struct host *h);

/* ---- fate.c: power, crashes, cables -----------------------------------------------------------
 */

void fate_begin(void);
void fate_heal(void);
/* A delicate moment of @h: in some schedules something happens to it @within that time. */
void fate_tempt(struct host *h, uint64_t within);
/* What is about to be ordered of its worker may cross the worker's last word. */
void fate_cross(struct host *h);
/* The paths are mended, the stream's perhaps later, and heartbeats still dropped for a while. */
void fate_half_heal(void);
void host_lose_power(struct host *h, const char *why);
/* May kill the daemon, the worker or the host here. True: @h's daemon is not there any more. */
bool fate_crash(struct host *h, enum crash_point point);

#endif
