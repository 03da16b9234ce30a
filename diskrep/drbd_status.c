/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a resource from what drbdsetup printed, and what to say of it. Pure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "diskrep/drbd.h"

struct collected {
	struct diskrep_drbd_status status;
	enum diskrep_drbd_link link;
	bool seen[DISKREP_MAX_VOLUMES];
};

static int add(struct collected *c, const struct diskrep_drbd_event *e)
{
	struct diskrep_drbd_status *s = &c->status;
	struct diskrep_drbd_volume *v = &s->volume[0];

	if (e->object == DISKREP_DRBD_DEVICE || e->object == DISKREP_DRBD_PEER_DEVICE) {
		if (e->volume < 0 || (size_t)e->volume >= DISKREP_MAX_VOLUMES)
			return -EBADMSG;
		if ((size_t)e->volume >= s->volumes)
			s->volumes = (size_t)e->volume + 1;
		v = &s->volume[e->volume];
	}
	switch (e->object) {
	case DISKREP_DRBD_RESOURCE:
		s->up = true;
		s->role = e->role;
		break;
	case DISKREP_DRBD_CONNECTION:
		c->link = e->connection;
		s->peer_role = e->role;
		break;
	case DISKREP_DRBD_DEVICE:
		c->seen[e->volume] = true;
		v->minor = e->minor;
		v->disk = e->disk;
		v->size_kib = e->size_kib;
		break;
	case DISKREP_DRBD_PEER_DEVICE:
		v->peer_disk = e->disk;
		v->replication = e->replication;
		v->out_of_sync_kib = e->out_of_sync_kib;
		break;
	case DISKREP_DRBD_NO_OBJECT:
		break;
	}
	return 0;
}

static bool syncs(const struct diskrep_drbd_volume *v)
{
	return v->replication == DISKREP_DRBD_SYNC_SOURCE ||
	       v->replication == DISKREP_DRBD_SYNC_TARGET;
}

/* Of @total, what is not @rest; 100 only when nothing is left. -1: not known. */
static int percent(double total, double rest)
{
	int done;

	if (total <= 0 || rest < 0)
		return -1;
	if (rest >= total)
		return 0;
	done = (int)((total - rest) / total * 100);
	return done == 100 && rest > 0 ? 99 : done;
}

/* The kernel says "Connected" from the beginning of the handshake on: the volumes know better. */
static void conclude(struct collected *c)
{
	struct diskrep_drbd_status *s = &c->status;
	bool all = true, sync = false;

	for (size_t i = 0; i < s->volumes; i++) {
		struct diskrep_drbd_volume *v = &s->volume[i];

		v->sync_percent = -1;
		if (syncs(v)) {
			sync = true;
			v->sync_percent = percent((double)v->size_kib, (double)v->out_of_sync_kib);
		}
		if (v->replication < DISKREP_DRBD_ESTABLISHED)
			all = false;
	}
	if (c->link == DISKREP_DRBD_LINK_CONNECTED)
		s->connection = !all   ? DISKREP_DRBD_CONNECTING
				: sync ? DISKREP_DRBD_SYNCING
				       : DISKREP_DRBD_CONNECTED;
	else
		s->connection = c->link == DISKREP_DRBD_LINK_CONNECTING ? DISKREP_DRBD_CONNECTING
									: DISKREP_DRBD_STANDALONE;
}

int diskrep_drbd_status_parse(const char *text, size_t length, const char *resource,
	struct diskrep_drbd_status *ret, struct why *why)
{
	struct collected c = {0};

	for (size_t i = 0; i < DISKREP_MAX_VOLUMES; i++)
		c.status.volume[i] = (struct diskrep_drbd_volume){
			.minor = -1, .sync_percent = -1, .size_kib = -1, .out_of_sync_kib = -1};
	while (length) {
		const char *end = memchr(text, '\n', length);
		size_t n = end ? (size_t)(end - text) : length;
		struct diskrep_drbd_event e;
		int r = diskrep_drbd_event_parse(text, n, &e);

		if (r == 0 && e.action == DISKREP_DRBD_EXISTS && !strcmp(e.resource, resource))
			r = add(&c, &e);
		if (r)
			return why_set(why, r,
				"drbdsetup says of resource %s what makes no sense: %.*s", resource,
				n > 160 ? 160 : (int)n, text);
		text += n + (end ? 1 : 0);
		length -= n + (end ? 1 : 0);
	}
	for (size_t i = 0; i < c.status.volumes; i++)
		if (!c.seen[i])
			return why_set(why, -EBADMSG,
				"resource %s has no volume %zu: its volumes must be numbered from "
				"0 on",
				resource, i);
	conclude(&c);
	*ret = c.status;
	return 0;
}

