/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/backup.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/why.h"
#include "diskrep/control.h"
#include "diskrep/device.h"
#include "diskrep/drbd.h"
#include "diskrep/lineage.h"
#include "diskrep/lower.h"
#include "diskrep/nbd.h"
#include "diskrep/resource.h"
#include "diskrep/rollback.h"
#include "diskrep/store.h"
#include "diskrep/takeover.h"

#define CONNECT_TIMEOUT_MS 10000

struct diskrep_backup {
	const struct diskrep_backup_spec *spec;
	char *list; /* owns what `volumes` points to */
	const char *volumes[DISKREP_MAX_VOLUMES];
	size_t volumes_n; /* the marker included */
	struct diskrep_store *store;
	struct diskrep_lineage lineage;
	char rollback[PATH_MAX];
	uint64_t epoch, rolled_back; /* of a takeover: to which checkpoint, how many bytes */
};

static int parse(struct diskrep_backup *b, const struct diskrep_backup_spec *spec, struct why *why)
{
	char *next, *item;

	b->spec = spec;
	snprintf(b->rollback, sizeof(b->rollback), "%s/rollback-%s", spec->state_dir,
		spec->resource);
	b->list = strdup(spec->volumes);
	if (!b->list)
		return why_set(why, -ENOMEM, "no memory for the disks of '%s'", spec->resource);
	for (item = strtok_r(b->list, ",", &next); item; item = strtok_r(NULL, ",", &next)) {
		if (b->volumes_n == DISKREP_MAX_VOLUMES)
			return why_set(why, -E2BIG, "resource '%s' has more than %d volumes",
				spec->resource, DISKREP_MAX_VOLUMES);
		b->volumes[b->volumes_n++] = item;
	}
	if (b->volumes_n < 2)
		return why_set(
			why, -EINVAL, "resource '%s' needs a volume and a marker", spec->resource);
	return 0;
}

/* ---- the store beneath DRBD ---------------------------------------------------------------- */

static struct diskrep_store_spec store_spec(const struct diskrep_backup *b)
{
	return (struct diskrep_store_spec){
		.name = b->spec->resource,
		.run_dir = b->spec->run_dir,
		.volumes = b->volumes,
		.volumes_n = b->volumes_n - 1,
		.marker = b->volumes[b->volumes_n - 1],
		.undo_limit = b->spec->undo_limit,
		.plugin = b->spec->plugin,
	};
}

static int insert_store(struct diskrep_backup *b, struct why *why)
{
	const struct diskrep_store_spec spec = store_spec(b);
	char name[DISKREP_LOWER_NAME_MAX], device[64], export[24];
	struct diskrep_device disk;
	size_t v;
	int r = 0;

	b->store = diskrep_store_start(&spec, why);
	if (!b->store)
		return -EIO;
	for (v = 0; !r && v < b->volumes_n; v++) {
		snprintf(export, sizeof(export), "%zu", v);
		r = diskrep_device_look(b->volumes[v], &disk, why);
		if (!r)
			r = diskrep_nbd_attach(diskrep_store_nbd_socket(b->store),
				v + 1 < b->volumes_n ? export : "marker", disk.block, device,
				sizeof(device), why);
		if (r)
			break;
		diskrep_resource_lower(b->spec->resource, v, name);
		r = diskrep_lower_switch(name, device, why);
		if (r)
			diskrep_nbd_detach(device, NULL);
	}
	return r;
}

/*
 * The kernel keeps the requests of a dead store for ever, and neither DRBD nor a lower device lets
 * go before they have an answer.
 */
static void fail_requests(const struct diskrep_backup *b)
{
	char name[DISKREP_LOWER_NAME_MAX], target[PATH_MAX];
	struct why why;

	for (size_t v = 0; v < b->volumes_n; v++) {
		diskrep_resource_lower(b->spec->resource, v, name);
		if (diskrep_lower_target(name, target, sizeof(target), &why) == 0 &&
			strncmp(target, "/dev/nbd", 8) == 0 && diskrep_nbd_in_use(target) &&
			diskrep_nbd_cut(target, &why))
			log_error(
				"the undo store of '%s' is dead, and volume %zu cannot be cut off "
				"from it, so that DRBD and the guest may wait for it: %s; run "
				"nbd-client -d %s",
				b->spec->resource, v, why.text, target);
	}
}

