/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain's daemon does next: a pure table of (state, event) -> (state, action). No I/O, no
 * clock, no memory: the daemon and the tests drive the same object.
 *
 * Invariants, asserted by tests/unit/domain_machine.c over the whole table:
 *  - a takeover begins only from a backup that holds an acked checkpoint, and only on a grant or on
 *    the primary's own persisted promise; the loss of a stream never is one;
 *  - solo begins only from WANT_SOLO, on a grant or on the backup's persisted promise;
 *  - a guest that has been handed over goes on here only on the backup's persisted promise, or on
 * an operator's word: no arbiter is asked, for a silent backup may have taken it over;
 *  - a guest that ends by itself grants nothing: where the generation is undecided one that starts
 *    again waits for the decision, and one that ended for good is given up on both hosts;
 *  - a guest that died with its host is reclaimed only on the backup's persisted promise: a silent
 *    backup may have taken it over long ago, and nothing granted here could undo that.
 */
#ifndef FAILOVER_DOMAIN_MACHINE_H
#define FAILOVER_DOMAIN_MACHINE_H

#include <stdbool.h>

#include "failover/state.h"
#include "proto/proto.h"

enum failover_state {
	FAILOVER_IDLE,      /* known, nothing runs */
	FAILOVER_CHECKING,  /* primary: worker started, guest being examined */
	FAILOVER_PREPARING, /* primary: the peer has been asked */
	FAILOVER_SYNCING,   /* primary: initial copy */
	FAILOVER_PROTECTED,
	FAILOVER_MOVING,      /* primary: the last epoch is being made, or is on its way */
	FAILOVER_HANDED_OVER, /* primary: persisted; guest suspended until the backup has it */
	FAILOVER_WANT_SOLO,   /* primary: mute until the generation is decided */
	FAILOVER_GOING_SOLO,  /* primary: solo persisted, being carried out */
	FAILOVER_SOLO,
	FAILOVER_STOPPING,    /* primary: unprotect asked of the peer */
	FAILOVER_ENDING,      /* primary: the peer has let go, worker ordered to stop */
	FAILOVER_LEAVING,     /* primary: generation over, stale guest being destroyed */
	FAILOVER_CLOSING,     /* primary: the guest has ended for good, the backup is to let go */
	FAILOVER_VACANT,      /* primary: guest died with this host, the backup may have it */
	FAILOVER_OPENING,     /* backup: worker started, not listening yet */
	FAILOVER_RECEIVING,   /* backup: initial copy */
	FAILOVER_READY,       /* backup: holds an acked checkpoint, stream up */
	FAILOVER_HOLDING,     /* backup: holds an acked checkpoint, stream lost */
	FAILOVER_TAKING_OVER, /* backup: takeover persisted, being carried out */
	FAILOVER_TAKEN_OVER,  /* this host runs the domain now */
	FAILOVER_CLEARING,    /* takeover granted, but it failed; what it left being cleared */
	FAILOVER_BROKEN,      /* cleared: nobody runs the domain, its disks can be used */
	FAILOVER_STUCK,       /* not cleared: its disks may be half rolled back */
	FAILOVER_RELEASING,   /* backup: released persisted, standby being destroyed */
	FAILOVER_RELEASED,
	FAILOVER_STATE_COUNT,
	FAILOVER_BASE, /* only in the table: what the record says (failover_machine_base) */
};

enum failover_event {
	FAILOVER_ON_PROTECT,  /* the operator, or the kept intent */
	FAILOVER_ON_FOUND,    /* report of the primary's worker */
	FAILOVER_ON_PREPARED, /* answer of the peer */
	FAILOVER_ON_REFUSED,
	FAILOVER_ON_SYNCED, /* first checkpoint committed, or acked */
	FAILOVER_ON_LOST,   /* stream gone or silent */
	FAILOVER_ON_FAILED,
	FAILOVER_ON_GUEST_GONE,     /* the worker has no guest any more */
	FAILOVER_ON_GUEST_ENDED,    /* the monitor: it has ended for good */
	FAILOVER_ON_GUEST_RESTARTS, /* the monitor: it has ended and will start again */
	FAILOVER_ON_STANDBY_LOST,
	FAILOVER_ON_WORKER_DIED,
	FAILOVER_ON_DONE,     /* order carried out, or repair or discard command finished */
	FAILOVER_ON_NOT_DONE, /* repair or discard command failed */
	FAILOVER_ON_RETRY,    /* nothing is under way, and the wait after a failure is over */
	FAILOVER_ON_MOVE,     /* the operator */
	FAILOVER_ON_COMPLETE, /* all of the guest is acked, and it stands still */
	FAILOVER_ON_UNPROTECT,
	FAILOVER_ON_UNPROTECTED,
	FAILOVER_ON_UNPROTECT_FAILED,
	FAILOVER_ON_GRANT,           /* arbiter or operator; the peer is off or condemned */
	FAILOVER_ON_PEER_RELEASED,   /* the peer has persisted that it will not own it */
	FAILOVER_ON_PEER_WANTS_SOLO, /* backup: the primary asks to be let go */
	FAILOVER_ON_PEER_OWNS,       /* the peer has taken this generation over */
	FAILOVER_ON_PREPARE,         /* the peer asks us to be its backup */
	FAILOVER_ON_LISTENING,
	FAILOVER_ON_UNPROTECT_ASKED,
	FAILOVER_ON_RUNNING,
	FAILOVER_EVENT_COUNT,
};

