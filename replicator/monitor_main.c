/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-monitor: watches for the end of one domain's guest, tells romulusd what became of it, and
 * does what its configuration asks for where nobody else does (lifecycle.c). While it is restrained
 * a guest that starts again is paused at once. It outlives its daemon only as long as such a guest
 * is awaited: nobody else would pause it. Of a guest that was restored or saved with --checkpoint,
 * for which nobody else may be left, it is begun without a daemon, and gives way to a daemon's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"
#include "common/log.h"
#include "replicator/lifecycle.h"
#include "replicator/restrain.h"
#include "replicator/worker.h"

#define LOOK_SOON_MS 250
#define LOOK_MS 10000 /* should an event ever be missed */

struct monitor {
	struct worker worker;
	const struct hv_ops *ops;
	struct hv *hv;
	int events;
	bool alone; /* the daemon is gone */
	struct lifecycle life;
	enum hv_then then[HV_ENDS];
	char adopted[PATH_MAX]; /* a file: nobody else watches this guest */
	char watcher[PATH_MAX]; /* a file: the monitor of this guest is that process */
	struct why why;
};

static int complain(const struct monitor *m, int r)
{
	if (r)
		log_error("%s: %s", m->worker.domain, m->why.text);
	return r;
}

static void say(struct monitor *m, enum proto_report kind, const char *text)
{
	if (!m->alone && worker_say(&m->worker, kind, text, 0))
		m->alone = true;
}

static void adopt(struct monitor *m)
{
	int fd = open(m->adopted, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else
		log_error("%s: cannot note in %s that it is watched here", m->worker.domain,
			m->adopted);
}

static void learn(struct monitor *m)
{
	/* xl never leaves it unsaid; one that is just being built is asked again. */
	if (m->life.domid && m->ops->endings(m->hv, m->life.domid, m->then, &m->why))
		log_debug("%s: %s", m->worker.domain, m->why.text);
}

static void restarted(struct monitor *m)
{
	const struct worker *w = &m->worker;

	if (w->restrain)
		complain(m,
			restrain_pause(m->ops, m->hv, w->run_dir, w->uuid, m->life.domid, &m->why));
	say(m, PROTO_REPORT_GUEST_RESTARTED, "");
}

static void carry_out(struct monitor *m, unsigned int actions);

/* Nobody else has: its configuration is carried out here, and what starts is watched here. */
static void act(struct monitor *m)
{
	const struct worker *w = &m->worker;
	uint32_t domid = 0;

	/* Before: who ends the protection now must not end this process, and leave half a guest. */
	if (lifecycle_restarts(m->life.then))
		adopt(m);
	if (!complain(m, m->ops->finish(m->hv, m->life.domid, m->life.then, &domid, &m->why)))
		log_warning("%s: its end was carried out here, nobody else had for %d s", w->domain,
			(int)(LIFECYCLE_HAND_NS / NSEC_PER_SEC));
	if (!domid)
		unlink(m->adopted);
	carry_out(m, lifecycle_acted(&m->life, domid, clock_now_ns()));
	if (domid) /* as it was built: what restrains it is a pause of its own */
		complain(m, m->ops->unpause(m->hv, domid, &m->why));
}

static void carry_out(struct monitor *m, unsigned int actions)
{
	char text[WHY_MAX];

	lifecycle_text(&m->life, text, sizeof(text));
	if (actions & LIFECYCLE_SAY_RESTARTS)
		say(m, PROTO_REPORT_GUEST_RESTARTS, text);
	if (actions & LIFECYCLE_SAY_RESTARTED)
		restarted(m);
	if (actions & LIFECYCLE_SAY_ENDED) {
		unlink(m->adopted);
		say(m, PROTO_REPORT_GUEST_ENDED, text);
	}
	if (actions & LIFECYCLE_ACT)
		act(m);
}

static int look(struct monitor *m)
{
	const bool known = m->life.state == LIFECYCLE_RUNS;
	struct hv_sight sight;
	int r = m->ops->look(m->hv, m->worker.uuid, m->life.domid, &sight, &m->why);

	if (r)
		return r;
	/* It may have been changed since; an end that is not foreseen is that of xl's defaults. */
	if (known && sight.exists && sight.shut_down && sight.end != HV_END_SUSPEND)
		learn(m);
	carry_out(m, lifecycle_step(&m->life, m->then, &sight, clock_now_ns()));
	return 0;
}

static void obey(struct monitor *m)
{
	struct worker *w = &m->worker;
	int order;

	while (!m->alone && (order = worker_order(w, 0, NULL)) != 0) {
		m->alone = order < 0;
		if (order == PROTO_ORDER_RESTRAIN)
			w->restrain = true;
		if (order != PROTO_ORDER_SOLO)
			continue;
		w->restrain = false;
		complain(m, restrain_let_go(m->ops, m->hv, w->run_dir, w->uuid, &m->why));
	}
}

static int take_watch(struct monitor *m)
{
	CLEANUP_FCLOSE FILE *f = fopen(m->watcher, "we");

	if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fflush(f))
		return why_set(&m->why, -errno, "cannot write %s: %s", m->watcher, strerror(errno));
	return 0;
}

