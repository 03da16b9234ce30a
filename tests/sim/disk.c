/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's disk: a few blocks that hold stamps, on both hosts, and DRBD between them as far as
 * it matters: writes in their order, completed when both hosts have them; a bitmap of what the
 * other one may not have; data generations; a resync of what either bitmap has. On the backup the
 * writes pass the product's undo map (diskrep/undo.o), diskrep/lineage.o says whether they have
 * come without a break, and a takeover goes by the steps of diskrep/takeover.o. What is on disk
 * survives the power, the undo map does not.
 *
 * Invariant 3: at a takeover, and when a guest is started from its disk, the disk is that of its
 * memory. Invariant 6: when a resync has ended, no block differs but those that are under way.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "diskrep/device.h"
#include "diskrep/undo.h"

#define RETRANSMIT (200 * MS)
#define CONNECT_EVERY (500 * MS)
#define LETTERS 1024u
#define UNDO_BLOCKS 13u /* less than two boundaries can need: it overflows now and then */

enum letter_kind { LETTER_WRITE, LETTER_RESYNC, LETTER_RESYNCED };

struct letter {
	enum letter_kind kind;
	unsigned int block;
	uint64_t stamp, sent_at;
};

/* DRBD's connection: letters that are acked, applied by the other host, sent; counted. */
static struct {
	bool up;
	uint64_t serial; /* what is scheduled for an earlier one is void */
	struct host *source;
	struct letter letters[LETTERS];
	uint64_t acked, applied, sent, patience;
} drbd;

static struct diskrep_undo *undo[HOSTS];

static uint64_t bit(unsigned int block)
{
	return UINT64_C(1) << block;
}

static bool severed(void)
{
	return sim.cut[0][0] || sim.cut[0][1];
}

static uint64_t write_time(const struct host *h)
{
	return sim.now < h->slow_until ? sim_between(20 * MS, 800 * MS) : sim_between(100, 2 * MS);
}

/* ---- what is on one host -------------------------------------------------------------------- */

static void completed(struct host *h, unsigned int block, uint64_t stamp)
{
	struct guest *g = &h->guest;

	if (block == MARKER)
		worker_marked(h, stamp);
	else if (g->exists && g->memory.writing && g->memory.stamp == stamp)
		g->written = true;
}

static void completed_here(struct host *h, uint64_t block, uint64_t stamp)
{
	if (h->power)
		completed(h, (unsigned int)block, stamp);
}

/* The old content first; false: the map has overflowed. */
static bool save(struct host *h, unsigned int block)
{
	static uint8_t content[DISKREP_UNDO_BLOCK];

	memcpy(content, &h->disk.block[block], sizeof(h->disk.block[block]));
	return diskrep_undo_save(undo[h->number], 0, block, content) != -ENOSPC;
}

static void take_marker(struct host *h, uint64_t stamp)
{
	int r;

	if (stamp >> 32 != h->disk.expected)
		return; /* of another pairing */
	r = diskrep_undo_boundary(undo[h->number], (uint32_t)stamp);
	if (r == 0)
		worker_boundary(h, (uint32_t)stamp);
	else
		worker_standby_lost(h);
}

/* A write that came from the other host passes the store, if there is one. */
static void apply(struct host *h, const struct letter *l)
{
	struct disk *d = &h->disk;

	if (d->store && l->block == MARKER)
		take_marker(h, l->stamp);
	else if (d->store && !save(h, l->block))
		worker_standby_lost(h);
	d->block[l->block] = l->stamp;
}

/* ---- the connection -------------------------------------------------------------------------- */

static struct letter *letter(uint64_t n)
{
	return &drbd.letters[n % LETTERS];
}

static struct host *target(void)
{
	return sim_other(drbd.source);
}

