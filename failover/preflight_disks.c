/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verdicts on a guest's disks: those that it writes, by way of DRBD; those that it reads. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "failover/preflight_rows.h"

static const Romulus__CheckResource none = ROMULUS__CHECK_RESOURCE__INIT;

static const Romulus__CheckResource *resource_of(const Romulus__Checked *c)
{
	return c->resource ? c->resource : &none;
}

void failover_judge_disks(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;
	struct failover_list bare = {.n = 0};
	size_t n = 0;

	for (size_t i = 0; i < g->n_disks; i++) {
		char text[200];

		if (!g->disks[i]->writable)
			continue;
		n++;
		snprintf(
			text, sizeof(text), "%.15s (%.150s)", g->disks[i]->vdev, g->disks[i]->path);
		if (!g->disks[i]->covered)
			failover_list(&bare, text);
	}
	if (bare.n || bare.left) {
		failover_found(j, FAILOVER_FAIL, "written to and not replicated: " LIST_FMT,
			LIST_ARGS(&bare));
		failover_todo(j,
			"put it on a DRBD volume and name the resource in romulus.conf: see "
			"`romulus disk`");
	} else if (n) {
		failover_found(j, FAILOVER_PASS, "%zu %s, all on DRBD resource %s", n,
			n == 1 ? "disk" : "disks", resource_of(j->p->here)->name);
	} else {
		failover_found(j, FAILOVER_PASS, "the guest writes to no disk");
	}
}

static bool writes(const Romulus__Check *g)
{
	for (size_t i = 0; i < g->n_disks; i++)
		if (g->disks[i]->writable)
			return true;
	return false;
}

static bool is_configured(const Romulus__CheckResource *r)
{
	return r->configured;
}

static bool is_up(const Romulus__CheckResource *r)
{
	return r->up;
}

static bool is_willing(const Romulus__CheckResource *r)
{
	return !r->alone;
}

static bool is_connected(const Romulus__CheckResource *r)
{
	return r->connected;
}

static bool is_good(const Romulus__CheckResource *r)
{
	for (size_t i = 0; i < r->n_volumes; i++)
		if (!r->volumes[i]->good || !r->volumes[i]->peer_good)
			return false;
	return true;
}

/* What must be true of the resource on both hosts, each in its turn. */
static const struct {
	bool (*holds)(const Romulus__CheckResource *r);
	enum failover_result otherwise;
	const char *found, *todo;
} demands[] = {
	{is_configured, FAILOVER_FAIL, "is not configured",
		"name its disks in the domain's section of romulus.conf there, and `romulus disk "
		"prepare` them"},
	{is_up, FAILOVER_FAIL, "is not up", "`romulus disk up`, and `romulus disk check` there"},
	{is_willing, FAILOVER_WARN, "is disconnected",
		"nothing if it was moved away from there: `romulus protect` or `migrate` "
		"connects it, and a resync has to end first"},
	{is_connected, FAILOVER_FAIL, "is not connected",
		"look at DRBD's connection between the hosts: `romulus disk status` on both"},
	{is_good, FAILOVER_FAIL, "is not up to date",
		"wait for the resync to end: `romulus disk status`"},
};

static bool same_data(const Romulus__CheckResource *a, const Romulus__CheckResource *b)
{
	if (a->n_volumes != b->n_volumes)
		return false;
	for (size_t i = 0; i < a->n_volumes; i++)
		if (a->volumes[i]->size_kib != b->volumes[i]->size_kib ||
			a->volumes[i]->generation != b->volumes[i]->generation ||
			!a->volumes[i]->generation)
			return false;
	return true;
}

void failover_judge_drbd(struct failover_judgement *j)
{
	const Romulus__CheckResource *sides[] = {resource_of(j->p->here), resource_of(j->p->there)};
	const char *hosts[] = {j->p->host, j->p->peer};

	if (!writes(j->p->guest)) {
		failover_found(j, FAILOVER_PASS, "not needed");
		return;
	}
	for (size_t i = 0; i < 2 * ARRAY_SIZE(demands); i++) {
		const Romulus__CheckResource *r = sides[i % 2];

		if (demands[i / 2].holds(r))
			continue;
		failover_found(j, demands[i / 2].otherwise, "resource %.64s %s on %s%s%.96s%s",
			sides[0]->name[0] ? sides[0]->name : j->p->guest->domain,
			demands[i / 2].found, hosts[i % 2], r->summary[0] ? " (" : "", r->summary,
			r->summary[0] ? ")" : "");
		failover_todo(j, "%s", demands[i / 2].todo);
		return;
	}
	if (strcmp(sides[0]->name, sides[1]->name) != 0 || !same_data(sides[0], sides[1])) {
		failover_found(j, FAILOVER_FAIL,
			"resource %.64s here and %.64s on %s are not the same disks",
			sides[0]->name, sides[1]->name, j->p->peer);
		failover_todo(j,
			"compare `disks` of both romulus.conf, and `drbdadm show-gi` on both "
			"hosts");
		return;
	}
	failover_found(j, FAILOVER_PASS,
		"resource %.64s is connected and up to date, the same data on both",
		sides[0]->name);
}

