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
	enum proto_wish wish;   /* RELEASED: of whoever takes it over */
	enum proto_guest guest; /* TAKEN_OVER: what has become of it */
	bool fetches;           /* PROTECTED, backup: an operator there wants it */
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

/* What a domain asks its arbiter, or tells it. */
struct failover_question {
	const char *domain, *uuid;
	uint64_t generation;
	/* What it would decide: TAKEOVER or SOLO; NONE: to let go, which takes nobody's leave. */
	enum failover_decision word;
	bool as_primary;
};

enum failover_verdict {
	FAILOVER_VERDICT_WAIT,
	FAILOVER_VERDICT_GRANTED,
	FAILOVER_VERDICT_OTHER, /* the peer owns the generation and has acted on it */
};

enum failover_inquiry {
	FAILOVER_INQUIRE_NOTHING,
	FAILOVER_INQUIRE_GRANT, /* it waits for one */
	FAILOVER_INQUIRE_TELL,  /* it has decided, and the peer, who is silent, may not know */
};

/*
 * What a domain in @state with record @r, whose strings *ret points to, has to do with its arbiter
 * while the peer is silent. With @stay_mute a primary that has lost its backup asks for nothing: it
 * waits until the backup is heard, or an operator ends the protection.
 */
enum failover_inquiry failover_decide_inquire(enum failover_state state,
	const struct failover_record *r, bool stay_mute, struct failover_question *ret);

/*
 * The event that the arbiter's @verdict is; that the peer owns the generation and acts on it is the
 * peer's own word. False: none.
 */
bool failover_decide_verdict(enum failover_state state, const struct failover_record *r,
	enum failover_verdict verdict, bool peer_may_be_shot, enum failover_event *ret);

/* Whether the backup's word @g is that this primary, in @state with record @r, is to move it there.
 */
bool failover_decide_fetched(enum failover_state state, const struct failover_record *r,
	const struct failover_gossip *g);

/*
 * What the primary's word @g, which is @event to a domain in @state, wishes with the guest that it
 * hands over.
 */
enum proto_wish failover_decide_wished(
	enum failover_state state, enum failover_event event, const struct failover_gossip *g);

/* What has become of a guest that was handed over. */
enum failover_arrival {
	FAILOVER_ARRIVAL_AWAITED,
	FAILOVER_ARRIVED, /* it runs there, and nothing of it is left here */
	FAILOVER_ARRIVAL_FAILED,
};

/* The same of a guest of a domain in @state with record @r, of which the peer says @g. */
enum failover_arrival failover_decide_arrival(enum failover_state state,
	const struct failover_record *r, const struct failover_gossip *g);

/*
 * Whether a domain in @state lets its checkpoint go when the silent peer is heard again, @asked:
 * the store may say that this host owns the generation although it has not decided so. It could die
 * later without knowing, and nobody could go on alone then; it is asked again for the next one.
 */
bool failover_decide_reunited(enum failover_state state, bool asked, bool peer_may_be_shot);

/*
 * Whether a domain in @state with record @r is to be protected again by itself; @g is what the peer
 * says of it, or NULL.
 */
bool failover_decide_again(enum failover_state state, const struct failover_record *r,
	const struct failover_gossip *g);

/* The generation of the next attempt: above all that is known, @last, of the last one, as well. */
uint64_t failover_decide_generation(
	const struct failover_record *r, uint64_t last, const struct failover_gossip *g);

/* Whether the peer says that it runs the guest, in this generation or a later one. */
bool failover_decide_claimed(const struct failover_record *r, const struct failover_gossip *g);

/* What becomes of a peer's wish that this host be its backup. */
enum failover_admission {
	FAILOVER_ADMIT,
	FAILOVER_REFUSE_GENERATION, /* it is not newer than what is known here */
	FAILOVER_REFUSE_OWNER,      /* this host runs the guest, or may have to */
	FAILOVER_REFUSE_BUSY,       /* an earlier standby is still here, or being cleared away */
	FAILOVER_REFUSE_SHOT,       /* the asker may be switched off at any moment */
	FAILOVER_DONE_ALREADY,      /* nothing is left to do */
};

/*
 * @generation: the one asked for. @known: the newest of this guest that is known here, 0 for none.
 * @busy: a worker or a command of this domain is at work.
 */
enum failover_admission failover_decide_prepare(
	enum failover_state state, uint64_t known, uint64_t generation, bool busy);

/* The same of its wish that this host, its backup, let go. */
enum failover_admission failover_decide_unprotect(enum failover_state state, bool peer_may_be_shot);

/* Whether what is cleared away in @state is a standby, and not the guest of a primary. */
bool failover_decide_standby(enum failover_state state);

/*
 * Whether nobody says @event again. What it promises must be tried again when it could not be
 * written; all other events come again, if they still mean anything by then.
 */
bool failover_decide_once(enum failover_event event);

/* An event that nobody says again, of which the promise could not be written. */
struct failover_debt {
	bool owes;
	enum failover_event event;
};

/* What is owed comes first: anything else would be about a state that is over. */
bool failover_decide_heeds(const struct failover_debt *debt, enum failover_event event);

/* After such a report of a worker nothing more is expected of it. */
bool failover_decide_last_word(enum failover_event report);

/* A guest of this host that another one may take over, or has taken over: see watchdog.h. */
bool failover_decide_arms_watchdog(enum failover_state state);

/* Nothing of the domain is here that a new standby would disturb. */
bool failover_decide_free(enum failover_state state);

/*
 * Whether the guest of a domain in @state with record @r is on this host, or should be, so that a
 * monitor watches for its end. An attempt has changed nothing of that yet.
 */
bool failover_decide_watches(enum failover_state state, const struct failover_record *r);

/* Whether such a guest, when it starts again, is to wait: the backup may own the generation yet. */
bool failover_decide_restrains(enum failover_state state, const struct failover_record *r);

/* What a restarted daemon does besides entering the state. */
enum failover_resume {
	FAILOVER_RESUME_NOTHING,
	FAILOVER_RESUME_ASK,         /* mute until the peer or the arbiter lets go */
	FAILOVER_RESUME_AWAIT_WORD,  /* the guest died with this host; the peer may have it */
	FAILOVER_RESUME_HANDED_OVER, /* the guest stands suspended; the peer may have it */
	FAILOVER_RESUME_START,       /* the guest died with this host, which owns it */
	FAILOVER_RESUME_REPAIR,      /* as owner: what a dead worker left on the guest */
	FAILOVER_RESUME_ADOPT,       /* a takeover goes on without its daemon, or came to an end */
	FAILOVER_RESUME_DISCARD,     /* the standby, lost with its worker; or a stale guest */
};

struct failover_restart {
	enum failover_decision decision; /* to be on disk before anything else happens */
	enum failover_state state;
	enum failover_resume then;
	bool vacant; /* the guest died with this host; see failover_decide_base */
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

/* What a heartbeat says of a domain in @state with record @r, but for the epoch and the uuid. */
struct failover_gossip failover_decide_gossip(
	enum failover_state state, const struct failover_record *r, bool vacant);

/* failover_machine_base, and VACANT for a guest that died with its host (@vacant). */
enum failover_state failover_decide_base(const struct failover_record *r, bool vacant);

#endif