/* Real disks back beneath DRBD; everything is tried, the first error returned. */
static int remove_store(struct diskrep_backup *b, struct why *why)
{
	char name[DISKREP_LOWER_NAME_MAX], target[PATH_MAX];
	struct why w, *first = why;
	int r = 0, err;
	size_t v;

	if (!diskrep_store_alive(b->store))
		fail_requests(b);
	for (v = 0; v < b->volumes_n; v++) {
		diskrep_resource_lower(b->spec->resource, v, name);
		err = diskrep_lower_target(name, target, sizeof(target), &w);
		if (!err && strncmp(target, "/dev/nbd", 8) == 0) {
			err = diskrep_lower_switch(name, b->volumes[v], &w);
			if (!err)
				err = diskrep_nbd_detach(target, &w);
		}
		if (err && !r)
			r = why_set(first, err, "%s", w.text);
	}
	/* While a device is still mapped to it the store must live: DRBD would lose its disk. */
	if (!r)
		b->store = diskrep_store_stop(b->store);
	return r;
}

static struct diskrep_backup *free_backup(struct diskrep_backup *b)
{
	free(b->list);
	free(b);
	return NULL;
}

/* ---- getting ready --------------------------------------------------------------------------- */

static int as_secondary(struct diskrep_backup *b, struct diskrep_drbd_status *st, struct why *why)
{
	const char *res = b->spec->resource;
	int r = diskrep_drbd_up(res, why);

	if (!r)
		r = diskrep_drbd_secondary(res, why);
	if (!r)
		r = diskrep_drbd_attach(res, why);
	if (!r)
		r = diskrep_drbd_status(res, st, why);
	if (!r && st->volumes != b->volumes_n)
		r = why_set(why, -EINVAL,
			"DRBD resource '%s' has %zu volumes on this host, %zu are configured; run "
			"`romulus disk check` here",
			res, st->volumes, b->volumes_n);
	return r ? r : diskrep_resource_orders(res, b->volumes_n, why);
}

static bool is_connected(const struct diskrep_drbd_status *st)
{
	return st->connection >= DISKREP_DRBD_CONNECTED;
}

/* Whatever this host has and the primary has not belongs to a generation that is over. */
static int follow(struct diskrep_backup *b, struct diskrep_drbd_status *st, struct why *why)
{
	const char *res = b->spec->resource;
	int r = 0;

	/*
	 * One that is connecting is left alone: its handshake may take long, and should it find
	 * that both sides have changed, it ends standing alone.
	 */
	if (!is_connected(st)) {
		if (st->connection == DISKREP_DRBD_STANDALONE)
			r = diskrep_drbd_connect(res, true, why);
		if (!r)
			r = diskrep_drbd_wait(res, is_connected, CONNECT_TIMEOUT_MS, st, why);
		if (r == -ETIMEDOUT)
			r = 0; /* what is said of the state below is more than that */
	}
	if (!r)
		r = diskrep_drbd_obstacle(st, res, why);
	if (r)
		return r;
	if (st->peer_role != DISKREP_DRBD_PRIMARY)
		return why_set(why, -EINVAL,
			"DRBD resource '%s' is not primary on the other host, although its domain "
			"runs there; see `romulus disk check` there",
			res);
	return 0;
}

int diskrep_backup_open(
	const struct diskrep_backup_spec *spec, struct diskrep_backup **ret, struct why *why)
{
	struct diskrep_backup *b = calloc(1, sizeof(*b));
	struct diskrep_drbd_status st;
	int r;

	if (!b)
		return why_set(why, -ENOMEM, "no memory for the disks of '%s'", spec->resource);
	r = diskrep_backup_repair(spec, why);
	if (!r)
		r = parse(b, spec, why);
	if (!r)
		r = as_secondary(b, &st, why);
	if (!r)
		r = follow(b, &st, why);
	if (!r)
		r = insert_store(b, why);
	if (!r)
		r = diskrep_lineage_begin(&st, &b->lineage, why);
	if (r && b->store)
		remove_store(b, NULL);
	if (r)
		free_backup(b);
	else
		*ret = b;
	return r;
}

/* ---- following ------------------------------------------------------------------------------- */

int diskrep_backup_expect(struct diskrep_backup *b, const char *uuid, uint64_t nonce,
	uint64_t generation, struct why *why)
{
	return diskrep_store_expect(b->store, uuid, nonce, generation, why);
}