void failover_judge_use(struct failover_judgement *j)
{
	const Romulus__CheckResource *here = resource_of(j->p->here),
				     *there = resource_of(j->p->there);

	if (there->primary) {
		failover_found(j, FAILOVER_FAIL,
			"resource %.64s is primary on %s: something uses it there", there->name,
			j->p->peer);
		failover_todo(
			j, "end what uses it there, then drbdadm secondary %.64s", there->name);
		return;
	}
	for (size_t i = 0; i < there->n_volumes + here->n_volumes; i++) {
		const bool theirs = i < there->n_volumes;
		const Romulus__CheckVolume *v =
			theirs ? there->volumes[i] : here->volumes[i - there->n_volumes];

		if (!v->held[0])
			continue;
		failover_found(j, FAILOVER_FAIL,
			"the disk below /dev/drbd%" PRIu32 " on %s is in use: %.200s", v->minor,
			theirs ? j->p->peer : j->p->host, v->held);
		failover_todo(j, "end that use: it changes the disk behind DRBD's back");
		return;
	}
	if (writes(j->p->guest))
		failover_found(j, FAILOVER_PASS, "nothing else uses the disks on %s", j->p->peer);
	else
		failover_found(j, FAILOVER_PASS, "not needed");
}

static const Romulus__CheckDisk *find_disk(const Romulus__Checked *c, const char *path)
{
	for (size_t i = 0; i < c->n_disks; i++)
		if (!strcmp(c->disks[i]->path, path))
			return c->disks[i];
	return NULL;
}

/* The same by its name in the world, or, where it has none, by its content. */
static bool same_disk(const Romulus__CheckDisk *a, const Romulus__CheckDisk *b)
{
	if (a->wwn[0] && !strcmp(a->wwn, b->wwn))
		return true;
	return a->bytes == b->bytes && a->fingerprint == b->fingerprint;
}

/* One that is not the same, or cannot be told to be: an empty drive, say. */
static void note_fixed(struct failover_judgement *j, const Romulus__CheckDisk *a,
	const Romulus__CheckDisk *b, bool readable)
{
	if (readable) {
		failover_found(j, FAILOVER_FAIL, "%.15s (%.200s) is %s on %s", a->vdev, a->path,
			b ? "another one" : "missing", j->p->peer);
		failover_todo(j,
			"put the same disk or image under that path there, or take it out of the "
			"guest");
		return;
	}
	failover_found(j, FAILOVER_WARN,
		"%.15s (%.200s) cannot be read on %s, and cannot be compared", a->vdev, a->path,
		b->unreadable ? j->p->peer : j->p->host);
	failover_todo(j, "look at it on both hosts; if the guest does not need it, take it out");
}

void failover_judge_fixed(struct failover_judgement *j)
{
	const Romulus__Check *g = j->p->guest;
	const bool on_drbd = writes(g); /* what is covered is judged with it, and not read */
	size_t n = 0;

	for (size_t i = 0; i < g->n_disks && j->row->result != FAILOVER_FAIL; i++) {
		const Romulus__CheckDisk *a = g->disks[i], *b = find_disk(j->p->there, a->path);
		bool readable;

		if (a->writable || a->path[0] != '/') /* a name for a script, not for a file */
			continue;
		if (a->covered && on_drbd)
			continue;
		n++;
		if (b && !b->found && !b->unreadable)
			b = NULL;
		readable = !b || (a->found && b->found);
		if (!b || !readable || !same_disk(a, b))
			note_fixed(j, a, b, readable);
	}
	if (j->row->result != FAILOVER_PASS)
		return;
	if (n)
		failover_found(j, FAILOVER_PASS, "%zu %s the same on both hosts", n,
			n == 1 ? "disk or image is" : "disks or images are");
	else
		failover_found(j, FAILOVER_PASS, "none");
}
