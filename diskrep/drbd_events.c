/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/drbd_events.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

#define LAST_MINOR ((1 << 20) - 1) /* DRBD's own limit of minors and volumes is not above */

struct word {
	const char *at;
	size_t length;
};

struct meaning {
	const char *text;
	int value;
};

static const struct meaning actions[] = {
	{"exists", DISKREP_DRBD_EXISTS},
	{"create", DISKREP_DRBD_CREATE},
	{"change", DISKREP_DRBD_CHANGE},
	{"destroy", DISKREP_DRBD_DESTROY},
};

static const struct meaning objects[] = {
	{"resource", DISKREP_DRBD_RESOURCE},
	{"connection", DISKREP_DRBD_CONNECTION},
	{"device", DISKREP_DRBD_DEVICE},
	{"peer-device", DISKREP_DRBD_PEER_DEVICE},
};

static const struct meaning roles[] = {
	{"Primary", DISKREP_DRBD_PRIMARY},
	{"Secondary", DISKREP_DRBD_SECONDARY},
};

static const struct meaning disks[] = {
	{"Diskless", DISKREP_DRBD_DISKLESS},
	{"Attaching", DISKREP_DRBD_ATTACHING},
	{"Detaching", DISKREP_DRBD_FAILED},
	{"Failed", DISKREP_DRBD_FAILED},
	{"Negotiating", DISKREP_DRBD_NEGOTIATING},
	{"Inconsistent", DISKREP_DRBD_INCONSISTENT},
	{"Outdated", DISKREP_DRBD_OUTDATED},
	{"Consistent", DISKREP_DRBD_CONSISTENT},
	{"UpToDate", DISKREP_DRBD_UP_TO_DATE},
};

static const struct meaning links[] = {
	{"StandAlone", DISKREP_DRBD_LINK_STANDALONE},
	{"Disconnecting", DISKREP_DRBD_LINK_STANDALONE},
	{"Unconnected", DISKREP_DRBD_LINK_CONNECTING},
	{"Timeout", DISKREP_DRBD_LINK_CONNECTING},
	{"BrokenPipe", DISKREP_DRBD_LINK_CONNECTING},
	{"NetworkFailure", DISKREP_DRBD_LINK_CONNECTING},
	{"ProtocolError", DISKREP_DRBD_LINK_CONNECTING},
	{"TearDown", DISKREP_DRBD_LINK_CONNECTING},
	{"WFConnection", DISKREP_DRBD_LINK_CONNECTING},
	{"Connecting", DISKREP_DRBD_LINK_CONNECTING},
	{"WFReportParams", DISKREP_DRBD_LINK_CONNECTING},
	{"Connected", DISKREP_DRBD_LINK_CONNECTED},
};

static const struct meaning replications[] = {
	{"Off", DISKREP_DRBD_REPLICATION_OFF},
	{"Established", DISKREP_DRBD_ESTABLISHED},
	{"StartingSyncS", DISKREP_DRBD_SYNC_SOURCE},
	{"WFBitMapS", DISKREP_DRBD_SYNC_SOURCE},
	{"SyncSource", DISKREP_DRBD_SYNC_SOURCE},
	{"PausedSyncS", DISKREP_DRBD_SYNC_SOURCE},
	{"StartingSyncT", DISKREP_DRBD_SYNC_TARGET},
	{"WFBitMapT", DISKREP_DRBD_SYNC_TARGET},
	{"WFSyncUUID", DISKREP_DRBD_SYNC_TARGET},
	{"SyncTarget", DISKREP_DRBD_SYNC_TARGET},
	{"PausedSyncT", DISKREP_DRBD_SYNC_TARGET},
	{"VerifyS", DISKREP_DRBD_VERIFY},
	{"VerifyT", DISKREP_DRBD_VERIFY},
	{"Ahead", DISKREP_DRBD_AHEAD_BEHIND},
	{"Behind", DISKREP_DRBD_AHEAD_BEHIND},
};

