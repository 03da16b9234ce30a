/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulusd: parse, configure, build, loop. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "common/clock.h"
#include "common/fault.h"
#include "common/log.h"
#include "failover/autostart.h"
#include "failover/daemon.h"
#include "failover/disk_command.h"
#include "failover/pki_command.h"
#include "failover/save_command.h"
#include "proto/pki.h"

static int usage(FILE *to, int code)
{
	fputs("usage: romulusd [-c FILE] [--check-config] [--check-autostart] [--timeouts] "
	      "[--libexec DIR] [--version]\n"
	      "  -c, --config FILE  read FILE instead of " FAILOVER_CONFIG_FILE "\n"
	      "  --check-config     say whether FILE is good (exit status 0 or 78) and end\n"
	      "  --check-autostart  exit status 1 if xendomains would start a protected guest\n"
	      "  --timeouts         print all times that follow from FILE and end\n"
	      "  --libexec DIR      where the workers are (" ROMULUS_LIBEXECDIR ")\n",
		to);
	return code;
}

static void say_status(struct failover *fo)
{
	unsigned int guarded = 0;
	size_t alive = 0;

	for (const struct failover_domain *d = fo->domains; d; d = d->next)
		guarded += failover_domain_guarded(d);
	for (size_t i = 0; i < fo->peers_n; i++)
		alive += failover_peer_alive(&fo->peers[i]);
	sd_notifyf(0, "STATUS=%zu of %zu peers heard, %u of %zu domains protected", alive,
		fo->peers_n, guarded, fo->domains_n);
}

static bool watched(const struct failover *fo)
{
	for (const struct failover_domain *d = fo->domains; d; d = d->next)
		if (failover_decide_arms_watchdog(d->state))
			return true;
	return false;
}

/* Once a day, so that nobody can say that he was not told. */
static void watch_expiry(struct failover *fo, uint64_t now)
{
	struct why why;

	if (!fo->identity || now < fo->expiry_ns)
		return;
	fo->expiry_ns = now + 24 * 3600 * NSEC_PER_SEC;
	if (proto_identity_warning(fo->identity, time(NULL), &why))
		failover_event(&fo->events, NULL, "certificate", "%s", why.text);
}

/* The heart: beats out, silence judged, waiting domains looked at. */
static int on_tick(sd_event_source *s, uint64_t usec, void *data)
{
	struct failover *fo = data;
	uint64_t now = clock_now_ns();

	/* What has arrived while this host was late is read before silence is judged: the sockets
	 * have a better priority than this timer. */
	failover_peers_tick(fo, now);
	failover_domains_tick(fo, now);
	failover_checks_tick(fo, now);
	failover_etcd_watch_tick(fo, now);
	failover_peers_beat(fo);
	failover_watchdog_tick(&fo->watchdog, watched(fo), now);
	watch_expiry(fo, now);
	if (fo->sequence % 20 == 0)
		say_status(fo);
	sd_event_source_set_time_relative(s, fo->timeouts.heartbeat * 1000);
	sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

/* SIGHUP: the certificates anew. What has begun goes on with the old ones. */
static int on_hangup(sd_event_source *s, const struct signalfd_siginfo *si, void *data)
{
	struct failover *fo = data;
	const struct failover_config *c = fo->config;
	struct proto_identity *id;
	char day[PROTO_DAY_MAX];
	struct why why;
	bool changed;

	if (!fo->identity)
		return 0;
	if (proto_identity_load(c->pki_dir, c->host, &id, &why) < 0) {
		failover_event(&fo->events, NULL, "certificate",
			"the old certificate stays in use: %s", why.text);
		return 0;
	}
	changed = proto_identity_follow(id, fo->identity);
	if (changed && failover_peers_behind(fo)) {
		/* A third key would be one too many for it: it would take this host for dead. */
		failover_event(&fo->events, NULL, "certificate",
			"the old certificate stays in use: %s has not got the heartbeat key before "
			"this one; systemctl reload romulusd there first, then here",
			failover_peers_behind(fo));
		proto_identity_free(id);
		return 0;
	}
	if (changed)
		failover_peers_rekeyed(fo);
	proto_identity_free(fo->identity);
	fo->identity = id;
	fo->expiry_ns = 0;
	failover_event(&fo->events, NULL, "certificate",
		"read again from %s: sessions that begin from here on use it, until %s", c->pki_dir,
		proto_pki_day(proto_identity_expires(id), day));
	return 0;
}

static int run(struct failover *fo, struct why *why)
{
	const struct failover_config *c = fo->config;
	sigset_t mask;
	int r;

	/* First: one that an earlier romulusd has armed is not fed meanwhile. */
	if (failover_watchdog_open(&fo->watchdog, &failover_watchdog_xen, c->run_dir,
		    failover_config_watchdog_s(c), &fo->events, why) < 0)
		failover_event(&fo->events, NULL, "watchdog", "%s", why->text);
	if (!failover_config_is_plain(c)) {
		r = proto_identity_load(c->pki_dir, c->host, &fo->identity, why);
		if (r < 0)
			return r;
	}
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGHUP);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN);
	r = sd_event_default(&fo->event);
	if (r < 0)
		return why_set(why, r, "no event loop: %s", strerror(-r));
	sd_event_add_signal(fo->event, NULL, SIGTERM, NULL, NULL);
	sd_event_add_signal(fo->event, NULL, SIGINT, NULL, NULL);
	sd_event_add_signal(fo->event, NULL, SIGHUP, on_hangup, fo);
	sd_event_set_watchdog(fo->event, 1);
	if (failover_state_start(c->state_dir, clock_wall_ns(), &fo->boot, why) < 0)
		log_warning("%s", why->text);
	r = failover_control_open(fo, why);
	if (r >= 0)
		r = failover_peers_open(fo, why);
	if (r < 0)
		return r;
	failover_domains_load(fo);
	r = sd_event_add_time_relative(fo->event, &fo->tick, CLOCK_MONOTONIC, 0, 1000, on_tick, fo);
	if (r < 0)
		return why_set(why, r, "no timer: %s", strerror(-r));
	sd_event_source_set_priority(fo->tick, FAILOVER_PRIORITY_TICK);
	sd_notify(0, "READY=1");
	log_notice("romulusd " ROMULUS_VERSION " on %s, transport %s%s", c->host, c->transport,
		fo->identity ? "" : ": NEITHER ENCRYPTED NOR AUTHENTICATED");
	return sd_event_loop(fo->event);
}

