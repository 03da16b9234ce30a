/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A switchover that an operator of the backup asks for. The heartbeats of this host say so until
 * the guest is here, nobody waits for it any more, or its protection ends; what they say is no more
 * than an operator of the primary could: that one makes the last epoch and decides.
 */
#include <stdio.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "failover/domain_roles.h"

#define FETCH_NS                                                                                   \
	(120 * NSEC_PER_SEC) /* for a last epoch, however slow; the primary hears at once */

static enum exit_code check_fetch(
	const struct failover_domain *d, const struct failover_wishes *w, char why[WHY_MAX])
{
	const char *name = NAME(d), *host = d->fo->config->host;

	why[0] = '\0';
	if (failover_machine_guest_here(d->state))
		snprintf(why, WHY_MAX, "%s is %s on %s: it is there", name,
			failover_state_name(d->state), host);
	else if (d->state != FAILOVER_READY)
		snprintf(why, WHY_MAX,
			"%s is %s on %s, and only one whose backup is ready can be moved: see "
			"`romulus status %s`",
			name, failover_state_name(d->state), host, name);
	else if (w->no_protect)
		snprintf(why, WHY_MAX, "to end the protection of %s, run this on %s", name,
			d->record.peer);
	else
		failover_domain_busy(d, why);
	if (why[0])
		return EXIT_CODE_WRONG_STATE;
	snprintf(why, WHY_MAX, "%s is not heard, or is being switched off: %s cannot be asked for",
		failover_domain_peer_name(d), name);
	return failover_peer_alive(d->peer) && !failover_arbiter_busy(&d->peer->arbiter)
		       ? EXIT_CODE_OK
		       : EXIT_CODE_UNREACHABLE;
}

void failover_domain_fetch(struct failover *fo, struct failover_client *client, const char *name,
	const struct failover_wishes *w)
{
	struct failover_domain *d = failover_domain_by_name(fo, name);
	char why[WHY_MAX];
	enum exit_code code;

	snprintf(why, sizeof(why), "%.128s is not known to this host", name);
	code = d ? check_fetch(d, w, why) : EXIT_CODE_UNKNOWN;
	if (code != EXIT_CODE_OK) {
		failover_client_exit(client, code, why);
		return;
	}
	d->fetches = true;
	d->fetch_until_ns = clock_now_ns() + FETCH_NS;
	failover_client_keep(client, &d->client);
	EVENT(d, "fetch", "an operator wants it here: %s is asked for it",
		failover_domain_peer_name(d));
	failover_client_send(
		client, json_pack("{s:{s:s}}", "progress", "stage",
				"the other host is asked for it; nothing is checked first"));
	failover_peers_beat(d->fo);
}

static void end(
	struct failover_domain *d, enum exit_code code, const char *outcome, const char *why)
{
	char text[WHY_MAX];

	d->fetches = false;
	snprintf(text, sizeof(text),
		"%s: %s %s%s%.150s; `romulus status`, here and there, says whether it is protected",
		NAME(d), failover_domain_peer_name(d), outcome, why[0] ? ": " : "", why);
	failover_client_exit(TAKE_PTR(d->client), code, text);
}

/* Whoever is silent hands nothing over: what comes now is a failure's, and no move. */
void failover_domain_tend_fetch(struct failover_domain *d)
{
	if (!d->fetches)
		return;
	if (!d->client || failover_machine_role(d->state) == PROTO_ROLE_PRIMARY)
		d->fetches = false; /* who asked has gone, or has it */
	else if (d->peer && failover_peer_silent(d->peer))
		end(d, EXIT_CODE_UNREACHABLE, "is silent since it was asked to move it here", "");
	else if (d->state != FAILOVER_READY && d->state != FAILOVER_HOLDING &&
		 d->state != FAILOVER_TAKING_OVER)
		end(d, EXIT_CODE_FAILED, "did not hand it over", d->why);
	else if (d->state == FAILOVER_READY && clock_now_ns() > d->fetch_until_ns)
		end(d, EXIT_CODE_FAILED, "has not handed it over yet, and may still do so", "");
}