enum failover_action {
	FAILOVER_DO_NOTHING,
	FAILOVER_DO_SPAWN_PRIMARY,
	FAILOVER_DO_ASK_PEER, /* send Prepare */
	FAILOVER_DO_CONNECT,  /* persist the generation, order CONNECT */
	FAILOVER_DO_NOTE_PROTECTED,
	FAILOVER_DO_MOVE,      /* order the last epoch */
	FAILOVER_DO_HAND_OVER, /* persist it, then it is the backup's for the taking */
	FAILOVER_DO_TAKE_BACK, /* persist solo, order SOLO or run the repair */
	FAILOVER_DO_WANT_SOLO,
	FAILOVER_DO_GO_SOLO, /* persist solo, order SOLO or run the repair */
	FAILOVER_DO_NOTE_SOLO,
	FAILOVER_DO_NOTE_UNREPAIRED, /* the guest may stand still or be mute: try again */
	FAILOVER_DO_RUN_ON,          /* the worker failed and undid everything: persist solo */
	FAILOVER_DO_REPAIR,
	FAILOVER_DO_REPORT_FAILURE, /* nothing was begun; tell who asked, try again later */
	FAILOVER_DO_GIVE_UP,        /* as above, and stop the worker */
	FAILOVER_DO_CANCEL,         /* an attempt is called off: forget, and stop the worker */
	FAILOVER_DO_NOTE_GONE,
	FAILOVER_DO_GUEST_ENDED_TOO, /* as below, while its protection was being ended */
	FAILOVER_DO_GUEST_ENDED,     /* persist it, drop what it still had to say */
	FAILOVER_DO_GUEST_RESTARTS,
	FAILOVER_DO_NOTE_RESTARTS, /* its worker is being dealt with already */
	FAILOVER_DO_NOTE_CLOSED,
	FAILOVER_DO_ASK_UNPROTECT,
	FAILOVER_DO_STOP,
	FAILOVER_DO_FORGET, /* protection is over, all is done */
	FAILOVER_DO_LEAVE,  /* destroy the stale guest, never releasing its output */
	FAILOVER_DO_NOTE_LEFT,
	FAILOVER_DO_NOTE_STALE, /* it could not be destroyed: it stays mute, try again */
	FAILOVER_DO_RECLAIM,    /* persist solo: both hosts lost it, its disks are here */
	FAILOVER_DO_ALARM,      /* two owners claim it: cannot happen while grants are honest */
	FAILOVER_DO_SPAWN_BACKUP,
	FAILOVER_DO_ANSWER_PREPARED, /* persist the generation, answer */
	FAILOVER_DO_ANSWER_REFUSED,
	FAILOVER_DO_NOTE_READY,
	FAILOVER_DO_NOTE_HOLDING,
	FAILOVER_DO_RELEASE, /* persist released, order DISCARD or run the discard */
	FAILOVER_DO_DISCARD, /* run the discard command */
	FAILOVER_DO_NOTE_RELEASED,
	FAILOVER_DO_TAKE_OVER, /* persist takeover, then order it */
	FAILOVER_DO_ANNOUNCE,
	FAILOVER_DO_CLEAR, /* run the discard command, which finishes a rollback */
	FAILOVER_DO_NOTE_BROKEN,
	FAILOVER_DO_NOTE_STUCK,
	FAILOVER_ACTION_COUNT,
};

struct failover_step {
	enum failover_state next;
	enum failover_action action;
};

/*
 * The step for @event in @state; @base is where an attempt that began nothing returns to. False:
 * the event means nothing in that state, *ret is untouched.
 */
bool failover_machine_step(enum failover_state state, enum failover_event event,
	enum failover_state base, struct failover_step *ret);

/* True when only an arbiter's grant can move the domain on once its peer is silent. */
bool failover_machine_needs_grant(enum failover_state state);

/* The guest runs on this host, or should: its end is watched for. */
bool failover_machine_guest_here(enum failover_state state);

/* A guest that starts again in @state must not be heard: the backup may own the generation yet. */
bool failover_machine_restrains(enum failover_state state);

/* What a heartbeat says about a domain in @state. */
enum proto_role failover_machine_role(enum failover_state state);
enum proto_state failover_machine_gossip(enum failover_state state);

/* What a record alone says: where romulusd begins after a restart, and a failed attempt ends. */
enum failover_state failover_machine_base(enum proto_role role, enum failover_decision decision);

const char *failover_state_name(enum failover_state state);
const char *failover_event_name(enum failover_event event);

#endif
