/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulator: two hosts, one domain, a network, a power switch and fate, in virtual time, all
 * from one seed. What decides are the product's own objects: failover/domain_machine.o,
 * domain_plan.o, decide.o, detector.o, replay.o, arbiter.o, arbiter_etcd.o and
 * replicator/primary_epoch.o, backup_epoch.o. What is simulated is what they ask for: processes,
 * disks, streams, the power switch, etcd.
 *
 * The guest counts the writes that its disk has completed and tells the count to its client, a
 * checkpoint is the count and what each block must hold. So the invariants are about numbers:
 *   1, 4  a takeover, or a start from disks, begins at no less than the client has seen
 *   2     no frame comes from a guest that a later one has replaced, but for late ones
 *         a guest that was handed over runs here only when it has been taken back, and there from
 *         where it stood still
 *   3     after a takeover, and before a start from disks, the disk is what the guest wrote
 *         and a guest that ended in agreement is never resumed
 *   5     when everything works again the domain runs, is heard and is protected, or its state
 *         says what a person must do
 *   6     when a resync has ended the two disks are the same
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/fault.h"
#include "diskrep/lineage.h"
#include "diskrep/takeover.h"
#include "failover/arbiter.h"
#include "failover/decide.h"
#include "failover/detector.h"
#include "failover/domain_machine.h"
#include "failover/domain_plan.h"
#include "failover/replay.h"
#include "failover/timeouts.h"
#include "replicator/backup_epoch.h"
#include "replicator/primary_epoch.h"

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define HOSTS 2
#define PATHS 2
#define LINEAGES 256
#define BLOCKS 48u    /* of the guest's disk */
#define MARKER BLOCKS /* the marker volume: one block behind them */

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
	BUG_PLUG_BYPASS,
	BUG_ROLLBACK_SKIP,
	BUG_ROLLBACK_BENEATH,
	BUG_LINEAGE_SKIP,
	BUG_RESUME_HANDED_OVER,
	BUG_WAKE_AND_SPEAK,
	BUG_COUNT,
};

/*
 * Places where a process or a host may die, counted for coverage: the product's fault points, of
 * which points.c says where each is met, and some more.
 */
enum crash_point {
	CRASH_BEFORE_RECORD = FAULT_COUNT,
	CRASH_AFTER_RECORD,
	CRASH_BEFORE_ORDER,
	CRASH_SUSPENDED,
	CRASH_SHIPPED,
	CRASH_AFTER_ACK,
	CRASH_FENCING,
	CRASH_POINTS,
};

struct host;

enum worker_kind { WORKER_NONE, WORKER_PRIMARY, WORKER_BACKUP };

/* What a guest knows; a checkpoint is a copy of it. */
struct memory {
	uint64_t count;
	uint64_t block[BLOCKS]; /* what its disk holds, but for one write that is not completed: */
	bool writing;
	unsigned int at;
	uint64_t stamp;
};

struct worker {
	enum worker_kind kind;
	unsigned int life; /* events of an earlier life are void */
	unsigned int peer; /* life of the worker at the other end; 0: not connected */
	bool leaving;      /* nothing more is expected of it */
	bool dead;         /* and its daemon has not noticed yet */
	bool orphan;       /* its daemon is gone, and it goes on without one */
	uint64_t said_at;  /* when the daemon has read all that was said */
	struct primary_epoch primary;
	struct backup_epoch backup;
	bool moving;    /* primary: the next epoch is the last one */
	bool suspended; /* primary: it has the guest stopped, */
	bool withholds; /* primary: an acked epoch, until the next one is acked */
	uint64_t captured_at;
	bool marking;                   /* and waits for the marker to be written */
	struct diskrep_lineage lineage; /* backup: of its disks */
	unsigned int looks;
	struct memory opening;    /* backup: the epoch that is arriving */
	struct memory checkpoint; /* backup: the last acked one */
};

struct guest {
	bool exists, suspended;
	unsigned int lineage; /* which of the instances, in the order in which they were let go */
	struct memory memory;
	bool written; /* the write is completed, which it has not seen yet */
	bool plugged;
	uint64_t closed; /* frames up to here are of closed epochs */
	uint64_t out;    /* frames up to here have left */
};

/* A takeover that has begun; on disk. */
struct rollback {
	bool exists;
	size_t n;
	unsigned int block[BLOCKS];
	uint64_t stamp[BLOCKS];
	struct memory memory; /* what is then to be there */
};

