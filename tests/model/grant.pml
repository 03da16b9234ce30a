/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grant protocol of one generation of one domain: who may run it when primary and backup lose
 * each other. A model of failover/domain_machine.c, domain.c (what a peer's word means, what a
 * restart does) and arbiter.c, checked over every schedule by spin; see model/run.
 *
 * Words travel as heartbeats, which say everything again and again: a word once said may be heard at
 * any time later, again, late, never, or after words said later. So the network is the set of what
 * has been said. A power switch obeys one request after the other; a request outlives its sender.
 * Promises are on disk before they are said, grants before they are acted upon: the steps in between
 * are where daemons and hosts die here.
 *
 * ETCD, defined: a store decides instead of the power switch; BOTH: the store, and then the switch. Its entry
 * is made by whoever comes first and is a claim until its host has the decision on disk. A question outlives
 * its sender, and an answer that is lost is asked for again; what it says once about the owner it says for ever.
 *
 * A planned switchover is the primary's own promise while its guest stands suspended: HANDED.
 *
 * Invariant 2: takeover and solo are never both decided, and never two guests run unmuted. And nobody gives
 * its copy up for an entry of the other one's who has not decided: both copies would be gone.
 *
 * Each of these, defined, breaks the protocol in one place, and must make spin find a violation:
 *   RUN_ON_WITHOUT_GRANT   a primary whose worker fails runs on without asking
 *   LOSS_IS_PROOF          a backup takes over because the stream is lost
 *   FORGET_ON_RESTART      a backup's daemon that is restarted forgets that it had promised
 *   RECLAIM_BY_FENCING     a primary whose guest died with its host takes the backup's power for its word
 *   RESUME_HANDED_OVER     a primary that has handed its guest over lets it run
 *   TAKE_BACK_BY_FENCING   a primary that has handed its guest over takes the backup's power for its word
 *   FENCE_UNCONFIRMED      a power switch that failed counts as one that succeeded
 *   PUT_WITHOUT_COMPARE    the store takes whoever comes last
 *   CLAIM_IS_DECISION      the loser gives up for an entry, whether its owner has decided or not
 */

#if defined(PUT_WITHOUT_COMPARE) || defined(CLAIM_IS_DECISION) || defined(BOTH)
#define ETCD
#endif
#if !defined(ETCD) || defined(BOTH)
#define FENCE
#endif

#define CRASHES 2 /* of daemons and hosts together; more find nothing new and take long */

mtype = { NONE, SOLO, RELEASED, HANDED, TAKEOVER }; /* what a record on disk says */
mtype = { PROTECTED, HANDED_OVER, WANT_SOLO, GOING_SOLO, ALONE, VACANT, LEFT, READY, LETTING_GO, LET_GO, TAKING_OVER,
	TAKEN_OVER, CLEARED };

/* On disk: survives everything. */
mtype p_record = NONE, b_record = NONE;
bool b_finished = false; /* the takeover was carried out, the record says primary */

/* What is in the daemons' memory. */
mtype p_state = PROTECTED, b_state = READY;
bool p_up = true, b_up = true;         /* the daemon runs */
bool p_power = true, b_power = true;   /* the host runs */
bool p_new_boot = false, b_new_boot = false;

/* The guest itself. */
bool p_guest = true, p_loud = true; /* exists on the primary; its output leaves uncovered by acks */
bool b_guest = false;
bool stream = true;

/* Said by a heartbeat at some time. */
bool p_said_want = false, p_said_solo = false, p_said_released = false;
bool b_said_released = false, b_said_taken = false;

/* At the power switch; and what a daemon believes of its own request. */
bool shoot_p = false, shoot_b = false;
bool p_fencing = false, b_fencing = false, p_proof = false, b_proof = false;

#ifdef ETCD
mtype = { NOBODY, PRIMARY, BACKUP };
mtype owner = NOBODY;
bool decided = false;
bool p_put = false, b_put = false; /* on its way to the store */
bool p_left = false, b_left = false; /* gave its copy up for what the store says */
#ifdef CLAIM_IS_DECISION
#define ACTED true
#else
#define ACTED decided
#endif
#endif

#if defined(BOTH)
#define P_GRANT (owner == PRIMARY && p_proof)
#define B_GRANT (owner == BACKUP && b_proof)
#elif defined(ETCD)
#define P_GRANT (owner == PRIMARY)
#define B_GRANT (owner == BACKUP)
#else
#define P_GRANT p_proof
#define B_GRANT b_proof
#endif

#ifdef BOTH
#define P_SHOOTS (owner == PRIMARY)
#define B_SHOOTS (owner == BACKUP)
#else
#define P_SHOOTS true
#define B_SHOOTS !stream
#endif

byte crashes = 0;

#define P (p_power && p_up)
#define B (b_power && b_up)