static void dispose(struct failover *fo)
{
	sd_notify(0, "STOPPING=1");
	fo->ends = true;
	failover_peers_beat(fo);    /* or an upgrade would look like a lost host */
	failover_control_close(fo); /* clients and what peers have asked point into domains */
	failover_listener_close(fo);
	failover_checks_free(fo);
	failover_domains_free(fo);
	failover_peers_close(fo);
	sd_event_source_disable_unref(fo->tick);
	sd_event_unref(fo->event);
	failover_events_clear(&fo->events);
	fo->identity = proto_identity_free(fo->identity);
	fo->config = failover_config_free(fo->config);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check-config", no_argument, NULL, 'k'},
		{"check-autostart", no_argument, NULL, 'a'},
		{"timeouts", no_argument, NULL, 't'},
		{"libexec", required_argument, NULL, 'l'},
		{"disk", no_argument, NULL, 'd'},
		{"pki", no_argument, NULL, 'p'},
		{"save", no_argument, NULL, 's'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static struct failover fo = {.libexec = ROMULUS_LIBEXECDIR};
	const char *file = FAILOVER_CONFIG_FILE;
	bool check = false, autostart = false, timeouts = false, disk = false, pki = false;
	bool save = false;
	struct why why = {""};
	int c, r;

	log_open("romulusd");
	while (!disk && !pki && !save &&
		(c = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			file = optarg;
			break;
		case 'k':
			check = true;
			break;
		case 'a':
			autostart = true;
			break;
		case 't':
			timeouts = true;
			break;
		case 'l':
			fo.libexec = optarg;
			break;
		case 'd': /* what follows is for romulus-disk */
			disk = true;
			break;
		case 'p': /* what follows is a verb of `romulus pki` */
			pki = true;
			break;
		case 's': /* what follows is for romulus-save */
			save = true;
			break;
		case 'V':
			puts("romulusd " ROMULUS_VERSION);
			return 0;
		case 'h':
			return usage(stdout, 0);
		default:
			return usage(stderr, EXIT_CODE_USAGE);
		}
	}
	if (optind != argc && !disk && !pki && !save)
		return usage(stderr, EXIT_CODE_USAGE);
	r = failover_config_load(file, &fo.config, &why);
	if (r == -ENOENT && autostart) /* installed, and never set up */
		return 0;
	if (r == -ENOENT && save) /* it can do without */
		return failover_save_command(NULL, fo.libexec, argv + optind);
	if (r < 0) {
		if (check || autostart || timeouts || disk || pki || save)
			fprintf(check || autostart || timeouts ? stdout : stderr, "%s\n", why.text);
		else
			log_error("%s", why.text);
		return EXIT_CODE_CONFIG;
	}
	if (disk)
		return failover_disk_command(fo.config, fo.libexec, argv + optind);
	if (pki)
		return failover_pki_command(fo.config, argv + optind);
	if (save)
		return failover_save_command(fo.config, fo.libexec, argv + optind);
	if (check) {
		failover_config_print(fo.config);
		failover_config_free(fo.config);
		return 0;
	}
	if (autostart) {
		r = failover_autostart_check(fo.config);
		failover_config_free(fo.config);
		return r;
	}
	failover_timeouts_init(&fo.timeouts, fo.config);
	if (timeouts) {
		failover_timeouts_print(stdout, &fo.timeouts);
		failover_config_free(fo.config);
		return 0;
	}
	if (fault_init(&why) < 0) {
		log_error("%s", why.text);
		return EXIT_CODE_USAGE;
	}
	fo.events.host = fo.config->host;
	failover_boot_id(fo.boot_id);
	r = run(&fo, &why);
	if (r < 0)
		log_error("%s", why.text[0] ? why.text : strerror(-r));
	else /* after a failure the next romulusd goes on with it */
		failover_watchdog_close(&fo.watchdog);
	dispose(&fo);
	return r < 0 ? EXIT_CODE_FAILED : 0;
}
