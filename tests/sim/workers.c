/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two workers. What an epoch may do is said by the product's epoch machines; of its memory a
 * checkpoint has the count and what the disk must hold.
 */
#include "tests/sim/sim.h"

#define ACK_TIMEOUT (2 * SECOND)
#define RETRANSMIT (200 * MS)
#define LOOK (200 * MS)          /* of a backup that waits until its disks are in step, */
#define FOLLOWS_FOR (5 * SECOND) /* and says later that it is not ready */

static unsigned int lives;

static bool stale(const struct host *h, uint64_t life)
{
	return h->worker.kind == WORKER_NONE || h->worker.dead || h->worker.life != life;
}

static uint64_t latency(void)
{
	return sim_between(MS, 20 * MS);
}

/* ---- the stream: whatever is sent arrives in the end, in order, while both workers live
 * ----------- */

struct frame {
	sim_handler *taken;
	uint64_t epoch, value;
	unsigned int to; /* life of the worker that it is for */
};

#define FRAMES_MAX 1024u
static struct frame frames[FRAMES_MAX];
static size_t next_frame;

static void deliver(struct host *h, uint64_t index, uint64_t b)
{
	const struct frame f = frames[index];

	if (stale(h, f.to))
		return;
	if (sim.cut[0][0] || sim.cut[0][1])
		sim_after(RETRANSMIT, h, deliver, index, b);
	else
		f.taken(h, f.epoch, f.value);
}

static void send(struct host *h, uint64_t after, sim_handler *taken, uint64_t epoch, uint64_t value)
{
	struct host *peer = sim_other(h);

	frames[next_frame] = (struct frame){taken, epoch, value, h->worker.peer};
	sim_after(after + latency(), peer, deliver, next_frame, 0);
	next_frame = (next_frame + 1) % FRAMES_MAX;
}

/* Its host, if that lives, closes the connection. */
static void hang_up(struct host *h)
{
	const struct worker *w = &h->worker;

	if (w->kind != WORKER_NONE && !w->dead && w->peer && h->power)
		send(h, 0, w->kind == WORKER_PRIMARY ? backup_lost : primary_lost, 0, 0);
}

static void end(struct host *h)
{
	hang_up(h);
	h->worker.kind = WORKER_NONE;
}

void worker_kill(struct host *h)
{
	end(h);
}

/* One that has begun to take over goes on to the end: there is no way back. */
void worker_orphan(struct host *h)
{
	if (h->worker.kind == WORKER_BACKUP && h->worker.backup.state == BACKUP_TAKING_OVER)
		h->worker.orphan = true;
	else
		end(h);
}

static void noticed(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;

	if (w->kind == WORKER_NONE || w->life != life || daemon_waits(h, noticed, life, b))
		return;
	w->kind = WORKER_NONE;
	if (!w->leaving && !w->orphan)
		daemon_on(h, FAILOVER_ON_WORKER_DIED);
}

/* The daemon notices in a moment, once it has read what was said. */
static void die(struct host *h, uint64_t after)
{
	struct worker *w = &h->worker;

	if (w->kind == WORKER_NONE || w->dead)
		return;
	hang_up(h);
	w->dead = true;
	if (w->said_at < sim.now + after)
		w->said_at = sim.now + after;
	sim_after(w->said_at - sim.now, h, noticed, w->life, 0);
}

void worker_dies(struct host *h)
{
	die(h, sim_between(0, 5 * MS));
}

static void reported(struct host *h, uint64_t life, uint64_t event)
{
	const struct worker *w = &h->worker;

	if (w->kind != WORKER_NONE && w->life == life && !w->leaving && !w->orphan &&
		!daemon_waits(h, reported, life, event))
		daemon_report(h, (enum failover_event)event);
}

/* Reports are read in their order, some time after they were made: orders cross them. */
static void say(struct host *h, enum failover_event event)
{
	struct worker *w = &h->worker;
	const uint64_t at = sim.now + (sim_chance(100) ? sim_between(0, 100 * MS) : MS);

	if (w->said_at < at)
		w->said_at = at;
	sim_after(w->said_at - sim.now, h, reported, w->life, event);
}