inline p_dies() { p_up = false; p_state = WANT_SOLO; p_fencing = false; p_proof = false }
inline b_dies() { b_up = false; b_state = LETTING_GO; b_fencing = false; b_proof = false }

inline p_loses_power()
{
	p_power = false; p_new_boot = true; stream = false;
	p_guest = false; p_loud = false;
	p_dies()
}

inline b_loses_power()
{
	b_power = false; b_new_boot = true; stream = false; b_guest = false;
	b_dies()
}

init
{
	p_loud = false; run primary(); run backup(); run power(); run fate();
#ifdef ETCD
	run store()
#endif
}

proctype primary()
{
end:	do
	/* The stream is lost, or the other side of it: mute until it is decided. */
	:: atomic { P && p_state == PROTECTED && !stream -> p_state = WANT_SOLO }
#ifdef RUN_ON_WITHOUT_GRANT
	:: atomic { P && p_state == PROTECTED -> stream = false; p_record = SOLO; p_state = GOING_SOLO }
#endif
	:: atomic { P && p_state == WANT_SOLO -> p_said_want = true }
	:: atomic { P && p_state == WANT_SOLO && b_said_released -> p_record = SOLO; p_state = GOING_SOLO }
	:: atomic { P && p_state == WANT_SOLO && P_GRANT -> p_record = SOLO; p_state = GOING_SOLO }
	:: atomic { P && p_state == GOING_SOLO -> p_state = ALONE; p_loud = p_guest }
	:: atomic { P && p_state == ALONE -> p_said_solo = true }
	:: atomic { P && p_state == ALONE && !p_guest -> p_guest = true; p_loud = true } /* from its disks */
	/* All of it is acked, and it stands still. */
	:: atomic { P && p_state == PROTECTED && stream -> p_record = HANDED; p_state = HANDED_OVER }
	:: atomic { P && p_state == HANDED_OVER -> p_said_released = true }
	:: atomic { P && p_state == HANDED_OVER && b_said_released -> p_record = SOLO; p_state = GOING_SOLO }
#ifdef RESUME_HANDED_OVER
	:: atomic { P && p_state == HANDED_OVER -> p_loud = p_guest }
#endif
#ifdef TAKE_BACK_BY_FENCING
	:: atomic { P && p_state == HANDED_OVER && !b_power -> p_record = SOLO; p_state = GOING_SOLO }
#endif
	/* The other side owns it: the stale guest goes, unheard. */
	:: atomic { P && (p_state == WANT_SOLO || p_state == PROTECTED || p_state == HANDED_OVER ||
			p_state == VACANT) && b_said_taken ->
		p_record = RELEASED; p_state = LEFT }
	:: atomic { P && p_state == LEFT -> p_guest = false; p_said_released = true }
	/* The guest died with this host. */
	:: atomic { P && p_state == VACANT -> p_said_released = true }
	:: atomic { P && p_state == VACANT && b_said_released -> p_record = SOLO; p_state = GOING_SOLO }
#ifdef RECLAIM_BY_FENCING
	:: atomic { P && p_state == VACANT && !b_power -> p_record = SOLO; p_state = GOING_SOLO }
#endif
	/* Silence is possible at any time; only the arbiter makes a grant of it. */
#ifdef ETCD
	:: atomic { P && p_state == WANT_SOLO && owner == NOBODY && !p_put -> p_put = true }
	:: atomic { P && p_state == WANT_SOLO && owner == BACKUP && ACTED ->
		p_record = RELEASED; p_state = LEFT; p_left = true }
	:: atomic { P && p_record == SOLO && (owner == PRIMARY || owner == NOBODY) && !decided ->
		owner = PRIMARY; decided = true }
#endif
#ifdef FENCE
	:: atomic { P && p_state == WANT_SOLO && P_SHOOTS && !p_fencing && !p_proof ->
		p_fencing = true; shoot_b = true }
	:: atomic { P && p_fencing && !shoot_b -> p_fencing = false; p_proof = !b_power }
#ifdef FENCE_UNCONFIRMED
	:: atomic { P && p_fencing -> p_fencing = false; p_proof = true }
#endif
	:: atomic { P && p_proof && B -> p_proof = false } /* heard again */
#endif
	/* A restart knows what is on disk and whether the guest can still be there. */
	:: atomic { p_power && !p_up ->
		p_up = true;
		if
		:: p_record == NONE && p_new_boot -> p_record = RELEASED; p_state = VACANT
		:: p_record == NONE && !p_new_boot -> p_state = WANT_SOLO
		:: p_record == HANDED && p_new_boot -> p_record = RELEASED; p_state = VACANT
		:: p_record == HANDED && !p_new_boot -> p_state = HANDED_OVER
		:: p_record == SOLO -> p_state = GOING_SOLO
		:: p_record == RELEASED && p_new_boot -> p_state = VACANT
		:: p_record == RELEASED && !p_new_boot && !p_guest -> p_state = VACANT
		:: p_record == RELEASED && !p_new_boot && p_guest -> p_state = LEFT
		fi;
		p_new_boot = false }
	od
}

