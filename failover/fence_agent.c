/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/fence_agent.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "failover/child.h"

#define STATUS_ON 0
#define STATUS_OFF 2

struct failover_fence {
	sd_event *event;
	const struct failover_fence_config *conf;
	const char *peer;
	struct failover_child *child;
	failover_fence_done *done;
	void *data;
};

static void finish(struct failover_fence *f, int result, const struct why *why)
{
	failover_fence_done *done = f->done;
	void *data = f->data;

	failover_fence_free(f);
	done(data, result, why);
}

static int run_action(
	struct failover_fence *f, const char *action, failover_child_done *then, struct why *why)
{
	CLEANUP_FREE char *input = NULL;
	size_t length = 0;
	FILE *m = open_memstream(&input, &length);

	if (!m)
		return why_set(why, -ENOMEM, "no memory to fence %s", f->peer);
	fprintf(m, "action=%s\n", action);
	for (size_t i = 0; i < f->conf->options_n; i++)
		fprintf(m, "%s\n", f->conf->options[i]);
	fclose(m);
	return failover_child_run(f->event, (char *const[]){f->conf->agent, NULL}, input,
		(uint64_t)f->conf->timeout_s * 1000, then, f, &f->child, why);
}

static void describe(struct failover_fence *f, const char *action, int status, const char *output,
	struct why *why)
{
	char how[64];

	if (status == FAILOVER_CHILD_TIMED_OUT)
		snprintf(how, sizeof(how), "did not finish within %ld s", f->conf->timeout_s);
	else if (status == FAILOVER_CHILD_KILLED)
		snprintf(how, sizeof(how), "was killed");
	else
		snprintf(how, sizeof(how), "exited with %d", status);
	why_set(why, -EIO, "%s action=%s for %s %s%s%s", f->conf->agent, action, f->peer, how,
		output[0] ? ": " : "", output);
}

static void on_status(void *data, int status, const char *output)
{
	struct failover_fence *f = data;
	struct why why;

	f->child = NULL;
	if (status == STATUS_OFF) {
		finish(f, 0, NULL);
		return;
	}
	if (status == STATUS_ON)
		why_set(&why, -EIO, "%s says %s is still on after action=off", f->conf->agent,
			f->peer);
	else
		describe(f, "status", status, output, &why);
	finish(f, -EIO, &why);
}

static void on_off(void *data, int status, const char *output)
{
	struct failover_fence *f = data;
	struct why why;

	f->child = NULL;
	if (status != 0) {
		describe(f, "off", status, output, &why);
		finish(f, -EIO, &why);
		return;
	}
	if (run_action(f, "status", on_status, &why) < 0)
		finish(f, -EIO, &why);
}

int failover_fence_start(sd_event *event, const struct failover_fence_config *conf,
	const char *peer, failover_fence_done *done, void *data, struct failover_fence **ret,
	struct why *why)
{
	struct failover_fence *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return why_set(why, -ENOMEM, "no memory to fence %s", peer);
	*f = (struct failover_fence){
		.event = event, .conf = conf, .peer = peer, .done = done, .data = data};
	r = run_action(f, "off", on_off, why);
	if (r < 0) {
		failover_fence_free(f);
		return r;
	}
	*ret = f;
	return 0;
}

struct failover_fence *failover_fence_free(struct failover_fence *f)
{
	if (!f)
		return NULL;
	failover_child_free(f->child);
	free(f);
	return NULL;
}