struct disk {
	uint64_t block[BLOCKS + 1];
	uint64_t dirty; /* DRBD's bitmap: what the other host may not have */
	uint64_t generation;
	bool inconsistent; /* a resync is not at its end */
	struct rollback rollback;
	/* gone with the power: */
	bool primary, alone;   /* alone: it does not connect by itself */
	bool discards;         /* what it has and the other one has not */
	bool store;            /* the undo store lies beneath DRBD, */
	unsigned int expected; /* and waits for markers of this pairing */
};

struct host {
	const char *name;
	int number;
	bool power, daemon;
	unsigned int boot;     /* of the kernel */
	unsigned int life;     /* of the daemon: events of an earlier one are void */
	uint64_t paused_until; /* the whole host stands still */
	uint64_t woke_at;      /* after longer than may go unnoticed */
	uint64_t busy_until;   /* its daemon waits for the disk of its records */
	uint64_t clock;        /* nanoseconds of its own in a second of the world's */
	uint64_t slow_until;   /* its disk is */
	struct disk disk;
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
	bool resumes, unwritten;    /* see struct failover_domain */
	struct failover_debt debt;
	struct failover_detector detector;
	struct failover_gossip gossip; /* of the peer */
	bool gossip_known;
	struct failover_newest newest;
	struct failover_replay replay;
	uint64_t sequence;
	struct failover_peer_config peer;
	struct failover_events events;
	struct failover_arbiter arbiter;
	struct failover_claim claim;
	uint64_t attempt_generation;
	bool moves, unwanted; /* see struct failover_domain */
	struct failover_attempts attempts;
	bool later; /* what went wrong last was only not ready yet */
	bool requesting, asker, asker_unprotects, commanding;
	uint64_t request, asker_request; /* numbers of them */
};

struct sim {
	uint64_t now, seed, random;
	enum bug bug;
	bool disks, stay_mute, identity, healing;
	enum failover_arbiter_kind arbiter;
	unsigned int fence_levels;
	long fence_delay_ms;
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
	uint64_t generations; /* of data, so far */
	uint64_t strokes;     /* of fate, so far, those that were spared included */
	unsigned int crashes_left;
	bool ended;                    /* the guest ended by itself, or nobody wants it protected */
	const struct host *moved_from; /* when all was well again */
	uint64_t handed, stood_at; /* the generation handed over last, and where its guest stood */
	uint64_t taken_over, solos, protections, moves, moved;
};

extern struct sim sim;
extern uint64_t transitions_taken[FAILOVER_STATE_COUNT][FAILOVER_EVENT_COUNT];

/* ---- points.c: the deliberate bugs, the fault points ----------------------------------------- */

extern uint64_t crashes_taken[CRASH_POINTS];
bool epochs_covered(bool all); /* as `coverage`, of the workers' tables */

const char *point_name(unsigned int point);
const char *bug_name(enum bug bug);
enum bug bug_named(const char *name); /* BUG_NONE: there is none */
void points_list(FILE *f);
/* What was met, for a person; false: with @all, something was not. */
bool points_met(FILE *f, bool all);

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
uint64_t host_now(const struct host *h); /* by its own clock */
/* How long what lasts @ns by its own clock takes. */
uint64_t host_wait(const struct host *h, uint64_t ns);

/* ---- daemon.c: romulusd --------------------------------------------------------------------- */

void daemon_start(struct host *h, uint64_t a, uint64_t b);
void daemon_kill(struct host *h);
bool daemon_on(struct host *h, enum failover_event event);
void daemon_report(struct host *h, enum failover_event event); /* of its worker */
void daemon_note_started(struct host *h);                      /* the guest, from its disks */
void daemon_note_restarted(struct host *h);                    /* the guest, by itself */
void daemon_ask_protect(struct host *h);
void daemon_ask_unprotect(struct host *h);
void daemon_ask_migrate(struct host *h, bool protect);
/* While it waits for the disk of its records, what comes in waits for it: @handler will be called.
 */
bool daemon_waits(struct host *h, sim_handler *handler, uint64_t a, uint64_t b);
/* Whether the romulusd of that @life has ended since. */
bool daemon_gone(const struct host *h, unsigned int life);

/* ---- peers.c: what the two daemons say to each other ----------------------------------------- */

enum answer { ANSWER_NONE, ANSWER_PREPARED, ANSWER_REFUSED, ANSWER_LATER, ANSWER_UNPROTECTED };