/* Its last word; a backup's disks are as they were. */
static void end_with(struct host *h, enum failover_event event)
{
	if (h->worker.kind == WORKER_BACKUP)
		h->disk.store = false;
	say(h, event);
	die(h, sim_between(0, 5 * MS));
}

/* ---- romulus-primary
 * ------------------------------------------------------------------------------ */

/* The product ends with a bug report when a step has no place. */
static unsigned int step(struct host *h, enum primary_event event, uint64_t epoch)
{
	int actions = primary_epoch_step(&h->worker.primary, event, epoch);

	if (actions < 0) {
		sim_say(h, "event %d while %s", event, primary_state_name(h->worker.primary.state));
		sim_violated("the primary's worker does what its table does not know");
		return 0;
	}
	return (unsigned int)actions;
}

static void found(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life))
		return;
	if (!h->guest.exists) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (h->guest.plugged) /* what a dead worker has left */
		guest_release_all(h);
	disk_lead(h);
	say(h, FAILOVER_ON_FOUND);
}

void primary_lost(struct host *h, uint64_t a, uint64_t b)
{
	struct worker *w = &h->worker;

	if (w->kind != WORKER_PRIMARY || w->dead || w->primary.state == PRIMARY_LOST ||
		w->primary.state == PRIMARY_ENDED)
		return;
	if (w->primary.state == PRIMARY_COPYING) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (w->suspended || w->primary.state == PRIMARY_STANDING) /* seen when the pause is over */
		return;
	h->guest.suspended = false; /* the last epoch was to be another one */
	step(h, PRIMARY_EV_STREAM_LOST, 0);
	say(h, FAILOVER_ON_LOST);
}

static void ack_due(struct host *h, uint64_t life, uint64_t epoch)
{
	struct worker *w = &h->worker;

	if (stale(h, life) || w->primary.epoch != epoch || w->primary.committed == epoch)
		return;
	if (w->suspended)
		sim_after(50 * MS, h, ack_due, life, epoch);
	else
		primary_lost(h, 0, 0);
}

static void checkpoint(struct host *h, uint64_t life, uint64_t b);

/* See replicator/awake.h: the ack may have waited here while the guest was taken over. */
static bool slept(const struct host *h)
{
	return h->woke_at >= h->worker.captured_at;
}

static void take_ack(struct host *h, uint64_t epoch, uint64_t b)
{
	struct worker *w = &h->worker;
	const unsigned int life = w->life;

	if (w->primary.state != PRIMARY_WAITING)
		return;
	if (primary_epoch_step(&w->primary, PRIMARY_EV_ACK, epoch) != PRIMARY_RELEASE) {
		primary_lost(h, 0, 0);
		return;
	}
	w->withholds = sim.bug != BUG_WAKE_AND_SPEAK && slept(h);
	if (!w->withholds)
		guest_release_closed(h);
	if (w->primary.state == PRIMARY_STANDING) {
		if (!fate_crash(h, FAULT_LAST_EPOCH) && !stale(h, life))
			say(h, FAILOVER_ON_COMPLETE);
		return;
	}
	if (epoch == 1)
		say(h, FAILOVER_ON_SYNCED);
	sim_after(sim_between(50 * MS, 300 * MS), h, checkpoint, w->life, 0);
}

static void shipped(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life) || h->worker.primary.state != PRIMARY_SHIPPING)
		return;
	step(h, PRIMARY_EV_SHIPPED, 0);
	if (sim.bug == BUG_RELEASE_BEFORE_ACK)
		guest_release_closed(h);
	fate_crash(h, CRASH_SHIPPED);
}

/* Memory of epochs that are under way; each is taken long before its place is used again. */
#define CAPTURES 256u
static struct memory captures[CAPTURES];
static size_t next_capture;

void worker_marked(struct host *h, uint64_t stamp)
{
	struct worker *w = &h->worker;

	if (w->kind == WORKER_PRIMARY && stamp >> 32 == w->life &&
		(uint32_t)stamp == w->primary.epoch)
		w->marking = false;
}