/* Both ends see it; what has not been acknowledged may not be there. */
static void lose(const char *why)
{
	struct host *h = drbd.source;

	if (!drbd.up)
		return;
	sim_say(h, "DRBD loses its connection (%s)", why);
	drbd.up = false;
	drbd.serial++;
	for (uint64_t n = drbd.acked; n < drbd.sent; n++)
		if (letter(n)->kind != LETTER_RESYNCED)
			h->disk.dirty |= bit(letter(n)->block);
	if (!h->power)
		return;
	h->disk.generation = ++sim.generations;
	for (uint64_t n = drbd.acked; n < drbd.sent; n++)
		if (letter(n)->kind == LETTER_WRITE)
			completed(h, letter(n)->block, letter(n)->stamp);
}

static bool lost_patience(const struct letter *l)
{
	if (sim.now - l->sent_at < drbd.patience)
		return false;
	lose("it waits too long");
	return true;
}

static void acked(struct host *unused, uint64_t serial, uint64_t b)
{
	const struct letter *l = letter(drbd.acked);

	if (drbd.serial != serial)
		return;
	if (severed()) {
		if (!lost_patience(l))
			sim_after(RETRANSMIT, NULL, acked, serial, 0);
		return;
	}
	drbd.acked++;
	if (l->kind == LETTER_WRITE)
		completed(drbd.source, l->block, l->stamp);
	else if (l->kind == LETTER_RESYNC)
		drbd.source->disk.dirty &= ~bit(l->block);
}

/* Invariant 6. What is under way has been written on one side only. */
static void compare(void)
{
	const struct disk *a = &drbd.source->disk, *b = &target()->disk;
	uint64_t under_way = 0;

	for (uint64_t n = drbd.applied; n < drbd.sent; n++)
		under_way |= bit(letter(n)->block);
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (a->block[i] != b->block[i] && !(under_way & bit(i)))
			sim_violated("the disks differ and DRBD does not know (invariant 6)");
}

static void pump(struct host *unused, uint64_t serial, uint64_t b)
{
	const struct letter *l = letter(drbd.applied);
	struct host *h = target();

	if (drbd.serial != serial || drbd.applied == drbd.sent)
		return;
	if (severed() || !sim_awake(h)) {
		if (!lost_patience(l))
			sim_after(RETRANSMIT, NULL, pump, serial, 0);
		return;
	}
	drbd.applied++;
	if (l->kind != LETTER_RESYNCED)
		apply(h, l);
	else
		h->disk.inconsistent = false;
	if (l->kind == LETTER_RESYNCED)
		compare();
	if (drbd.serial != serial)
		return;
	sim_after(sim_between(100, 5 * MS), NULL, acked, serial, 0);
	if (drbd.applied < drbd.sent)
		sim_after(write_time(h), NULL, pump, serial, 0);
}

static void post(enum letter_kind kind, unsigned int block, uint64_t stamp)
{
	*letter(drbd.sent) = (struct letter){kind, block, stamp, sim.now};
	if (drbd.sent - drbd.acked == LETTERS)
		abort();
	if (drbd.applied == drbd.sent++)
		sim_after(sim_between(100, 5 * MS) + write_time(target()), NULL, pump, drbd.serial,
			0);
}

static void connect(struct host *source)
{
	struct disk *from = &source->disk, *to = &sim_other(source)->disk;
	unsigned int first = (unsigned int)sim_random(BLOCKS + 1);

	drbd.up = true;
	drbd.serial++;
	drbd.source = source;
	drbd.acked = drbd.applied = drbd.sent = 0;
	drbd.patience = sim_between(500 * MS, 6 * SECOND);
	from->dirty |= to->dirty;
	to->dirty = 0;
	to->discards = false;
	to->generation = from->generation;
	sim_say(source, "DRBD connects%s", from->dirty ? ", a resync begins" : "");
	/* In no order; what the guest writes meanwhile comes behind. */
	for (unsigned int i = 0; i <= BLOCKS; i++) {
		const unsigned int block = (first + i) % (BLOCKS + 1);

		if (from->dirty & bit(block))
			post(LETTER_RESYNC, block, from->block[block]);
	}
	to->inconsistent = from->dirty != 0 || to->inconsistent;
	if (to->inconsistent)
		post(LETTER_RESYNCED, 0, 0);
	else
		compare();
}