int diskrep_backup_fd(const struct diskrep_backup *b)
{
	return diskrep_store_fd(b->store);
}

int diskrep_backup_figures(
	struct diskrep_backup *b, struct diskrep_backup_figures *ret, struct why *why)
{
	struct diskrep_control_status status;
	int r = diskrep_store_status(b->store, &status, why);

	if (r)
		return r;
	ret->order = status.order;
	ret->undo_bytes = status.undo.used;
	ret->undo_largest = status.undo.largest;
	ret->undo_limit = status.undo.limit;
	return 0;
}

/*
 * Before the first boundary is believed: all of the self-test lies before it. A probe that is
 * missing came by a resync, if at all, and then so may the guest's writes; one that was waited for
 * and is out of order means that DRBD was told to leave its barriers out.
 */
static int check_order(struct diskrep_backup *b, struct why *why)
{
	struct diskrep_backup_figures f;
	int r = diskrep_backup_figures(b, &f, why);

	if (r)
		return r;
	if (f.order.probes != f.order.all)
		return why_set(why, -EILSEQ,
			"DRBD's replication of '%s' broke off during the self-test: %u of %u "
			"probes arrived. Nothing is protected; if it repeats, `romulus disk "
			"check` on both hosts names what DRBD's configuration lacks",
			b->spec->resource, f.order.probes, f.order.all);
	if (f.order.violations)
		return why_set(why, -EILSEQ,
			"%u of %u probes of the self-test came out of order: the disks of '%s' "
			"could not be taken back to a checkpoint. Nothing is protected; `romulus "
			"disk check` on both hosts names what DRBD's configuration lacks",
			f.order.violations, f.order.all, b->spec->resource);
	return 0;
}

int diskrep_backup_boundary(struct diskrep_backup *b, uint64_t *ret_epoch, struct why *why)
{
	const char *res = b->spec->resource;
	struct diskrep_store_news news;
	int r;

	if (diskrep_store_news(b->store, &news) <= 0)
		return 0;
	switch (news.kind) {
	case DISKREP_STORE_BOUNDARY:
		r = fault_point(FAULT_LINEAGE_SKIP) ? 0 : diskrep_lineage_check(&b->lineage, why);
		*ret_epoch = news.epoch;
		if (!r && news.epoch == 1)
			r = check_order(b, why);
		return r ? r : 1;
	case DISKREP_STORE_OVERFLOW:
		return why_set(why, -ENOSPC,
			"the guest wrote more to its disks in one epoch than undo-limit (%llu MB) "
			"holds: the disks of '%s' cannot be taken back to a checkpoint. Its data "
			"is "
			"intact; protection begins again, raise undo-limit if this repeats",
			(unsigned long long)(b->spec->undo_limit >> 20), res);
	case DISKREP_STORE_GONE:
		return why_set(why, -EPIPE,
			"the undo store of '%s' has died: DRBD has detached the disks of this host",
			res);
	case DISKREP_STORE_ERROR:
	default:
		return why_set(why, -EIO, "the undo store of '%s' failed: %s", res, news.text);
	}
}

int diskrep_backup_commit(struct diskrep_backup *b, uint64_t epoch, struct why *why)
{
	return diskrep_store_commit(b->store, epoch, why);
}

int diskrep_backup_snapshot(struct diskrep_backup *b, uint64_t epoch, struct why *why)
{
	return diskrep_store_snapshot(b->store, epoch, b->spec->state_dir, why);
}

int diskrep_backup_release(struct diskrep_backup *b, struct why *why)
{
	return diskrep_store_release(b->store, why);
}

/* ---- taking over ----------------------------------------------------------------------------- */

static int disconnect(struct diskrep_backup *b, struct why *why)
{
	return diskrep_drbd_disconnect(b->spec->resource, why);
}

static int dump(struct diskrep_backup *b, struct why *why)
{
	return diskrep_store_dump(b->store, b->epoch, b->rollback, why);
}

static int attach(struct diskrep_backup *b, struct why *why)
{
	return diskrep_drbd_attach(b->spec->resource, why);
}

static int claim(struct diskrep_backup *b, struct why *why)
{
	return diskrep_drbd_primary(b->spec->resource, false, why);
}

