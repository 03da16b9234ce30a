/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The actions of the lifecycle table, one function for each, and what they share; for
 * domain_actions.c and the files of the two roles only.
 */
#ifndef FAILOVER_DOMAIN_ROLES_H
#define FAILOVER_DOMAIN_ROLES_H

#include "failover/daemon.h"

#define NAME(d) ((d)->record.name)
#define EVENT(d, kind, ...) failover_event(&(d)->fo->events, NAME(d), kind, __VA_ARGS__)

/* domain_actions.c */

const char *failover_domain_peer_name(const struct failover_domain *d);
/* What becomes of its protection, for the end of a sentence; "" when nobody wants it. */
const char *failover_domain_outlook(const struct failover_domain *d);
/* Attempt it again, later each time. */
void failover_domain_try_later(struct failover_domain *d);
/* Order the worker, if there is one. */
void failover_domain_tell(struct failover_domain *d, enum proto_order order);
/* Order the worker, or run the command that does it in the place of one that takes no orders. */
void failover_domain_worker_or(struct failover_domain *d, enum proto_order order,
	void (*command)(struct failover_domain *));
/* Write the decision; false: it could not be written, so nothing may follow from it. */
bool failover_domain_decided(
	struct failover_domain *d, enum failover_decision decision, enum proto_role role);

/* The actions. False: the promise could not be made; the state stays. */

/* domain_primary.c */

bool failover_do_spawn_primary(struct failover_domain *d);
bool failover_do_ask_peer(struct failover_domain *d);
bool failover_do_note_protected(struct failover_domain *d);
bool failover_do_want_solo(struct failover_domain *d);
bool failover_do_go_solo(struct failover_domain *d);
bool failover_do_note_solo(struct failover_domain *d);
bool failover_do_run_on(struct failover_domain *d);
bool failover_do_report_failure(struct failover_domain *d);
bool failover_do_give_up(struct failover_domain *d);
bool failover_do_cancel(struct failover_domain *d);
bool failover_do_guest_ended(struct failover_domain *d);
bool failover_do_ask_unprotect(struct failover_domain *d);
bool failover_do_stop(struct failover_domain *d);
bool failover_do_forget(struct failover_domain *d);
bool failover_do_leave(struct failover_domain *d);
bool failover_do_note_left(struct failover_domain *d);
bool failover_do_note_stale(struct failover_domain *d);
bool failover_do_reclaim(struct failover_domain *d);
bool failover_do_alarm(struct failover_domain *d);

/* domain_backup.c */

bool failover_do_spawn_backup(struct failover_domain *d);
bool failover_do_answer_prepared(struct failover_domain *d);
bool failover_do_answer_refused(struct failover_domain *d);
bool failover_do_note_ready(struct failover_domain *d);
bool failover_do_note_holding(struct failover_domain *d);
bool failover_do_release(struct failover_domain *d);
bool failover_do_note_released(struct failover_domain *d);
bool failover_do_take_over(struct failover_domain *d);
bool failover_do_announce(struct failover_domain *d);
bool failover_do_clear(struct failover_domain *d);
bool failover_do_note_broken(struct failover_domain *d);
bool failover_do_note_stuck(struct failover_domain *d);

#endif