/* What is done in it cannot be: the marker, the capture, the plug. The guest runs on, mute. */
static bool pause_fails(struct host *h)
{
	if (sim.healing || !sim_chance(2))
		return false;
	h->worker.suspended = h->guest.suspended = false;
	primary_lost(h, 0, 0);
	return true;
}

static void captured(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;
	const uint64_t ship = sim_between(2 * MS, 80 * MS), epoch = w->primary.epoch;
	struct memory *copy;

	if (stale(h, life))
		return;
	if (!h->guest.exists) {
		end_with(h, FAILOVER_ON_GUEST_GONE);
		return;
	}
	if (w->marking) {
		sim_after(2 * MS, h, captured, life, 0);
		return;
	}
	if (pause_fails(h))
		return;
	step(h, PRIMARY_EV_CAPTURED, 0);
	if (pause_fails(h))
		return;
	if (!w->withholds)
		h->guest.closed = h->guest.memory.count;
	w->captured_at = sim.now;
	copy = &captures[next_capture = (next_capture + 1) % CAPTURES];
	*copy = h->guest.memory;
	if (fate_crash(h, FAULT_CAPTURED) || stale(h, life))
		return;
	w->suspended = false;
	if (!w->moving)
		h->guest.suspended = false;
	step(h, w->moving ? PRIMARY_EV_STAYS : PRIMARY_EV_RESUMED, 0);
	if (fate_crash(h, FAULT_SHIP) || stale(h, life))
		return;
	send(h, 0, backup_begin, epoch, next_capture);
	send(h, ship + 20 * MS, backup_end, epoch, 0);
	sim_after(ship, h, shipped, life, 0);
	sim_after(ACK_TIMEOUT, h, ack_due, life, epoch);
}

static void checkpoint(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;

	if (stale(h, life) ||
		(w->primary.state != PRIMARY_RUNNING && w->primary.state != PRIMARY_COPYING))
		return;
	if (!h->guest.exists) {
		end_with(h, FAILOVER_ON_GUEST_GONE);
		return;
	}
	if (step(h, PRIMARY_EV_SUSPEND, 0) & PRIMARY_INSTALL) {
		h->guest.plugged = sim.bug != BUG_PLUG_BYPASS;
		h->guest.closed = h->guest.memory.count;
	}
	h->guest.suspended = w->suspended = true;
	w->marking = sim.disks;
	fate_break_disks(h);
	if (sim.disks)
		disk_write(h, MARKER, life << 32 | w->primary.epoch);
	if (!fate_crash(h, CRASH_SUSPENDED) && !stale(h, life))
		sim_after(sim_between(5 * MS, 60 * MS), h, captured, life, 0);
}

/* Only where it can, which is not once it has lost its backup. */
void worker_fails(struct host *h)
{
	const struct worker *w = &h->worker;

	if (w->dead)
		return;
	if (w->primary.state == PRIMARY_COPYING && w->peer)
		end_with(h, FAILOVER_ON_FAILED);
	if (w->primary.state != PRIMARY_RUNNING)
		return;
	if (sim_chance(500)) {
		guest_reboot(h);
	} else {
		guest_end(h);
		sim.ended = true;
	}
	end_with(h, FAILOVER_ON_GUEST_GONE);
}

void worker_connect(struct host *h)
{
	struct worker *w = &h->worker, *peer = &sim_other(h)->worker;

	if (w->kind != WORKER_PRIMARY || w->dead)
		return;
	if (peer->kind != WORKER_BACKUP || peer->dead || peer->peer || sim.cut[0][0] ||
		sim.cut[0][1]) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	w->peer = peer->life;
	peer->peer = w->life;
	send(h, 0, backup_greeting, 0, 0);
	sim_after(sim_between(100 * MS, sim_chance(100) ? 20 * SECOND : 2 * SECOND), h, checkpoint,
		w->life, 0);
}

static void end_done(struct host *h, uint64_t life, uint64_t b)
{
	if (!stale(h, life))
		end_with(h, FAILOVER_ON_DONE);
}