/* A heartbeat on every path. */
void peers_beat(struct host *h);
/* That the peer be the backup, or let go; the answer is an event. */
void peers_ask(struct host *h, bool unprotect);
/* To the one that waits: who has asked again meanwhile does not listen any more. */
void peers_answer(struct host *h, enum answer what);

/* arbiter.c */
void arbiter_begin(struct host *h);
void arbiter_end(struct host *h);
void arbiter_ask(struct host *h); /* whenever the other host is silent */

/* ---- store.c: etcd, as one thing that all can reach or not ---------------------------------- */

void store_begin(void);
void store_cut(const struct host *h, uint64_t until); /* it answers @h late or never until then */

/* ---- workers.c: romulus-primary, romulus-backup, and what clears up after them -------------- */

void worker_spawn(struct host *h, enum worker_kind kind);
void worker_kill(struct host *h);   /* by its daemon, or with its host */
void worker_orphan(struct host *h); /* its daemon is gone */
void worker_dies(struct host *h);   /* by itself: the daemon notices in a moment */
void worker_standby_lost(struct host *h);
void worker_marked(struct host *h, uint64_t stamp);   /* primary: the marker is written */
void worker_boundary(struct host *h, uint64_t epoch); /* backup: the store has met it */
void worker_fails(struct host *h); /* primary: for want of a guest, or of the stream */
void worker_connect(struct host *h);
void worker_order(struct host *h, enum proto_order order);
/* What a stream brings, to the worker of @h. */
sim_handler primary_lost, backup_lost, backup_greeting, backup_begin, backup_end;

/* ---- commands.c: what clears up after a worker ----------------------------------------------- */

void command_repair(struct host *h);
void command_sweep(struct host *h); /* of a guest that has ended */
void command_discard(struct host *h);
void command_start(struct host *h);

/* ---- guest.c: the domain, what its client sees ----------------------------------------------- */

void guest_begin(struct host *h, const struct memory *m, const char *from);
void guest_end(struct host *h);
void guest_release_all(struct host *h);
void guest_release_closed(struct host *h);
void guest_tick(struct host *h, uint64_t a, uint64_t b);
/* It ends; some time later the process that has created it starts it again. */
void guest_reboot(struct host *h);

/* ---- disk.c: the guest's disk, DRBD, the undo store ------------------------------------------ */

void disk_begin(void);
void disk_write(struct host *h, unsigned int block, uint64_t stamp);
void disk_power_off(struct host *h);
void disk_break(void);                  /* DRBD's connection, nobody else's */
void disk_lead(struct host *h);         /* as a primary's worker does that begins */
bool disk_follow(struct host *h);       /* as a backup's does */
bool disk_insert_store(struct host *h); /* false: the disks are not in step yet */
void disk_expect(struct host *h, unsigned int nonce);
bool disk_unbroken(const struct host *h); /* it has followed without a break since then */
bool disk_commit(struct host *h, uint64_t epoch);
bool disk_step(struct host *h, enum diskrep_takeover_do what);
bool disk_repair(struct host *h);
/* Invariant 3: @what is what is wrong if the disk is not that of @m. */
void disk_check(const struct host *h, const struct memory *m, const char *what);
/* Of a guest that had *ret in memory when it died; it then has what it reads from the disk. */
bool disk_start(struct host *h, struct memory *ret);

/* ---- fate.c: power, crashes, cables -----------------------------------------------------------
 */

/* Strokes of fate that do not happen, by their number: see main.c on how a trace is made short. */
#define STROKES_MAX 512u
extern bool fate_spares[STROKES_MAX];

void fate_begin(void);
void fate_heal(void);
/* A delicate moment of @h: in some schedules something happens to it @within that time. */
void fate_tempt(struct host *h, uint64_t within);
/* It is protected: in some schedules an operator moves it a while later. */
void fate_move(struct host *h);
/* What is about to be ordered of its worker may cross the worker's last word. */
void fate_cross(struct host *h);
/* A marker is about to be written: DRBD may break off now. */
void fate_break_disks(struct host *h);
/* The paths are mended, the stream's perhaps later, and heartbeats still dropped for a while. */
void fate_half_heal(void);
void host_lose_power(struct host *h, const char *why);
/*
 * May kill the daemon, the worker or the host here, at one of enum crash_point or enum fault. True:
 * @h's daemon is not there any more.
 */
bool fate_crash(struct host *h, unsigned int point);

#endif
