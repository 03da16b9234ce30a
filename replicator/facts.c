/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/facts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "replicator/segment.h"

static enum hv_type type_of(const char *name)
{
	return strcmp(name, "pv") == 0    ? HV_TYPE_PV
	       : strcmp(name, "hvm") == 0 ? HV_TYPE_HVM
					  : HV_TYPE_PVH;
}

/* ---- the guest ------------------------------------------------------------------------------- */

static void add_bridge(Romulus__Check *c, char *name)
{
	for (size_t i = 0; i < c->n_bridges; i++)
		if (strcmp(c->bridges[i], name) == 0)
			return;
	c->bridges[c->n_bridges++] = name;
}

static void add_disks(struct facts *f)
{
	Romulus__Check *c = &f->check;
	struct hv_domain *dom = &f->dom;

	for (size_t i = 0; i < dom->disk_count; i++) {
		Romulus__CheckDisk *disk = &f->disk[c->n_disks];

		romulus__check_disk__init(disk);
		f->disks[c->n_disks++] = disk;
		disk->vdev = dom->disks[i].vdev;
		disk->path = dom->disks[i].path;
		disk->writable = true;
		disk->covered = facts_covers(f, disk->path);
	}
	for (size_t i = 0; i < dom->fixed_count; i++)
		facts_of_disk(f, c->n_disks++, dom->fixed[i].vdev, dom->fixed[i].path);
	c->disks = f->disks;
}

static void add_features(struct facts *f)
{
	Romulus__Check *c = &f->check;
	struct why why;

	if (f->ops->features(f->hv, &f->dom, &f->host, f->features, &why)) {
		log_warning("%s: %s", f->worker.domain, why.text);
		return;
	}
	c->features = f->features;
	c->n_features = f->host.features_n;
}

int facts_of_guest(struct facts *f)
{
	static const char *const types[] = {
		[HV_TYPE_PV] = "pv",
		[HV_TYPE_PVH] = "pvh",
		[HV_TYPE_HVM] = "hvm",
	};
	Romulus__Check *c = &f->check;
	struct hv_domain able;
	int r = f->ops->find(f->hv, f->worker.domain, &f->dom, &f->why);

	if (!r)
		r = f->ops->host(f->hv, f->dom.type, &f->host, &f->why);
	if (r)
		return r;
	if (getrandom(f->nonce, sizeof(f->nonce), 0) != sizeof(f->nonce))
		return why_set(&f->why, -EIO, "no random numbers for the probe frames");
	able = f->dom;
	romulus__check__init(c);
	c->domain = f->dom.name;
	c->uuid = f->dom.uuid;
	c->type = (char *)types[f->dom.type];
	c->memory_kb = f->dom.memory_kb + HV_OVERHEAD_KB;
	c->nonce = (ProtobufCBinaryData){sizeof(f->nonce), f->nonce};
	c->feature_suspend = f->dom.feature_suspend;
	c->passed_through = f->dom.passed_through;
	c->bridges = f->bridge_names;
	for (size_t i = 0; i < f->dom.nic_count; i++)
		add_bridge(c, f->dom.nics[i].bridge);
	able.feature_suspend = true; /* which is told by itself */
	r = f->ops->can_protect(f->hv, &able, &f->why);
	c->unfit = r ? f->why.text : (char *)"";
	c->later = r == -EAGAIN;
	add_features(f);
	facts_of_resource(f);
	add_disks(f);
	return 0;
}

/* ---- the host -------------------------------------------------------------------------------- */

static void add_space(struct facts *f)
{
	struct statvfs st;

	f->checked.space_known = !statvfs(f->worker.state_dir, &st);
	if (f->checked.space_known)
		f->checked.space = (uint64_t)st.f_bavail * st.f_frsize;
	else
		log_warning("cannot tell how much is free in %s: %s", f->worker.state_dir,
			strerror(errno));
}

static uint64_t dom0_available_kb(void)
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kb = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kb) == 1)
			break;
	return kb;
}

static void add_bridges(struct facts *f, const Romulus__Check *q)
{
	for (size_t i = 0; i < q->n_bridges && i < HV_MAX_NICS; i++) {
		romulus__check_bridge__init(&f->bridge[i]);
		f->bridge[i].name = q->bridges[i];
		f->bridge[i].present = segment_is_bridge(q->bridges[i]);
		f->bridge[i].tried = f->listening[i] >= 0;
		f->bridge[i].filters = f->bridge[i].present && segment_filters(q->bridges[i]);
		f->bridges[i] = &f->bridge[i];
		f->checked.n_bridges++;
	}
	f->checked.bridges = f->bridges;
}

/* What the guest writes to is DRBD's, or refused where the guest is. */
static void add_fixed(struct facts *f, const Romulus__Check *q)
{
	for (size_t i = 0; i < q->n_disks && f->checked.n_disks < ARRAY_SIZE(f->disk); i++)
		if (!q->disks[i]->writable)
			facts_of_disk(
				f, f->checked.n_disks++, q->disks[i]->vdev, q->disks[i]->path);
	f->checked.disks = f->disks;
}

int facts_of_host(struct facts *f, const Romulus__Check *q)
{
	const bool elsewhere = q != &f->check;
	Romulus__Checked *c = &f->checked;
	int r;

	romulus__checked__init(c);
	r = f->ops->host(f->hv, type_of(q->type), &f->host, &f->why);
	if (r)
		return r;
	c->hypervisor = f->host.hypervisor;
	c->free_kb = f->host.free_kb;
	c->features = f->host.features;
	c->n_features = f->host.features_n;
	add_space(f);
	c->dom0_kb = dom0_available_kb();
	c->undo_limit = f->worker.resource ? f->worker.undo_limit : 0;
	add_bridges(f, q);
	if (!elsewhere) {
		c->resource = &f->resource;
		return 0;
	}
	facts_of_resource(f);
	add_fixed(f, q);
	if (f->ops->taken(f->hv, q->domain, q->uuid, f->worker.host, &f->taken))
		c->taken = f->taken.text;
	return 0;
}

/* ---- probe frames ---------------------------------------------------------------------------- */

void facts_listen(struct facts *f, const Romulus__Check *q)
{
	struct why why;

	for (size_t i = 0; i < HV_MAX_NICS; i++) {
		f->listening[i] = -1;
		if (i >= q->n_bridges || !segment_is_bridge(q->bridges[i]))
			continue;
		f->listening[i] = segment_open(q->bridges[i], &why);
		if (f->listening[i] < 0)
			log_warning("%s: %s", f->worker.domain, why.text);
	}
}

void facts_send(struct facts *f)
{
	for (size_t i = 0; i < f->checked.n_bridges; i++) {
		Romulus__CheckBridge *b = &f->bridge[i];
		int r = f->listening[i] < 0 ? 0 : segment_send(f->listening[i], b->name, f->nonce);

		/* From one that is down nothing arrives, and that is what is wrong with it. */
		if (!r || r == -ENETDOWN || !b->tried)
			continue;
		log_warning("%s: cannot send probe frames from %.15s: %s", f->worker.domain,
			b->name, strerror(-r));
		b->tried = false;
	}
}

size_t facts_hear(struct facts *f, const Romulus__Check *q)
{
	size_t awaited = 0;

	for (size_t i = 0; i < f->checked.n_bridges; i++) {
		Romulus__CheckBridge *b = &f->bridge[i];

		if (f->listening[i] < 0)
			continue;
		b->heard = b->heard || segment_heard(f->listening[i], b->name, q->nonce.data);
		awaited += !b->heard;
	}
	return awaited;
}