/* Orders are read between epochs, where each must have its place: it is given once. */
static void obey(struct host *h, uint64_t life, uint64_t event)
{
	struct worker *w = &h->worker;
	int actions;

	if (stale(h, life))
		return;
	if (w->suspended || w->primary.state == PRIMARY_SHIPPING ||
		w->primary.state == PRIMARY_WAITING) {
		sim_after(20 * MS, h, obey, life, event);
		return;
	}
	if (event == PRIMARY_EV_DISCARD && !h->guest.exists) {
		end_with(h, FAILOVER_ON_GUEST_GONE);
		return;
	}
	actions = (int)step(h, (enum primary_event)event, 0);
	if (actions & PRIMARY_RELEASE_ALL)
		guest_release_all(h);
	if (actions & PRIMARY_DESTROY)
		guest_end(h);
	sim_after(sim_between(MS, 100 * MS), h, end_done, life, 0);
}

/* ---- romulus-backup
 * ------------------------------------------------------------------------------- */

static void listening(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;

	if (stale(h, life))
		return;
	/* A stale guest of that name, no memory, disks that are not in step. */
	if (h->guest.exists || (!w->looks && !sim.healing && sim_chance(20)) ||
		(sim.disks && !w->looks && !disk_follow(h)) || w->looks > FOLLOWS_FOR / LOOK) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (sim.disks && !disk_insert_store(h)) {
		w->looks++;
		h->later = w->looks > FOLLOWS_FOR / LOOK;
		sim_after(LOOK, h, listening, life, 0);
		return;
	}
	say(h, FAILOVER_ON_LISTENING);
}

void backup_greeting(struct host *h, uint64_t a, uint64_t b)
{
	struct backup_epoch *m = &h->worker.backup;

	disk_expect(h, h->worker.peer);
	backup_epoch_step(m, BACKUP_EV_CONFIG, 0);
	backup_epoch_step(m, BACKUP_EV_BEGIN, 0);
	backup_epoch_step(m, BACKUP_EV_PAGES, 0);
	backup_epoch_step(m, BACKUP_EV_END, 0);
}

static void commit(struct host *h)
{
	struct worker *w = &h->worker;
	const unsigned int life = w->life;

	if (fate_crash(h, FAULT_ACK_DELAY) || stale(h, life))
		return;
	w->checkpoint = w->opening;
	send(h, 0, take_ack, w->backup.acked, 0);
	if (w->backup.acked == 1) {
		say(h, FAILOVER_ON_SYNCED);
		fate_tempt(sim_other(h), 30 * MS);
	}
	if (sim.disks && !disk_commit(h, w->backup.acked))
		worker_standby_lost(h);
	fate_crash(h, CRASH_AFTER_ACK);
}

void backup_begin(struct host *h, uint64_t epoch, uint64_t value)
{
	struct worker *w = &h->worker;

	if (backup_epoch_step(&w->backup, BACKUP_EV_BEGIN, epoch) < 0)
		return;
	w->opening = captures[value];
	if (sim.bug == BUG_ACK_BEFORE_COMPLETE)
		send(h, 100 * MS, take_ack, epoch, 0);
}

void backup_end(struct host *h, uint64_t epoch, uint64_t b)
{
	struct backup_epoch *m = &h->worker.backup;
	int actions;

	if (sim.bug == BUG_ACK_BEFORE_COMPLETE && sim_chance(300))
		return; /* it is acked and has not come */
	if (backup_epoch_step(m, BACKUP_EV_PAGES, epoch) < 0)
		return;
	actions = backup_epoch_step(m, BACKUP_EV_END, epoch);
	if (actions > 0 && actions & BACKUP_COMMIT)
		commit(h);
}

/* What comes while the disks have followed without a break is a boundary, nothing else is. */
static void boundary(struct host *h, uint64_t life, uint64_t epoch)
{
	int actions;

	if (stale(h, life))
		return;
	if (!disk_unbroken(h)) {
		worker_standby_lost(h);
		return;
	}
	actions = backup_epoch_step(&h->worker.backup, BACKUP_EV_BOUNDARY, epoch);
	if (actions > 0 && actions & BACKUP_COMMIT)
		commit(h);
}