proctype backup()
{
end:	do
	/* The live primary asks to be let go; never while it may be shot at any moment. */
	:: atomic { B && b_state == READY && !b_fencing && (p_said_want || p_said_solo) ->
		b_state = LETTING_GO }
	:: atomic { B && b_state == LETTING_GO ->
#ifndef FORGET_ON_RESTART
		b_record = RELEASED;
#endif
		b_state = LET_GO }
	:: atomic { B && b_state == LET_GO -> b_said_released = true }
#ifdef LOSS_IS_PROOF
	:: atomic { B && b_state == READY && !stream -> b_record = TAKEOVER; b_state = TAKING_OVER }
#endif
	:: atomic { B && b_state == READY && p_said_released -> b_record = TAKEOVER; b_state = TAKING_OVER }
	:: atomic { B && b_state == READY && B_GRANT -> b_record = TAKEOVER; b_state = TAKING_OVER }
	:: atomic { B && b_state == TAKING_OVER -> b_guest = true; b_finished = true; b_state = TAKEN_OVER }
	:: atomic { B && (b_state == TAKING_OVER || b_state == TAKEN_OVER) -> b_said_taken = true }
	:: atomic { B && b_state == TAKEN_OVER && !b_guest -> b_guest = true } /* from its disks */
#ifdef ETCD
	:: atomic { B && b_state == READY && owner == NOBODY && !b_put -> b_put = true }
	:: atomic { B && b_state == READY && !b_fencing && owner == PRIMARY && ACTED ->
		b_state = LETTING_GO; b_left = true }
	/* The primary is heard again, and the store may have been asked. */
	:: atomic { B && b_state == READY && !b_fencing && (b_put || owner == BACKUP) -> b_state = LETTING_GO }
	:: atomic { B && b_record == TAKEOVER && (owner == BACKUP || owner == NOBODY) && !decided ->
		owner = BACKUP; decided = true }
#endif
#ifdef FENCE
	:: atomic { B && b_state == READY && B_SHOOTS && !b_fencing && !b_proof ->
		b_fencing = true; shoot_p = true }
	:: atomic { B && b_fencing && !shoot_p -> b_fencing = false; b_proof = !p_power }
#ifdef FENCE_UNCONFIRMED
	:: atomic { B && b_fencing -> b_fencing = false; b_proof = true }
#endif
	:: atomic { B && b_proof && P -> b_proof = false }
#endif
	:: atomic { b_power && !b_up ->
		b_up = true;
		if
#ifdef FORGET_ON_RESTART
		:: b_record == NONE -> b_state = READY
#else
		:: b_record == NONE -> b_state = LETTING_GO /* the standby is lost with its worker */
#endif
		:: b_record == RELEASED -> b_state = LET_GO
		:: b_record == TAKEOVER && b_finished -> b_state = TAKEN_OVER
		:: b_record == TAKEOVER && !b_finished -> b_state = CLEARED
		fi;
		b_new_boot = false }
	od
}

#ifdef ETCD
#ifdef PUT_WITHOUT_COMPARE
#define FREE true
#else
#define FREE (owner == NOBODY)
#endif
proctype store()
{
end:	do
	:: atomic { p_put -> p_put = false; if :: FREE -> owner = PRIMARY; decided = false :: else fi }
	:: atomic { b_put -> b_put = false; if :: FREE -> owner = BACKUP; decided = false :: else fi }
	od
}
#endif

/* The power switch, and somebody who switches hosts on again. */
proctype power()
{
end:	do
	:: atomic { shoot_p -> shoot_p = false; if :: p_power -> p_loses_power() :: else fi }
	:: atomic { shoot_b -> shoot_b = false; if :: b_power -> b_loses_power() :: else fi }
	:: atomic { !p_power -> p_power = true }
	:: atomic { !b_power -> b_power = true }
	od
}

proctype fate()
{
end:	do
	:: atomic { stream -> stream = false }
	:: atomic { crashes < CRASHES && p_power -> crashes++; p_loses_power() }
	:: atomic { crashes < CRASHES && b_power -> crashes++; b_loses_power() }
	:: atomic { crashes < CRASHES && P -> crashes++; stream = false; p_dies() }
	:: atomic { crashes < CRASHES && B -> crashes++; stream = false; b_dies() }
	od
}

#define ONE_OWNER (!(p_record == SOLO && b_record == TAKEOVER) && !(p_loud && b_guest))

#ifdef ETCD
ltl one_owner { [] (ONE_OWNER && (!p_left || b_record == TAKEOVER) && (!b_left || p_record == SOLO)) }
#else
ltl one_owner { [] ONE_OWNER }
#endif