/* A daemon that was started again has a monitor of its own: two would pause a guest twice. */
static bool is_replaced(const struct monitor *m)
{
	CLEANUP_FCLOSE FILE *f = fopen(m->watcher, "re");
	int pid;

	return f && fscanf(f, "%d", &pid) == 1 && pid != (int)getpid();
}

/* One that is to be paused when it comes back is awaited even without a daemon. */
static bool is_over(const struct monitor *m)
{
	const bool needed =
		m->worker.unattended || (m->worker.restrain && lifecycle_waits(&m->life));

	return m->life.state == LIFECYCLE_OVER || (m->alone && (is_replaced(m) || !needed));
}

/* Before it is said of a guest that it is not there, it is looked for in another way. */
static uint32_t domid_by_name(struct monitor *m)
{
	struct hv_domain dom;
	uint32_t domid = 0;

	if (m->ops->find(m->hv, m->worker.domain, &dom, &m->why))
		return 0;
	if (strcmp(dom.uuid, m->worker.uuid) == 0)
		domid = dom.domid;
	hv_domain_clear(&dom);
	return domid;
}

static int run(struct monitor *m)
{
	struct hv_sight sight;
	struct pollfd fds[] = {
		{.fd = m->events, .events = POLLIN},
		{.fd = m->alone ? -1 : proto_session_fd(m->worker.daemon), .events = POLLIN},
	};
	int r = m->ops->look(m->hv, m->worker.uuid, 0, &sight, &m->why);

	if (r)
		return r;
	if (!sight.other)
		sight.other = domid_by_name(m);
	lifecycle_begin(&m->life, sight.other, clock_now_ns());
	learn(m);
	while (!r && !is_over(m)) {
		r = look(m);
		if (r || is_over(m))
			break;
		if (m->alone)
			fds[1].fd = -1;
		poll(fds, 2, lifecycle_waits(&m->life) ? LOOK_SOON_MS : LOOK_MS);
		m->ops->heed(m->hv);
		obey(m); /* before the next look: who has lost its daemon may be replaced */
	}
	return r;
}

int main(int argc, char **argv)
{
	/* What xl assumes where a configuration says nothing. */
	static struct monitor m = {.ops = &hv_xen_ops,
		.then = {
			[HV_END_POWEROFF] = HV_THEN_DESTROY,
			[HV_END_REBOOT] = HV_THEN_RESTART,
			[HV_END_SUSPEND] = HV_THEN_PRESERVE,
			[HV_END_CRASH] = HV_THEN_DESTROY,
			[HV_END_WATCHDOG] = HV_THEN_DESTROY,
			[HV_END_SOFT_RESET] = HV_THEN_SOFT_RESET,
		}};
	struct worker *w = &m.worker;
	int r = 0;

	log_open("romulus-monitor");
	if (worker_parse(w, argc, argv, &m.why) || !w->uuid) {
		log_error("%s", m.why.text);
		return EXIT_CODE_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(m.adopted, sizeof(m.adopted), "%s/adopted-%s", w->run_dir, w->uuid);
	snprintf(m.watcher, sizeof(m.watcher), "%s/monitor-%s", w->run_dir, w->uuid);
	if (complain(&m, take_watch(&m)))
		return EXIT_CODE_FAILED;
	m.alone = w->unattended;
	w->daemon = m.alone ? NULL : proto_session_new(WORKER_DAEMON_FD);
	m.hv = w->daemon || m.alone ? m.ops->open(&m.why) : NULL;
	if (m.hv)
		m.events = m.ops->watch(m.hv, &m.why);
	if (!m.hv || m.events < 0) {
		log_error("%s: %s", w->domain, m.why.text);
		return EXIT_CODE_FAILED;
	}
	if (w->adopt)
		adopt(&m);
	r = complain(&m, run(&m));
	m.ops->close(m.hv);
	proto_session_free(w->daemon);
	return r ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
