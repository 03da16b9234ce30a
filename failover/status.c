/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/text.h"
#include "failover/daemon.h"

static const char *const roles[] = {"none", "primary", "backup"}; /* enum proto_role */

static json_int_t rss_kb(void)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/self/statm", "re");
	long total, resident = 0;

	if (!f || fscanf(f, "%ld %ld", &total, &resident) != 2)
		return 0;
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static json_t *peer_json(const struct failover_peer *p, uint64_t now)
{
	json_t *paths = json_array();

	for (size_t i = 0; i < p->conf->paths_n; i++) {
		const struct failover_detector_path *path = &p->detector.path[i];

		json_array_append_new(paths,
			json_pack("{s:s, s:b, s:I}", "name", p->conf->paths[i].name, "alive",
				path->alive, "silent_ms",
				path->ever ? (json_int_t)((now - path->heard_ns) / NSEC_PER_MSEC)
					   : (json_int_t)-1));
	}
	return json_pack("{s:s, s:b, s:s, s:I, s:I, s:I, s:s, s:o}", "name", p->conf->name, "alive",
		failover_peer_alive(p), "arbiter", p->arbiter.ops->name, "heartbeats_forged",
		(json_int_t)p->forged, "heartbeats_replayed", (json_int_t)p->replayed,
		"sessions_refused", (json_int_t)p->refused, "last_refusal", p->refusal.text,
		"paths", paths);
}

/* A backup notices that its primary has lost its power by its silence, not by the stream. */
bool failover_domain_guarded(const struct failover_domain *d)
{
	return d->state == FAILOVER_PROTECTED || d->state == FAILOVER_MOVING ||
	       (d->state == FAILOVER_READY && !(d->peer && failover_peer_silent(d->peer)));
}

static void waiting(const struct failover_domain *d, char *ret, size_t size)
{
	char what[WHY_MAX + 64];

	if (d->state == FAILOVER_WANT_SOLO &&
		failover_config_stays_mute(d->fo->config, d->record.name)) {
		snprintf(ret, size,
			"%s is silent and on-backup-lost is stay-mute: the guest's output is held "
			"until it is heard again, or until romulus unprotect %s",
			d->peer->conf->name, d->record.name);
		return;
	}
	d->peer->arbiter.ops->waiting(&d->peer->arbiter, &d->claim, what, sizeof(what));
	snprintf(ret, size, "%s is silent: %s", d->peer->conf->name, what);
}

/* "": nothing to say about it. */
static json_t *certificate_json(const struct proto_identity *id)
{
	struct why why = {""};

	if (!id)
		return json_null();
	proto_identity_warning(id, time(NULL), &why);
	return json_pack("{s:I, s:s}", "expires", (json_int_t)proto_identity_expires(id), "warning",
		why.text);
}

/* One line: why the guest is not protected. */
static void reason(const struct failover_domain *d, char *ret, size_t size)
{
	if (failover_domain_guarded(d))
		ret[0] = '\0';
	else if (d->peer && failover_machine_needs_grant(d->state) && failover_peer_silent(d->peer))
		waiting(d, ret, size);
	else if (d->state == FAILOVER_RELEASED && d->record.intent && d->peer &&
		 failover_peer_silent(d->peer))
		snprintf(ret, size,
			"%s is silent and this host must not take over, it has no checkpoint%s%s: "
			"bring "
			"%s back, the guest goes on there",
			d->peer->conf->name, d->why[0] ? "; last: " : "", d->why,
			d->peer->conf->name);
	else if (d->state == FAILOVER_HANDED_OVER && d->peer && failover_peer_silent(d->peer))
		snprintf(ret, size,
			"handed over to %s, which is silent and may have run it: the guest stands "
			"suspended here until %s is back; if that is lost for good, `romulus "
			"failover %s`",
			d->peer->conf->name, d->peer->conf->name, d->record.name);
	else if (d->state == FAILOVER_VACANT && d->peer && failover_peer_silent(d->peer))
		snprintf(ret, size,
			"the guest died when this host was restarted, and %s is silent, which may "
			"have "
			"taken it over: bring %s back, or start it from the disks here if you know "
			"that it has not",
			d->peer->conf->name, d->peer->conf->name);
	else
		snprintf(ret, size, "%s", d->why);
}

