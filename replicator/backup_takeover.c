/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-backup, when romulusd has been granted the takeover: disks, memory, devices, running. */
#include "replicator/backup.h"

#include <errno.h>
#include <stdio.h>

#include "common/exit_codes.h"
#include "replicator/adopt.h"

static void report_running(struct backup *b, const struct hv_domain *dom)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;
	char *vifs[HV_MAX_NICS], *macs[HV_MAX_NICS], *bridges[HV_MAX_NICS];
	size_t i;

	for (i = 0; i < dom->nic_count; i++) {
		vifs[i] = (char *)dom->nics[i].vif;
		macs[i] = (char *)dom->nics[i].mac;
		bridges[i] = (char *)dom->nics[i].bridge;
	}
	report.kind = PROTO_REPORT_RUNNING;
	report.domid = dom->domid;
	report.domain = (char *)dom->name;
	report.epoch = b->epoch.acked;
	report.n_vifs = report.n_macs = report.n_bridges = dom->nic_count;
	report.vifs = vifs;
	report.macs = macs;
	report.bridges = bridges;
	worker_report(&b->worker, &report);
}

/* The disks first: once the checkpoint is fed to its end, libxl attaches them. */
static int take_over_disks(struct backup *b)
{
	char text[WHY_MAX];
	uint64_t bytes;
	int r;

	if (!b->disks)
		return 0;
	r = diskrep_backup_take_over(b->disks, b->epoch.acked, &bytes, &b->why);
	if (r)
		return r;
	snprintf(text, sizeof(text), "disks are those of the checkpoint, %llu KiB rolled back",
		(unsigned long long)(bytes >> 10));
	worker_say(&b->worker, PROTO_REPORT_STAGE, text, 0);
	return 0;
}

static int take_over(struct backup *b)
{
	struct standby_news news;
	int r;

	backup_end_drill(b); /* or what is fed last would wait for it */
	r = take_over_disks(b);
	if (r)
		return r;
	if (!feed_complete(b->feed))
		return why_set(&b->why, -EIO,
			"the standby of '%s' did not take its last checkpoint", b->worker.domain);
	worker_say(&b->worker, PROTO_REPORT_STAGE, "checkpoint complete in the standby", 0);
	while ((r = standby_news(&b->standby, &news)) > 0 && news.stage == STANDBY_RESTORED) {
		worker_say(&b->worker, PROTO_REPORT_STAGE, "devices attached", 0);
		standby_go(&b->standby);
	}
	if (r <= 0 || news.stage != STANDBY_RUNNING)
		return why_set(&b->why, -EIO, "'%s' could not be resumed: %s", b->worker.domain,
			r > 0 ? news.why.text : "its restore process died");
	report_running(b, &news.dom);
	return 0;
}

int backup_take_over(struct backup *b)
{
	int r;

	b->stream = proto_session_free(b->stream);
	r = adopt_begin(&b->worker, &b->why);
	if (!r) {
		r = take_over(b);
		adopt_end(&b->worker);
	}
	return r ? backup_fail(b, r) : EXIT_CODE_OK;
}

int backup_adopt(struct backup *b)
{
	struct hv_domain dom;
	int r = adopt_await(&b->worker, &b->why);

	if (!r) {
		adopt_end(&b->worker);
		r = adopt_guest(&b->worker, b->ops, b->hv, &dom, &b->why);
	}
	if (r)
		return backup_fail(b, r);
	report_running(b, &dom);
	hv_domain_clear(&dom);
	return EXIT_CODE_OK;
}