/* By itself, if one side only has changed, or was told to give up what it has. */
static void connect_again(struct host *unused, uint64_t a, uint64_t b)
{
	struct host *one = sim.host[0].disk.primary ? &sim.host[0] : &sim.host[1];
	struct host *other = sim_other(one);

	sim_after(CONNECT_EVERY, NULL, connect_again, 0, 0);
	if (drbd.up || severed() || !sim_awake(one) || !sim_awake(other) || one->disk.alone ||
		other->disk.alone || !one->disk.primary || other->disk.primary)
		return;
	if (other->disk.dirty && !other->disk.discards)
		other->disk.alone = true;
	else
		connect(one);
}

/* ---- what the rest of the world does ----------------------------------------------------------
 */

void disk_begin(void)
{
	const uint64_t size = BLOCKS * DISKREP_UNDO_BLOCK;

	drbd.up = false;
	drbd.serial++;
	for (int i = 0; i < HOSTS; i++)
		if (!undo[i] && diskrep_undo_open(
					&size, 1, UNDO_BLOCKS * DISKREP_UNDO_BLOCK, &undo[i], NULL))
			abort();
	sim.host[0].disk.primary = true;
	if (sim.disks)
		connect_again(NULL, 0, 0);
}

void disk_write(struct host *h, unsigned int block, uint64_t stamp)
{
	h->disk.block[block] = stamp;
	if (drbd.up && drbd.source == h) {
		post(LETTER_WRITE, block, stamp);
		return;
	}
	h->disk.dirty |= bit(block);
	sim_after(write_time(h), h, completed_here, block, stamp);
}

void disk_power_off(struct host *h)
{
	if (drbd.up && drbd.source == h) {
		/* Some of it is on the wire already. */
		for (uint64_t n = sim_random(3);
			n && drbd.applied < drbd.sent && !severed() && sim_awake(target()); n--)
			if (letter(drbd.applied++)->kind == LETTER_WRITE)
				apply(target(), letter(drbd.applied - 1));
		lose("its host is off");
	}
	h->disk.primary = h->disk.store = false;
	h->disk.alone = true;
}

void disk_break(void)
{
	lose("fate");
}

/* What diskrep/lineage.o reads of the kernel; the minor is the host. */
int diskrep_read_text(const char *path, char *text, size_t size)
{
	int minor = 0;

	if (sscanf(path, "/sys/kernel/debug/drbd/minors/%d/", &minor) == 1) {
		snprintf(text, size, "0x%llX\n",
			(unsigned long long)(sim.host[minor].disk.generation + 1) << 1);
		return 0;
	}
	for (int i = 0; i < HOSTS && size > 64; i++, text += minor, size -= (size_t)minor)
		minor = snprintf(text, size, " %d: cs:%s ro:Secondary/Primary ds:%s/UpToDate\n", i,
			drbd.up ? "Connected" : "WFConnection",
			sim.host[i].disk.inconsistent ? "Inconsistent" : "UpToDate");
	return 0;
}

bool disk_unbroken(const struct host *h)
{
	return sim.bug == BUG_LINEAGE_SKIP || diskrep_lineage_check(&h->worker.lineage, NULL) == 0;
}

void disk_lead(struct host *h)
{
	h->disk.alone = false;
}

bool disk_follow(struct host *h)
{
	if (!disk_repair(h))
		return false;
	if (h->disk.alone)
		h->disk.discards = true;
	h->disk.primary = h->disk.alone = false;
	return true;
}

bool disk_insert_store(struct host *h)
{
	const struct diskrep_drbd_status status = {.volumes = 1, .volume = {{.minor = h->number}}};

	if (diskrep_lineage_begin(&status, &h->worker.lineage, NULL) < 0)
		return false;
	h->disk.store = true;
	disk_expect(h, 0);
	return true;
}

void disk_expect(struct host *h, unsigned int nonce)
{
	h->disk.expected = nonce;
	diskrep_undo_reset(undo[h->number]);
}

