/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two workers and the commands that clear up after them. What an epoch may do is said by the
 * product's epoch machines; pages are one number, the guest's count, and the disks' boundary is a
 * message of its own.
 */
#include "tests/sim/sim.h"

#define ACK_TIMEOUT (2 * SECOND)
#define RETRANSMIT (200 * MS)

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

static void noticed(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;

	if (w->kind == WORKER_NONE || w->life != life)
		return;
	w->kind = WORKER_NONE;
	if (!w->leaving)
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

	if (w->kind != WORKER_NONE && w->life == life && !w->leaving)
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

/* Its last word. */
static void end_with(struct host *h, enum failover_event event)
{
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
	if (w->suspended) /* seen when the pause is over */
		return;
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

static void take_ack(struct host *h, uint64_t epoch, uint64_t b)
{
	struct worker *w = &h->worker;

	if (w->primary.state != PRIMARY_WAITING)
		return;
	if (primary_epoch_step(&w->primary, PRIMARY_EV_ACK, epoch) != PRIMARY_RELEASE) {
		primary_lost(h, 0, 0);
		return;
	}
	guest_release_closed(h);
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

static void captured(struct host *h, uint64_t life, uint64_t b)
{
	struct worker *w = &h->worker;
	const uint64_t ship = sim_between(2 * MS, 80 * MS), epoch = w->primary.epoch;

	if (stale(h, life))
		return;
	if (!h->guest.exists) {
		end_with(h, FAILOVER_ON_GUEST_GONE);
		return;
	}
	step(h, PRIMARY_EV_CAPTURED, 0);
	w->captured = h->guest.closed = h->guest.count;
	if (fate_crash(h, CRASH_CAPTURED) || stale(h, life))
		return;
	h->guest.suspended = w->suspended = false;
	step(h, PRIMARY_EV_RESUMED, 0);
	if (sim.disks)
		send(h, 0, backup_boundary, epoch, 0);
	send(h, 0, backup_begin, epoch, w->captured);
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
		h->guest.plugged = true;
		h->guest.closed = h->guest.count;
	}
	h->guest.suspended = w->suspended = true;
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

void worker_order_solo(struct host *h)
{
	sim_after(MS, h, obey, h->worker.life, PRIMARY_EV_SOLO);
}

void worker_order_stop(struct host *h)
{
	if (h->worker.kind == WORKER_PRIMARY)
		sim_after(MS, h, obey, h->worker.life, PRIMARY_EV_STOP);
}

/* ---- romulus-backup
 * ------------------------------------------------------------------------------- */

static void listening(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life))
		return;
	/* A stale guest of that name, no memory, disks that are not in step. */
	if (h->guest.exists || (!sim.healing && sim_chance(20)))
		end_with(h, FAILOVER_ON_FAILED);
	else
		say(h, FAILOVER_ON_LISTENING);
}

void backup_greeting(struct host *h, uint64_t a, uint64_t b)
{
	struct backup_epoch *m = &h->worker.backup;

	backup_epoch_step(m, BACKUP_EV_CONFIG, 0);
	backup_epoch_step(m, BACKUP_EV_BEGIN, 0);
	backup_epoch_step(m, BACKUP_EV_PAGES, 0);
	backup_epoch_step(m, BACKUP_EV_END, 0);
}

static void commit(struct host *h)
{
	struct worker *w = &h->worker;
	const unsigned int life = w->life;

	if (fate_crash(h, CRASH_BEFORE_ACK) || stale(h, life))
		return;
	w->checkpoint = w->opening;
	send(h, 0, take_ack, w->backup.acked, 0);
	if (w->backup.acked == 1) {
		say(h, FAILOVER_ON_SYNCED);
		fate_tempt(sim_other(h), 30 * MS);
	}
	fate_crash(h, CRASH_AFTER_ACK);
}

void backup_begin(struct host *h, uint64_t epoch, uint64_t value)
{
	struct worker *w = &h->worker;

	if (backup_epoch_step(&w->backup, BACKUP_EV_BEGIN, epoch) < 0)
		return;
	w->opening = value;
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

void backup_boundary(struct host *h, uint64_t epoch, uint64_t b)
{
	int actions = backup_epoch_step(&h->worker.backup, BACKUP_EV_BOUNDARY, epoch);

	if (actions > 0 && actions & BACKUP_COMMIT)
		commit(h);
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

void worker_order_discard(struct host *h)
{
	if (h->worker.kind == WORKER_PRIMARY)
		sim_after(MS, h, obey, h->worker.life, PRIMARY_EV_DISCARD);
	else
		sim_after(MS, h, discard_backup, h->worker.life, 0);
}

static void activated(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life))
		return;
	if (!sim.healing && sim_chance(20)) {
		end_with(h, FAILOVER_ON_FAILED);
		return;
	}
	if (sim.disks && h->disk != h->worker.checkpoint)
		sim_violated("disk and memory differ after a takeover (invariant 3)");
	if (h->record.generation <= sim.agreed)
		sim_violated("a guest that has ended in agreement is resumed");
	guest_begin(h, h->worker.checkpoint, "takeover");
	end_with(h, FAILOVER_ON_RUNNING);
}

static void rolled_back(struct host *h, uint64_t life, uint64_t b)
{
	if (stale(h, life) || fate_crash(h, CRASH_BEFORE_ROLLBACK) || stale(h, life))
		return;
	h->disk = h->worker.checkpoint;
	if (!fate_crash(h, CRASH_AFTER_ROLLBACK) && !stale(h, life))
		sim_after(sim_between(100 * MS, 3 * SECOND), h, activated, life, 0);
}

void worker_order_takeover(struct host *h)
{
	if (h->worker.dead)
		return;
	if (backup_epoch_step(&h->worker.backup, BACKUP_EV_TAKEOVER, 0) < 0)
		end_with(h, FAILOVER_ON_FAILED);
	else
		sim_after(sim_between(10 * MS, SECOND), h, rolled_back, h->worker.life, 0);
}

void worker_spawn(struct host *h, enum worker_kind kind)
{
	end(h); /* one that was told to leave has nothing left to say */
	h->worker = (struct worker){.kind = kind, .life = ++lives, .backup.disks = sim.disks};
	sim_after(sim_between(20 * MS, 300 * MS), h, kind == WORKER_PRIMARY ? found : listening,
		h->worker.life, 0);
}

/* ---- commands
 * --------------------------------------------------------------------------------------- */

static void finish(struct host *h, uint64_t life, bool done)
{
	if (h->life != life || !h->daemon)
		return;
	h->commanding = false;
	daemon_on(h, done ? FAILOVER_ON_DONE : FAILOVER_ON_NOT_DONE);
}

static void run(struct host *h, sim_handler *command)
{
	h->commanding = true;
	sim_after(sim_between(20 * MS, SECOND), h, command, h->life, h->boot);
}

static void repair(struct host *h, uint64_t life, uint64_t boot)
{
	const bool done = sim.healing || !sim_chance(30);

	if (!h->power || h->boot != boot)
		return;
	h->guest.suspended = false;
	if (done)
		guest_release_all(h);
	else
		h->guest.told = true;
	finish(h, life, done);
}

static void discard_guest(struct host *h, uint64_t life, uint64_t boot)
{
	const bool done = sim.healing || !sim_chance(100);

	if (!h->power || h->boot != boot)
		return;
	/* It is about to start again, and is destroyed when it has. */
	if (h->back_at) {
		sim_after(h->back_at - sim.now, h, discard_guest, life, boot);
		return;
	}
	if (done)
		guest_end(h);
	finish(h, life, done);
}

/* The standby is no guest yet; a rollback that was begun is finished. */
static void discard_standby(struct host *h, uint64_t life, uint64_t boot)
{
	if (h->power && h->boot == boot)
		finish(h, life, sim.healing || !sim_chance(50));
}

static void start(struct host *h, uint64_t life, uint64_t boot)
{
	if (!h->power || h->boot != boot)
		return;
	if (!h->guest.exists && sim.disks)
		guest_begin(h, h->disk, "its disks");
	if (h->life == life && h->daemon)
		daemon_note_started(h);
}

/* What a guest that is no more had still to say is dropped: there is nothing left to let go. */
static void sweep(struct host *h, uint64_t life, uint64_t boot)
{
	if (h->power && h->boot == boot)
		finish(h, life, sim.healing || !sim_chance(30));
}

void command_sweep(struct host *h)
{
	run(h, sweep);
}

void command_repair(struct host *h)
{
	run(h, repair);
}

void command_discard(struct host *h)
{
	const bool standby = failover_machine_role(h->state) == PROTO_ROLE_BACKUP ||
			     h->state == FAILOVER_CLEARING;

	run(h, standby ? discard_standby : discard_guest);
}

/* Without disks there is nothing to start it from: a person has to create it anew. */
void command_start(struct host *h)
{
	if (!sim.disks)
		sim.ended = true;
	h->guest_died = true;
	run(h, start);
}