static const struct {
	const char *key;
	size_t offset;
} milliseconds[] = {
	{"pause_ms", offsetof(struct failover_figures, pause_ns)},
	{"suspend_ms", offsetof(struct failover_figures, suspend_ns)},
	{"capture_ms", offsetof(struct failover_figures, capture_ns)},
	{"resume_ms", offsetof(struct failover_figures, resume_ns)},
	{"ship_ms", offsetof(struct failover_figures, ship_ns)},
	{"ack_ms", offsetof(struct failover_figures, ack_ns)},
	{"boundary_ms", offsetof(struct failover_figures, boundary_ns)},
	{"boundary_wait_ms", offsetof(struct failover_figures, boundary_wait_ns)},
};

static json_t *disks_json(const struct failover_figures *f)
{
	return json_pack("{s:I, s:I, s:I}", "undo_bytes", (json_int_t)f->undo_bytes, "undo_largest",
		(json_int_t)f->undo_largest, "undo_limit", (json_int_t)f->undo_limit);
}

static json_t *domain_json(const struct failover_domain *d, uint64_t now)
{
	const struct failover_figures *f = &d->figures;
	char why[WHY_MAX + 200];
	json_t *j;

	reason(d, why, sizeof(why));
	text_clean(why);
	j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
		d->record.name, "uuid", d->record.uuid, "role",
		roles[failover_machine_role(d->state)], "state", failover_state_name(d->state),
		"protected", failover_domain_guarded(d), "why", why, "peer",
		d->peer ? d->peer->conf->name : d->record.peer, "generation",
		(json_int_t)d->record.generation, "epoch", (json_int_t)f->epoch, "commit_age_ms",
		f->commit_ns ? (json_int_t)((now - f->commit_ns) / NSEC_PER_MSEC) : (json_int_t)-1,
		"staging_bytes", (json_int_t)f->staging_bytes, "staging_limit",
		(json_int_t)f->staging_limit, "bytes", (json_int_t)f->bytes);
	for (size_t i = 0; j && i < ARRAY_SIZE(milliseconds); i++)
		json_object_set_new(j, milliseconds[i].key,
			json_real((double)*(const uint64_t *)((const char *)f +
							      milliseconds[i].offset) /
				  1e6));
	if (j)
		json_object_update_new(j, disks_json(f));
	if (j && d->state == FAILOVER_SYNCING)
		json_object_update_new(
			j, json_pack("{s:I, s:I}", "copy_pages", (json_int_t)f->copy_pages,
				   "copy_total", (json_int_t)f->copy_total));
	return j;
}

/* What nobody wants protected is only remembered for its generation: no cause for alarm. */
static bool is_forgotten(const struct failover_domain *d)
{
	return d->state == FAILOVER_IDLE && !d->record.intent && !d->why[0];
}

static const char *watchdog_word(const struct failover_watchdog *w)
{
	if (!w->ops || w->complained)
		return "failed";
	return w->id ? "armed" : "not armed";
}

json_t *failover_status(struct failover *fo, const char *domain)
{
	json_t *peers = json_array(), *domains = json_array(), *j;
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < fo->peers_n; i++)
		json_array_append_new(peers, peer_json(&fo->peers[i], now));
	for (const struct failover_domain *d = fo->domains; d; d = d->next)
		if (domain ? strcmp(domain, d->record.name) == 0 : !is_forgotten(d))
			json_array_append_new(domains, domain_json(d, now));
	j = json_pack("{s:{s:s, s:s, s:o, s:I, s:I, s:I, s:o, s:o}}", "status", "host",
		fo->config->host, "transport", fo->config->transport, "certificate",
		certificate_json(fo->identity), "rss_kb", rss_kb(), "datagrams_malformed",
		(json_int_t)fo->malformed, "datagrams_from_strangers", (json_int_t)fo->strangers,
		"peers", peers, "domains", domains);
	if (j && fo->config->watchdog)
		json_object_set_new(json_object_get(j, "status"), "watchdog",
			json_string(watchdog_word(&fo->watchdog)));
	if (j && fo->etcd)
		json_object_set_new(
			json_object_get(j, "status"), "etcd", failover_etcd_watch_json(fo));
	return j;
}

json_t *failover_event_json(const struct failover_events *ev, const struct failover_event_entry *e)
{
	return json_pack("{s:{s:I, s:I, s:s, s:s, s:s, s:s}}", "event", "wall_ns",
		(json_int_t)e->wall_ns, "monotonic_ns", (json_int_t)e->monotonic_ns, "host",
		ev->host, "domain", e->domain, "kind", e->kind, "text", e->text ? e->text : "");
}