static bool is(struct word w, const char *text)
{
	return strlen(text) == w.length && memcmp(w.at, text, w.length) == 0;
}

/* 0, the UNKNOWN of every enum, for what is not in the table. */
static int look_up(struct word w, const struct meaning *table, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is(w, table[i].text))
			return table[i].value;
	return 0;
}

static bool next_word(struct word *rest, struct word *ret)
{
	while (rest->length && (*rest->at == ' ' || *rest->at == '\t')) {
		rest->at++;
		rest->length--;
	}
	ret->at = rest->at;
	ret->length = 0;
	while (ret->length < rest->length && ret->at[ret->length] != ' ' &&
		ret->at[ret->length] != '\t')
		ret->length++;
	rest->at += ret->length;
	rest->length -= ret->length;
	return ret->length > 0;
}

static int number(struct word w, int64_t most, int64_t *ret)
{
	int64_t n = 0;

	if (!w.length)
		return -EBADMSG;
	for (size_t i = 0; i < w.length; i++) {
		if (w.at[i] < '0' || w.at[i] > '9')
			return -EBADMSG;
		if (n > (most - (w.at[i] - '0')) / 10)
			return -EBADMSG;
		n = n * 10 + (w.at[i] - '0');
	}
	*ret = n;
	return 0;
}

static int small_number(struct word w, int32_t *ret)
{
	int64_t n;
	int r = number(w, LAST_MINOR, &n);

	if (r == 0)
		*ret = (int32_t)n;
	return r;
}

static int name(struct word w, char *ret)
{
	if (!w.length || w.length > DISKREP_DRBD_NAME_MAX || memchr(w.at, '\0', w.length))
		return -EBADMSG;
	memcpy(ret, w.at, w.length);
	ret[w.length] = '\0';
	return 0;
}

static int pair(struct word key, struct word value, struct diskrep_drbd_event *e)
{
	if (is(key, "name"))
		return name(value, e->resource);
	if (is(key, "volume"))
		return small_number(value, &e->volume);
	if (is(key, "minor"))
		return small_number(value, &e->minor);
	if (is(key, "size"))
		return number(value, INT64_MAX, &e->size_kib);
	if (is(key, "out-of-sync"))
		return number(value, INT64_MAX, &e->out_of_sync_kib);
	if (is(key, "role"))
		e->role = look_up(value, roles, ARRAY_SIZE(roles));
	else if (is(key, "connection"))
		e->connection = look_up(value, links, ARRAY_SIZE(links));
	else if (is(key, "disk") || is(key, "peer-disk"))
		e->disk = look_up(value, disks, ARRAY_SIZE(disks));
	else if (is(key, "replication"))
		e->replication = look_up(value, replications, ARRAY_SIZE(replications));
	return 0;
}

int diskrep_drbd_event_parse(const char *line, size_t length, struct diskrep_drbd_event *ret)
{
	struct diskrep_drbd_event e = {
		.volume = -1, .minor = -1, .size_kib = -1, .out_of_sync_kib = -1};
	struct word rest = {line, length}, w;

	while (rest.length && (line[rest.length - 1] == '\n' || line[rest.length - 1] == '\r'))
		rest.length--;
	if (next_word(&rest, &w))
		e.action = look_up(w, actions, ARRAY_SIZE(actions));
	if (next_word(&rest, &w)) {
		e.object = look_up(w, objects, ARRAY_SIZE(objects));
		if (!e.object && !is(w, "-"))
			e.action = DISKREP_DRBD_OTHER;
	} else {
		e.action = DISKREP_DRBD_OTHER;
	}
	while (e.action != DISKREP_DRBD_OTHER && next_word(&rest, &w)) {
		const char *colon = memchr(w.at, ':', w.length);
		struct word key, value;
		int r;

		if (!colon)
			continue;
		key = (struct word){w.at, (size_t)(colon - w.at)};
		value = (struct word){colon + 1, w.length - key.length - 1};
		r = pair(key, value, &e);
		if (r)
			return r;
	}
	*ret = e;
	return 0;
}