bool disk_commit(struct host *h, uint64_t epoch)
{
	return diskrep_undo_commit(undo[h->number], epoch) == 0;
}

void disk_check(const struct host *h, const struct memory *m, const char *what)
{
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (h->disk.block[i] != m->block[i] &&
			!(m->writing && m->at == i && h->disk.block[i] == m->stamp)) {
			sim_say(h, "block %u holds %llx, its memory says %llx", i,
				(unsigned long long)h->disk.block[i],
				(unsigned long long)m->block[i]);
			sim_violated(what);
		}
}

/* ---- a takeover, step by step: see diskrep/backup.c ------------------------------------------ */

static bool disconnect(struct host *h)
{
	if (drbd.up)
		lose("it is told to");
	h->disk.alone = true;
	return true;
}

static bool dump(struct host *h)
{
	struct rollback *r = &h->disk.rollback;
	struct diskrep_undo_item item;
	size_t n;

	if (!h->disk.store ||
		diskrep_undo_rollback(undo[h->number], h->worker.backup.acked, &n) < 0)
		return false;
	*r = (struct rollback){.exists = true, .memory = h->worker.checkpoint};
	for (r->n = 0; r->n < n; r->n++) {
		item = diskrep_undo_item(undo[h->number], r->n);
		r->block[r->n] = (unsigned int)(item.offset / DISKREP_UNDO_BLOCK);
		memcpy(&r->stamp[r->n], item.content, sizeof(r->stamp[0]));
	}
	return true;
}

static bool promote(struct host *h)
{
	h->disk.primary = true;
	h->disk.inconsistent = false;
	return true;
}

static bool claim(struct host *h)
{
	return h->disk.primary = !h->disk.inconsistent;
}

static bool roll_back(struct host *h)
{
	const struct rollback *r = &h->disk.rollback;

	for (size_t i = 0; i < r->n && sim.bug != BUG_ROLLBACK_SKIP; i++) {
		h->disk.block[r->block[i]] = r->stamp[i];
		if (sim.bug != BUG_ROLLBACK_BENEATH)
			h->disk.dirty |= bit(r->block[i]);
	}
	return true;
}

static bool forget(struct host *h)
{
	h->disk.rollback.exists = false;
	disk_check(h, &h->disk.rollback.memory,
		"the disk is not that of the checkpoint (invariant 3)");
	return true;
}

static bool attach(struct host *h)
{
	return true;
}

bool disk_step(struct host *h, enum diskrep_takeover_do what)
{
	static bool (*const how[DISKREP_TAKEOVER_STEPS])(struct host *) = {
		[DISKREP_TAKEOVER_DISCONNECT] = disconnect,
		[DISKREP_TAKEOVER_DUMP] = dump,
		[DISKREP_TAKEOVER_ATTACH] = attach,
		[DISKREP_TAKEOVER_PROMOTE] = promote,
		[DISKREP_TAKEOVER_CLAIM] = claim,
		[DISKREP_TAKEOVER_ROLL_BACK] = roll_back,
		[DISKREP_TAKEOVER_FORGET] = forget,
	};

	return how[what](h);
}

/* The store goes; a rollback that was written down is finished. False: that was not possible. */
bool disk_repair(struct host *h)
{
	h->disk.store = false;
	for (const struct diskrep_takeover_step *s = diskrep_takeover_repair;
		h->disk.rollback.exists && s->what; s++)
		if (!disk_step(h, s->what))
			return false;
	return true;
}

bool disk_start(struct host *h, struct memory *ret)
{
	const uint64_t in_flight = ret->writing ? ret->stamp : 0;

	if (h->disk.inconsistent || h->disk.rollback.exists)
		return false;
	h->disk.primary = true;
	disk_check(h, ret, "a guest's disk is not what it wrote (invariant 3)");
	for (unsigned int i = 0; i < BLOCKS; i++)
		if (in_flight && h->disk.block[i] == in_flight) {
			ret->block[i] = in_flight;
			ret->count++;
		}
	ret->writing = false;
	return true;
}
