/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A planned switchover: the primary ends the last epoch, promises never to run the guest again and
 * says so; the backup, which has all of it, takes over on that word alone. Both then do what they
 * do after any takeover. A guest that is not protected is so first, for as long as its copy takes.
 * An operator of the backup may ask for it too: see domain_fetch.c.
 */
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "failover/domain_roles.h"

#define AGAIN_NS (60 * NSEC_PER_SEC) /* after one that could not be begun */

/* For protection every further round of a busy guest costs as much as an epoch. */
const struct failover_copy failover_copy_default = {.max_rounds = 4, .dirty_threshold = 1024};
/* A move has one pause alone, for which more rounds are worth while. */
const struct failover_copy failover_move_default = {
	.max_rounds = 10, .dirty_threshold = 256, .max_downtime_ms = 100};

void failover_domain_show(struct failover_domain *d, const char *stage)
{
	if (d->client && d->moves)
		failover_client_send(d->client, json_pack("{s:{s:s}}", "progress", "stage", stage));
}

void failover_do_move(struct failover_domain *d)
{
	EVENT(d, "moving", "moving to %s, generation %lu: the last epoch is made",
		failover_domain_peer_name(d), (unsigned long)d->record.generation);
	failover_domain_show(d, "the last epoch is made, and the guest suspended");
}

void failover_do_hand_over(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(d->why, sizeof(d->why),
		"handed over to %s, which has all of it: the guest stands suspended here until "
		"that host has taken it, or let go of it",
		failover_domain_peer_name(d));
	EVENT(d, "handed-over", "%s has all of it and may run it from here on: never this host",
		failover_domain_peer_name(d));
	snprintf(text, sizeof(text), "%s has all of it, and may run it",
		failover_domain_peer_name(d));
	failover_domain_show(d, text);
	fault_point(FAULT_HANDED_OVER);
}

/* It was never told, or has said for good that it will not run the guest. */
void failover_do_take_back(struct failover_domain *d)
{
	const bool silent = d->peer && failover_peer_silent(d->peer);

	snprintf(d->cause, sizeof(d->cause),
		silent ? "%s is silent since it was handed over, and an operator has decided"
		       : "%s could not take it over, and has let go of it",
		failover_domain_peer_name(d));
	EVENT(d, "taken-back", "%s: the guest goes on here from where it stood", d->cause);
}

void failover_domain_note_taken(struct failover_domain *d)
{
	char text[WHY_MAX];

	snprintf(text, sizeof(text), "%s takes it over, and what is left of it here goes",
		failover_domain_peer_name(d));
	failover_domain_show(d, text);
}

void failover_domain_arrival(struct failover_domain *d, const struct failover_gossip *g)
{
	if (!d->moves)
		return;
	switch (failover_decide_arrival(d->state, &d->record, g)) {
	case FAILOVER_ARRIVAL_AWAITED:
		return;
	case FAILOVER_ARRIVED:
		EVENT(d, "moved", "runs on %s now", failover_domain_peer_name(d));
		failover_domain_settle(d, EXIT_CODE_OK, "moved to %s, which runs it",
			failover_domain_peer_name(d));
		return;
	case FAILOVER_ARRIVAL_FAILED:
		failover_domain_settle(d, EXIT_CODE_FAILED,
			"%s owns it and could not start it: `romulus status %s` on that host says "
			"what is to be done",
			failover_domain_peer_name(d), NAME(d));
		return;
	}
}

void failover_domain_await(struct failover_domain *d)
{
	if (!d->moves || !d->peer || !failover_peer_silent(d->peer))
		return;
	if (d->state == FAILOVER_HANDED_OVER)
		failover_domain_settle(d, EXIT_CODE_UNREACHABLE,
			"%s is silent since it was handed over, and may have run it: the guest "
			"stands suspended here, all of it, until that host is back; see `romulus "
			"status %s`",
			failover_domain_peer_name(d), NAME(d));
	else if (d->state == FAILOVER_WANT_SOLO)
		failover_domain_settle(d, EXIT_CODE_UNREACHABLE,
			"%s is silent: the guest stays here, mute until it is decided who owns it; "
			"see `romulus status %s`",
			failover_domain_peer_name(d), NAME(d));
	else if (d->state == FAILOVER_IDLE)
		failover_domain_settle(d, EXIT_CODE_UNREACHABLE,
			"%s has taken it over, and is silent: it has not said that it runs",
			failover_domain_peer_name(d));
}