void worker_boundary(struct host *h, uint64_t epoch)
{
	if (h->worker.kind == WORKER_BACKUP)
		sim_after(sim_between(100, sim_chance(50) ? 200 * MS : 3 * MS), h, boundary,
			h->worker.life, epoch);
}

void backup_lost(struct host *h, uint64_t a, uint64_t b)
{
	struct backup_epoch *m = &h->worker.backup;
	int actions = backup_epoch_step(m, BACKUP_EV_STREAM_LOST, 0);

	if (actions > 0 && actions & BACKUP_REPORT_LOST)
		say(h, FAILOVER_ON_LOST);
	if (actions > 0 && !m->acked)
		end_with(h, FAILOVER_ON_FAILED);
}

void worker_standby_lost(struct host *h)
{
	struct worker *w = &h->worker;

	if (w->kind == WORKER_BACKUP && !w->dead &&
		backup_epoch_step(&w->backup, BACKUP_EV_STANDBY_LOST, 0) >= 0) {
		say(h, FAILOVER_ON_STANDBY_LOST);
		die(h, sim_between(10 * MS, 300 * MS)); /* what is left goes first */
	}
}

static void discard_backup(struct host *h, uint64_t life, uint64_t b)
{
	if (!stale(h, life) && backup_epoch_step(&h->worker.backup, BACKUP_EV_DISCARD, 0) >= 0)
		sim_after(sim_between(MS, 300 * MS), h, end_done, life, 0);
}

static void activated(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life))
		return;
	if (!sim.healing && sim_chance(20)) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (sim.disks)
		disk_check(h, &h->worker.checkpoint,
			"disk and memory differ after a takeover (invariant 3)");
	if (h->record.generation <= sim.agreed)
		sim_violated("a guest that has ended in agreement is resumed");
	if (h->record.generation == sim.handed && h->worker.checkpoint.count != sim.stood_at)
		sim_violated("a guest that was moved does not go on from where it stood still");
	guest_begin(h, &h->worker.checkpoint, "takeover");
	end_with(h, FAILOVER_ON_RUNNING);
}

static void resume(struct host *h)
{
	sim_after(sim_between(100 * MS, 3 * SECOND), h, activated, h->worker.life, 0);
}

static void take_over_disks(struct host *h, uint64_t life, uint64_t i)
{
	const struct diskrep_takeover_step *s = &diskrep_takeover[i];

	if (stale(h, life))
		return;
	if (!s->what) {
		resume(h);
		return;
	}
	if (!disk_step(h, s->what)) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (s->after != FAULT_COUNT)
		fate_crash(h, s->after);
	if (!stale(h, life)) /* it outlives its daemon */
		sim_after(sim_between(MS, 200 * MS), h, take_over_disks, life, i + 1);
}

static void take_over(struct host *h)
{
	if (h->worker.dead)
		return;
	if (backup_epoch_step(&h->worker.backup, BACKUP_EV_TAKEOVER, 0) < 0)
		end_with(h, FAILOVER_ON_FAILED);
	else if (sim.disks)
		take_over_disks(h, h->worker.life, 0);
	else
		resume(h);
}

void worker_order(struct host *h, enum proto_order order)
{
	enum primary_event event;

	if (h->worker.kind == WORKER_PRIMARY && order == PROTO_ORDER_MOVE) {
		h->worker.moving = true;
		sim_after(MS, h, checkpoint, h->worker.life, 0);
	} else if (h->worker.kind == WORKER_PRIMARY && primary_epoch_ordered(order, &event))
		sim_after(MS, h, obey, h->worker.life, event);
	else if (order == PROTO_ORDER_DISCARD)
		sim_after(MS, h, discard_backup, h->worker.life, 0);
	else if (order == PROTO_ORDER_TAKEOVER)
		take_over(h);
}

void worker_spawn(struct host *h, enum worker_kind kind)
{
	end(h); /* one that was told to leave has nothing left to say */
	h->later = false;
	h->worker = (struct worker){.kind = kind, .life = ++lives, .backup.disks = sim.disks};
	sim_after(sim_between(20 * MS, 300 * MS), h, kind == WORKER_PRIMARY ? found : listening,
		h->worker.life, 0);
}
