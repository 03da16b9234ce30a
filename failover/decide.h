/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain's record on disk and its peer's word mean: which event of the lifecycle table a
 * word is, where a restarted daemon begins, whether the peer claims the guest. Pure: no I/O, clock
 * or memory; the daemon and the simulator drive the same object.
 *
 * A word is believed however late it comes: what is final was on the speaker's disk before it was
 * said, and a word of an earlier generation than the record's means nothing.
 */
#ifndef FAILOVER_DECIDE_H
#define FAILOVER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "failover/domain_machine.h"
#include "failover/state.h"

/* What a peer last said about one domain. */
struct failover_gossip {
	char uuid[FAILOVER_UUID_MAX];
	uint64_t generation, epoch;
	enum proto_role role;
	enum proto_state state;
};

/*
 * The event that the peer's word @g is for a domain in @state with record @r. False: none.
 * @peer_may_be_shot: the fence agent is at work against the peer, which therefore must not be left
 * as the only owner.
 */
bool failover_decide_word(enum failover_state state, const struct failover_record *r,
	const struct failover_gossip *g, bool peer_may_be_shot, enum failover_event *ret);

/* What a grant would decide for a domain in @state: TAKEOVER or SOLO, or NONE if it would let go.
 */
enum failover_decision failover_decide_wish(enum failover_state state);

/*
 * The event that it is for a domain in @state with record @r to learn from the arbiter that its
 * peer owns the generation and acts on it: the one of the peer's own word. False: none.
 */
bool failover_decide_lost(enum failover_state state, const struct failover_record *r,
	bool peer_may_be_shot, enum failover_event *ret);

/* Whether the peer says that it runs the guest, in this generation or a later one. */
bool failover_decide_claimed(const struct failover_record *r, const struct failover_gossip *g);

/* What becomes of a peer's wish that this host be its backup. */
enum failover_admission {
	FAILOVER_ADMIT,
	FAILOVER_REFUSE_GENERATION, /* it is not newer than what is known here */
	FAILOVER_REFUSE_OWNER,      /* this host runs the guest, or may have to */
	FAILOVER_REFUSE_BUSY,       /* an earlier standby is still here, or being cleared away */
};

/*
 * @generation: the one asked for. @known: the newest of this guest that is known here, 0 for none.
 * @busy: a worker or a command of this domain is at work.
 */
enum failover_admission failover_decide_prepare(
	enum failover_state state, uint64_t known, uint64_t generation, bool busy);

/*
 * Whether a domain in @state asks the arbiter. With @stay_mute a primary that has lost its backup
 * does not: it waits until the backup is heard, or an operator ends the protection.
 */
bool failover_decide_asks(enum failover_state state, bool stay_mute);

/* A guest of this host that another one may take over, or has taken over: see watchdog.h. */
bool failover_decide_watched(enum failover_state state);

/* Nothing of the domain is here that a new standby would disturb. */
bool failover_decide_free(enum failover_state state);

/* What a restarted daemon does besides entering the state. */
enum failover_resume {
	FAILOVER_RESUME_NOTHING,
	FAILOVER_RESUME_ASK,        /* mute until the peer or the arbiter lets go */
	FAILOVER_RESUME_AWAIT_WORD, /* the guest died with this host; the peer may have it */
	FAILOVER_RESUME_START,      /* the guest died with this host, which owns it */
	FAILOVER_RESUME_REPAIR,     /* as owner: what a dead worker left on the guest */
	FAILOVER_RESUME_CLEAR,      /* what a takeover left that did not come to its end */
	FAILOVER_RESUME_DISCARD,    /* the standby, lost with its worker; or a stale guest */
};

struct failover_restart {
	enum failover_decision decision; /* to be on disk before anything else happens */
	enum failover_state state;
	enum failover_resume then;
};

/* Where the daemon begins with record @r; @same_boot: the kernel is the one that wrote it. */
struct failover_restart failover_decide_restart(const struct failover_record *r, bool same_boot);

/* What is on disk of a decision that nobody needs protected any more. */
struct failover_forgotten {
	enum failover_decision decision;
	enum proto_role role;
};

/*
 * What stays of @r when its protection is over. The peer may not have heard yet what was decided,
 * and would wait for it for ever, or take it for undecided: so that is never forgotten.
 */
struct failover_forgotten failover_decide_forget(const struct failover_record *r);

/* What a heartbeat says of a domain in @state with record @r. */
void failover_decide_gossip(enum failover_state state, const struct failover_record *r, bool vacant,
	enum proto_role *ret_role, enum proto_state *ret_state);

/* failover_machine_base, and VACANT for a guest that died with its host (@vacant). */
enum failover_state failover_decide_base(const struct failover_record *r, bool vacant);

#endif