/* ---- the operator ---------------------------------------------------------------------------- */

bool failover_domain_busy(const struct failover_domain *d, char why[WHY_MAX])
{
	why[0] = '\0';
	if (d->client || d->command || d->request)
		snprintf(why, WHY_MAX, "%s is busy: try again", NAME(d));
	return why[0] != '\0';
}

/* Whether @d can be moved to @peer now: if not, why. */
static enum exit_code check(
	const struct failover_domain *d, const struct failover_peer *peer, char why[WHY_MAX])
{
	const char *host = peer->conf->name, *name = NAME(d);

	if (failover_machine_role(d->state) == PROTO_ROLE_BACKUP)
		snprintf(why, WHY_MAX,
			"this host is the backup of %s: run this on %s, or have it moved to this "
			"one",
			name, d->record.peer);
	else if (d->state == FAILOVER_MOVING || d->state == FAILOVER_HANDED_OVER)
		snprintf(why, WHY_MAX, "%s is being moved to %s already", name, d->record.peer);
	else if (d->state != FAILOVER_PROTECTED)
		snprintf(why, WHY_MAX,
			"%s is %s, and only one whose backup is ready can be moved: see `romulus "
			"status %s`",
			name, failover_state_name(d->state), name);
	else if (d->peer != peer)
		snprintf(why, WHY_MAX, "%s is protected on %s: only that host has all of it", name,
			failover_domain_peer_name(d));
	else
		failover_domain_busy(d, why);
	if (why[0])
		return EXIT_CODE_WRONG_STATE;
	snprintf(why, WHY_MAX, "%s is %s: nothing is moved to it", host,
		failover_arbiter_busy(&peer->arbiter) ? "being switched off" : "not heard");
	return failover_peer_alive(peer) && !failover_arbiter_busy(&peer->arbiter)
		       ? EXIT_CODE_OK
		       : EXIT_CODE_UNREACHABLE;
}

/* Whose backup is ready: one last epoch. */
static void switch_over(struct failover_domain *d, struct failover_peer *peer,
	struct failover_client *client, bool protect)
{
	char why[WHY_MAX];
	struct why unwritten;
	enum exit_code code = check(d, peer, why);

	/* A host that cannot write would leave the guest suspended until it can. */
	if (code == EXIT_CODE_OK && failover_domain_persist(d, &d->record, &unwritten) < 0) {
		code = EXIT_CODE_FAILED;
		snprintf(why, sizeof(why), "nothing was moved, %s stays protected: %.300s", NAME(d),
			unwritten.text);
	}
	if (code != EXIT_CODE_OK) {
		failover_client_exit(client, code, why);
		return;
	}
	d->moves = true;
	d->passing = false;
	d->unwanted = !protect;
	failover_client_keep(client, &d->client);
	failover_domain_on(d, FAILOVER_ON_MOVE);
}

/* As an operator of the backup wants it, who cannot be told why not: it is said here. */
void failover_domain_fetched(struct failover_domain *d, uint64_t now_ns)
{
	const struct failover_gossip *g =
		d->peer ? failover_peer_gossip(d->peer, d->record.uuid) : NULL;
	char why[WHY_MAX];
	struct why unwritten;

	if (!g || !failover_decide_fetched(d->state, &d->record, g) || now_ns < d->fetch_again_ns ||
		check(d, d->peer, why) != EXIT_CODE_OK)
		return;
	if (failover_domain_persist(d, &d->record, &unwritten) < 0) {
		EVENT(d, "failed",
			"%s wants it there, and it is not moved but goes on being protected: "
			"%.300s",
			failover_domain_peer_name(d), unwritten.text);
		d->fetch_again_ns = now_ns + AGAIN_NS;
		return;
	}
	EVENT(d, "fetched", "an operator of %s wants it there", failover_domain_peer_name(d));
	d->moves = true;
	d->passing = d->unwanted = false;
	failover_domain_on(d, FAILOVER_ON_MOVE);
}