bool diskrep_drbd_in_step(const struct diskrep_drbd_status *s)
{
	if (!s->up || s->connection != DISKREP_DRBD_CONNECTED || !s->volumes)
		return false;
	for (size_t i = 0; i < s->volumes; i++)
		if (s->volume[i].disk != DISKREP_DRBD_UP_TO_DATE ||
			s->volume[i].peer_disk != DISKREP_DRBD_UP_TO_DATE ||
			s->volume[i].replication == DISKREP_DRBD_AHEAD_BEHIND)
			return false;
	return true;
}

/* The worst of our disks, or of the peer's; UNKNOWN (nothing is known of it) is the very worst. */
static enum diskrep_drbd_disk worst(const struct diskrep_drbd_status *s, bool peer)
{
	enum diskrep_drbd_disk least = DISKREP_DRBD_UP_TO_DATE;

	for (size_t i = 0; i < s->volumes; i++) {
		enum diskrep_drbd_disk d = peer ? s->volume[i].peer_disk : s->volume[i].disk;

		if (d < least)
			least = d;
	}
	return least;
}

static const char *const disk_is[] = {
	[DISKREP_DRBD_DISK_UNKNOWN] = "in an unknown state",
	[DISKREP_DRBD_DISKLESS] = "not attached",
	[DISKREP_DRBD_ATTACHING] = "being attached",
	[DISKREP_DRBD_FAILED] = "broken",
	[DISKREP_DRBD_NEGOTIATING] = "being attached",
	[DISKREP_DRBD_INCONSISTENT] = "inconsistent",
	[DISKREP_DRBD_OUTDATED] = "outdated",
	[DISKREP_DRBD_CONSISTENT] = "not known to be up to date",
	[DISKREP_DRBD_UP_TO_DATE] = "up to date",
};

static void sync_phrase(const struct diskrep_drbd_status *s, char *text, size_t size)
{
	double total = 0, rest = 0; /* of up to 16 volumes: more than an int64_t holds */
	const char *direction = "";
	int done;

	for (size_t i = 0; i < s->volumes; i++) {
		const struct diskrep_drbd_volume *v = &s->volume[i];

		if (!syncs(v))
			continue;
		direction = v->replication == DISKREP_DRBD_SYNC_SOURCE ? "to" : "from";
		total += v->size_kib > 0 ? (double)v->size_kib : 0;
		rest += v->out_of_sync_kib > 0 ? (double)v->out_of_sync_kib : 0;
	}
	done = percent(total, rest);
	if (done < 0)
		snprintf(text, size, "resync %s the peer", direction);
	else
		snprintf(text, size, "resync %s the peer %d %%", direction, done);
}

const char *diskrep_drbd_summary(
	const struct diskrep_drbd_status *s, char text[DISKREP_DRBD_SUMMARY_MAX])
{
	static const char *const links[] = {
		[DISKREP_DRBD_STANDALONE] = "disconnected",
		[DISKREP_DRBD_CONNECTING] = "waiting for the peer",
		[DISKREP_DRBD_CONNECTED] = "connected",
	};
	enum diskrep_drbd_disk own = worst(s, false), peer = worst(s, true);

	if (!s->up) {
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "not up");
		return text;
	}
	if (s->connection == DISKREP_DRBD_SYNCING) {
		sync_phrase(s, text, DISKREP_DRBD_SUMMARY_MAX);
		return text;
	}
	if (own != DISKREP_DRBD_UP_TO_DATE)
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "%s, the local disk is %s",
			links[s->connection], disk_is[own]);
	else if (s->connection != DISKREP_DRBD_CONNECTED)
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "%s", links[s->connection]);
	else if (peer != DISKREP_DRBD_UP_TO_DATE)
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "connected, the peer's disk is %s",
			disk_is[peer]);
	else if (!diskrep_drbd_in_step(s))
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "connected, the peer is left behind");
	else
		snprintf(text, DISKREP_DRBD_SUMMARY_MAX, "connected, up to date");
	return text;
}

int diskrep_drbd_obstacle(
	const struct diskrep_drbd_status *s, const char *resource, struct why *why)
{
	char summary[DISKREP_DRBD_SUMMARY_MAX];

	if (diskrep_drbd_in_step(s))
		return 0;
	diskrep_drbd_summary(s, summary);
	if (s->up && s->connection < DISKREP_DRBD_CONNECTED)
		return why_set(why, -EAGAIN,
			"the disks of '%s' are not connected (%s): protection waits for DRBD; see "
			"that its port is open between the hosts (drbdadm dump %s)",
			resource, summary, resource);
	return why_set(why, -EAGAIN,
		"the disks of '%s' are not up to date (%s): protection waits for the resync",
		resource, summary);
}
