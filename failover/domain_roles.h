/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is particular to the actions of the lifecycle table, a function for each; for
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

/* domain_primary.c */

void failover_do_spawn_primary(struct failover_domain *d);
void failover_do_ask_peer(struct failover_domain *d);
void failover_do_connect(struct failover_domain *d);
void failover_do_note_protected(struct failover_domain *d);
void failover_do_want_solo(struct failover_domain *d);
void failover_do_go_solo(struct failover_domain *d);
void failover_do_note_solo(struct failover_domain *d);
void failover_do_note_unrepaired(struct failover_domain *d);
void failover_do_run_on(struct failover_domain *d);
void failover_do_report_failure(struct failover_domain *d);
void failover_do_cancel(struct failover_domain *d);
void failover_do_note_gone(struct failover_domain *d);
void failover_do_guest_ended(struct failover_domain *d);
void failover_do_guest_ended_too(struct failover_domain *d);
void failover_do_guest_restarts(struct failover_domain *d);
void failover_do_note_closed(struct failover_domain *d);
void failover_do_ask_unprotect(struct failover_domain *d);
void failover_do_forget(struct failover_domain *d);
void failover_do_leave(struct failover_domain *d);
void failover_do_note_left(struct failover_domain *d);
void failover_do_note_stale(struct failover_domain *d);
void failover_do_reclaim(struct failover_domain *d);
void failover_do_alarm(struct failover_domain *d);

/* domain_move.c */

void failover_do_move(struct failover_domain *d);
void failover_do_hand_over(struct failover_domain *d);
void failover_do_take_back(struct failover_domain *d);
/* The peer has taken it: whoever waits for a move sees that. */
void failover_domain_note_taken(struct failover_domain *d);

/* domain_backup.c */

void failover_do_spawn_backup(struct failover_domain *d);
void failover_do_answer_prepared(struct failover_domain *d);
void failover_do_answer_refused(struct failover_domain *d);
void failover_do_note_ready(struct failover_domain *d);
void failover_do_note_holding(struct failover_domain *d);
void failover_do_release(struct failover_domain *d);
void failover_do_note_released(struct failover_domain *d);
void failover_do_take_over(struct failover_domain *d);
void failover_do_announce(struct failover_domain *d);
void failover_do_clear(struct failover_domain *d);
void failover_do_note_broken(struct failover_domain *d);
void failover_do_note_stuck(struct failover_domain *d);

#endif
