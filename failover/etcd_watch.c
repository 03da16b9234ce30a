/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether etcd would answer if it were asked: an operator must know before a host is lost. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "failover/daemon.h"

static void on_answer(void *data, const struct failover_etcd_answer *answer, const struct why *why)
{
	struct failover_etcd_watch *w = data;
	const bool before = w->answers, first = !w->known;

	w->request = NULL;
	w->known = true;
	w->answers = answer != NULL;
	if (answer && answer->cluster)
		w->cluster = answer->cluster;
	snprintf(w->why, sizeof(w->why), "%s", answer ? "" : why->text);
	if (w->answers && !before)
		failover_event(w->events, NULL, "etcd-answers", "etcd answers");
	else if (!w->answers && (before || first))
		failover_event(w->events, NULL, "etcd-failed",
			"etcd does not answer: were a host lost now, its guests would not go on "
			"(%.350s)",
			w->why);
}

void failover_etcd_watch_tick(struct failover *fo, uint64_t now_ns)
{
	static const struct failover_etcd_entry nobody = {.uuid = "probe"};
	struct failover_etcd_watch *w = &fo->etcd_watch;
	const uint64_t pause = w->answers ? fo->timeouts.etcd_probe : fo->timeouts.etcd_last;
	struct why why;

	if (!fo->etcd || w->request ||
		(w->asked_ns && now_ns - w->asked_ns < pause * NSEC_PER_MSEC))
		return;
	w->events = &fo->events;
	w->asked_ns = now_ns;
	if (failover_etcd_ask(
		    fo->etcd, &nobody, FAILOVER_ETCD_PROBE, on_answer, w, &w->request, &why) < 0)
		on_answer(w, NULL, &why);
}

void failover_etcd_watch_stop(struct failover *fo)
{
	fo->etcd_watch.request = failover_etcd_cancel(fo->etcd_watch.request);
}

json_t *failover_etcd_watch_json(const struct failover *fo)
{
	const struct failover_etcd_watch *w = &fo->etcd_watch;

	return json_pack("{s:I, s:b, s:b, s:s}", "endpoints",
		(json_int_t)fo->config->etcd.endpoints_n, "known", w->known, "answers", w->answers,
		"why", w->why);
}