static int forget(struct diskrep_backup *b, struct why *why)
{
	return diskrep_rollback_forget(b->rollback, why);
}

static int roll_back(struct diskrep_backup *b, struct why *why)
{
	struct diskrep_rollback_stats stats = {0};
	struct diskrep_drbd_status st;
	char paths[DISKREP_MAX_VOLUMES][32];
	const char *devices[DISKREP_MAX_VOLUMES];
	int r = diskrep_drbd_status(b->spec->resource, &st, why);

	if (r)
		return r;
	for (size_t v = 0; v < b->volumes_n; v++) {
		snprintf(paths[v], sizeof(paths[v]), "/dev/drbd%d", st.volume[v].minor);
		devices[v] = paths[v];
		/* What must never be done: DRBD would not know, and a resync would miss it. */
		if (fault_point(FAULT_ROLLBACK_BENEATH))
			devices[v] = b->volumes[v];
	}
	if (!fault_point(FAULT_ROLLBACK_SKIP))
		r = diskrep_rollback_replay(b->rollback, devices, b->volumes_n - 1, &stats, why);
	b->rolled_back = stats.bytes;
	return r;
}

/*
 * A resync that began after the boundary (DRBD lost its connection just before its host was lost)
 * leaves disks that DRBD calls inconsistent. All that it wrote is in the store and about to be
 * rolled back, so that does not count; without a store nobody could say so.
 */
static int promote(struct diskrep_backup *b, struct why *why)
{
	struct diskrep_drbd_status st;
	bool force = false;
	int r = diskrep_drbd_status(b->spec->resource, &st, why);

	for (size_t v = 0; !r && v < st.volumes; v++)
		if (st.volume[v].disk >= DISKREP_DRBD_INCONSISTENT &&
			st.volume[v].disk < DISKREP_DRBD_UP_TO_DATE)
			force = true;
	return r ? r : diskrep_drbd_primary(b->spec->resource, force, why);
}

static int carry_out(
	struct diskrep_backup *b, const struct diskrep_takeover_step *steps, struct why *why)
{
	static int (*const how[DISKREP_TAKEOVER_STEPS])(struct diskrep_backup *, struct why *) = {
		[DISKREP_TAKEOVER_DISCONNECT] = disconnect,
		[DISKREP_TAKEOVER_DUMP] = dump,
		[DISKREP_TAKEOVER_ATTACH] = attach,
		[DISKREP_TAKEOVER_PROMOTE] = promote,
		[DISKREP_TAKEOVER_CLAIM] = claim,
		[DISKREP_TAKEOVER_ROLL_BACK] = roll_back,
		[DISKREP_TAKEOVER_FORGET] = forget,
	};
	int r = 0;

	for (; !r && steps->what; steps++) {
		r = how[steps->what](b, why);
		if (steps->after < FAULT_COUNT)
			fault_point(steps->after);
	}
	return r;
}

int diskrep_backup_take_over(
	struct diskrep_backup *b, uint64_t epoch, uint64_t *ret_bytes, struct why *why)
{
	int r;

	b->epoch = epoch;
	r = carry_out(b, diskrep_takeover, why);
	*ret_bytes = b->rolled_back;
	return r;
}

int diskrep_backup_retire(struct diskrep_backup *b, struct why *why)
{
	int r;

	if (!b)
		return 0;
	r = remove_store(b, why);
	free_backup(b);
	return r;
}

/* A rollback that was written down was decided upon: the disks are neither before nor after it. */
static int finish_rollback(struct diskrep_backup *b, struct why *why)
{
	return access(b->rollback, F_OK) ? 0 : carry_out(b, diskrep_takeover_repair, why);
}

int diskrep_backup_repair(const struct diskrep_backup_spec *spec, struct why *why)
{
	struct diskrep_backup *b = calloc(1, sizeof(*b));
	struct diskrep_store_spec store;
	int r;

	if (!b)
		return why_set(why, -ENOMEM, "no memory for the disks of '%s'", spec->resource);
	r = parse(b, spec, why);
	if (!r) {
		store = store_spec(b);
		b->store = diskrep_store_find(&store);
		/* First: the store may have died with the worker, and what it kept is in the file.
		 */
		r = remove_store(b, why);
	}
	if (!r)
		r = finish_rollback(b, why);
	free_backup(b);
	return r;
}