/* One that is not: it is protected for as long as the copy takes. */
static void move_live(struct failover_domain *d, struct failover_peer *peer,
	struct failover_client *client, const struct failover_wishes *w)
{
	char why[WHY_MAX];

	if (failover_domain_busy(d, why)) {
		failover_client_exit(client, EXIT_CODE_WRONG_STATE, why);
		return;
	}
	d->moves = true;
	d->passing = !d->recorded || !d->record.intent;
	d->unwanted = d->passing ? !w->protect : w->no_protect;
	EVENT(d, "migrate", "moving to %s", peer->conf->name);
	d->copy = w->copy;
	failover_domain_begin(d, peer, client);
}

void failover_domain_copied(struct failover_domain *d)
{
	if (d->moves && d->client && d->state == FAILOVER_PROTECTED)
		failover_domain_on(d, FAILOVER_ON_MOVE);
}

/* Until the last epoch is made, the guest is this host's alone. */
static bool is_here(const struct failover_domain *d)
{
	return d->state == FAILOVER_CHECKING || d->state == FAILOVER_PREPARING ||
	       d->state == FAILOVER_SYNCING || d->state == FAILOVER_PROTECTED;
}

static void note_called_off(struct failover_domain *d, const char *by)
{
	d->moves = false;
	EVENT(d, "cancelled", "%s: it stays here%s%s", by,
		d->passing ? "" : ", and goes on being protected by ",
		d->passing ? "" : d->attempt_peer->conf->name);
}

void failover_domain_tend_move(struct failover_domain *d)
{
	/* Who asked for it has gone: Ctrl-C, a connection that broke. */
	if (d->moves && !d->client && is_here(d))
		note_called_off(d, "who asked for its move has gone");
	if (d->moves || d->client)
		return;
	/* Again until it is written, for nothing else would end it. */
	if (d->passing && is_here(d))
		failover_domain_on(d, FAILOVER_ON_UNPROTECT);
	/* Of a move that came to nothing only the generation is remembered. */
	if (d->state == FAILOVER_SOLO && d->recorded && !d->record.intent && !d->guest_died)
		failover_domain_on(d, FAILOVER_ON_UNPROTECT);
	if (d->passing && d->state == FAILOVER_IDLE)
		d->why[0] = '\0';
	if (d->state == failover_domain_base(d))
		d->passing = false;
}

void failover_domain_cancel(struct failover *fo, struct failover_client *client, const char *name)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	char why[WHY_MAX];

	if (!d || !d->moves || !is_here(d)) {
		snprintf(why, sizeof(why),
			d && d->moves ? "%.128s is handed over: too late to call that off"
				      : "%.128s is not being moved from here",
			name);
		failover_client_exit(client, d ? EXIT_CODE_WRONG_STATE : EXIT_CODE_UNKNOWN, why);
		return;
	}
	note_called_off(d, "an operator has called its move off");
	if (d->passing) {
		failover_domain_unprotect(fo, client, name);
		return;
	}
	failover_domain_settle(d, EXIT_CODE_FAILED,
		"the move was called off: it goes on being protected by %s",
		d->attempt_peer->conf->name);
	failover_client_exit(client, EXIT_CODE_OK, NULL);
}

void failover_domain_migrate(struct failover *fo, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *w)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	struct failover_peer *peer = failover_peer_find(fo, host);
	struct failover_step step;
	char why[WHY_MAX] = "";

	if (strcmp(host, fo->config->host) == 0) {
		failover_domain_fetch(fo, client, name, w);
		return;
	}
	if (!peer)
		snprintf(why, sizeof(why), "%.128s is no configured peer of this host", host);
	else if (!failover_name_valid(name))
		snprintf(why, sizeof(why), "\"%.128s\" is no name of a domain", name);
	else if (!d)
		d = failover_domain_new(fo, name);
	if (!why[0] && !d)
		snprintf(why, sizeof(why), "this host knows too many domains");
	if (why[0])
		failover_client_exit(client, EXIT_CODE_UNKNOWN, why);
	else if (failover_domain_takes(d, FAILOVER_ON_PROTECT, &step))
		move_live(d, peer, client, w);
	else
		switch_over(d, peer, client, !w->no_protect);
}
