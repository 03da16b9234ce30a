/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's shared context and the internal interfaces of its parts, one section per file. Who
 * owns what: main.c owns everything here; peers own their endpoints' use, domains their worker.
 */
#ifndef FAILOVER_DAEMON_H
#define FAILOVER_DAEMON_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "common/exit_codes.h"
#include "common/why.h"
#include "failover/arbiter.h"
#include "failover/config.h"
#include "failover/decide.h"
#include "failover/detector.h"
#include "failover/domain_machine.h"
#include "failover/domain_plan.h"
#include "failover/drill.h"
#include "failover/events.h"
#include "failover/replay.h"
#include "failover/state.h"
#include "failover/terms.h"
#include "failover/timeouts.h"
#include "failover/watchdog.h"
#include "proto/identity.h"
#include "proto/proto.h"

#define FAILOVER_MAX_DOMAINS 256u

/*
 * Of event sources, the smaller first. What has arrived is read before silence is judged;
 * strangers, however many, come after both: a daemon that is busy with them must not look dead to
 * its peer.
 */
#define FAILOVER_PRIORITY_TICK (SD_EVENT_PRIORITY_NORMAL + 1)
#define FAILOVER_PRIORITY_STRANGERS (SD_EVENT_PRIORITY_NORMAL + 2)

struct failover_domain;
struct failover_control;

/* One of our addresses, shared by the paths that start there. */
struct failover_endpoint {
	struct failover *fo;
	char *address;
	int udp;
	sd_event_source *udp_io, *tcp_io;
	bool complained;
	unsigned int datagrams; /* since the last tick */
};

struct failover_peer {
	struct failover *fo;
	const struct failover_peer_config *conf;
	struct sockaddr_storage remote[FAILOVER_MAX_PATHS];
	socklen_t remote_len[FAILOVER_MAX_PATHS];
	struct failover_endpoint *endpoint[FAILOVER_MAX_PATHS];
	struct failover_detector detector;
	struct failover_arbiter arbiter;
	struct failover_newest newest; /* heartbeat */
	struct failover_replay replay;
	enum proto_key key; /* the newest one for heartbeats that it is known to have */
	char *says[FAILOVER_MAX_PATHS], *hears[FAILOVER_MAX_PATHS]; /* contexts of tags */
	uint64_t forged, replayed; /* heartbeats from its addresses that were refused */
	uint64_t forged_said_ns, old_boot_said_ns;
	bool no_checks;     /* its last Hello did not say that it answers Check */
	uint64_t refused;   /* sessions from its addresses */
	struct why refusal; /* of the last of them: why */
	uint64_t complained_ns, complaints_kept;
	struct failover_gossip gossip[FAILOVER_MAX_DOMAINS];
	size_t gossip_n;
};

struct failover_etcd_watch {
	struct failover_events *events;
	struct failover_etcd_request *request;
	uint64_t asked_ns; /* 0: never */
	uint64_t cluster;  /* etcd's own name for itself; 0: not heard yet */
	bool known, answers;
	char why[WHY_MAX];
};

struct failover {
	const char *libexec;
	struct failover_config *config;
	struct proto_identity *identity; /* NULL: the transport is plain */
	struct failover_timeouts timeouts;
	struct failover_events events;
	sd_event *event;
	struct failover_etcd *etcd; /* NULL: not configured */
	struct failover_etcd_watch etcd_watch;
	struct failover_watchdog watchdog;
	char boot_id[FAILOVER_UUID_MAX];
	uint64_t boot, sequence;
	bool ends; /* in order: its last heartbeats say so */
	struct failover_endpoint *endpoints;
	size_t endpoints_n;
	uint64_t listen_again_ns;
	struct failover_peer *peers;
	size_t peers_n;
	struct failover_domain *domains; /* linked list */
	size_t domains_n, gossip_next;
	struct failover_check *checks; /* linked list */
	size_t checks_n;
	sd_event_source *tick;
	uint64_t malformed, strangers; /* datagrams dropped */
	uint64_t expiry_ns;            /* when to look at the certificate's again */
	struct failover_control *control;
};

/* ---- peers.c: heartbeats, who is alive ------------------------------------------------------ */

int failover_peers_open(struct failover *fo, struct why *why);
void failover_peers_close(struct failover *fo);
void failover_peers_tick(struct failover *fo, uint64_t now_ns);
/* There is a new key for heartbeats, which the peers may not know yet. */
void failover_peers_rekeyed(struct failover *fo);
/* A peer that has not got the last one yet; NULL: all have it. */
const char *failover_peers_behind(const struct failover *fo);
/* State what this host holds, now: a change is not kept for the next interval. */
void failover_peers_beat(struct failover *fo);
/* Who decides between this host and @p. */
struct failover_terms failover_peer_terms(const struct failover_peer *p);
struct failover_peer *failover_peer_find(struct failover *fo, const char *name);
const struct failover_gossip *failover_peer_gossip(const struct failover_peer *p, const char *uuid);
bool failover_peer_alive(const struct failover_peer *p);
bool failover_peer_silent(const struct failover_peer *p);

/* ---- etcd_watch.c: does it answer, before it is needed -------------------------------------- */

void failover_etcd_watch_tick(struct failover *fo, uint64_t now_ns);
void failover_etcd_watch_stop(struct failover *fo);
json_t *failover_etcd_watch_json(const struct failover *fo);

/* ---- address.c: numeric addresses ----------------------------------------------------------- */

int failover_address_parse(
	const char *address, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len);
/* The address without its port, the same text for every spelling. Returns @ret. */
#define FAILOVER_ADDRESS_MAX 64
const char *failover_address_text(const struct sockaddr_storage *a, char ret[FAILOVER_ADDRESS_MAX]);
bool failover_address_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b);

/* ---- listener.c: sessions that peers open --------------------------------------------------- */

struct failover_inbound;

int failover_listener_accept(struct failover_endpoint *e, int listening);
/* Drop all sessions, whatever they wait for. */
void failover_listener_close(struct failover *fo);
/* Answer the request and close. @in may be NULL: who asked has gone. */
void failover_inbound_answer(
	struct failover_inbound *in, enum proto_type type, const ProtobufCMessage *message);
void failover_inbound_refuse(
	struct failover_inbound *in, const char *uuid, uint64_t generation, const char *reason);
/* The same; @later: nothing is wrong, it may be asked again soon. */
void failover_inbound_put_off(struct failover_inbound *in, const char *uuid, uint64_t generation,
	const char *reason, bool later);
/* @slot is set to NULL when the asker goes away. */
void failover_inbound_keep(struct failover_inbound *in, struct failover_inbound **slot);
struct failover_peer *failover_inbound_peer(const struct failover_inbound *in);

/* ---- request.c: one question to a peer ------------------------------------------------------ */

struct failover_request;

/* @frame: the answer, or NULL with @why and @exit_code. The request is gone after this. */
typedef void failover_request_done(void *data, const struct proto_frame *frame,
	enum exit_code exit_code, const struct why *why);

/* Ask @peer over its paths, in order; @message is packed at once. NULL: no memory. */
struct failover_request *failover_request_start(struct failover_peer *peer, enum proto_type type,
	const ProtobufCMessage *message, failover_request_done *done, void *data);
struct failover_request *failover_request_free(struct failover_request *r);

/* ---- domain.c and its parts ----------------------------------------------------------------- */

struct failover_client;

/* Figures of the last reports, for status. */
struct failover_figures {
	uint64_t epoch, commit_ns, staging_bytes, staging_limit, pause_ns, suspend_ns, capture_ns,
		resume_ns, ship_ns, ack_ns, bytes;
	/* of disks; 0 without, or where the other host knows it */
	uint64_t boundary_ns, boundary_wait_ns, undo_bytes, undo_largest, undo_limit;
	uint64_t copy_pages, copy_total; /* of the first copy; 0 before it */
};

/* How the initial copy is made; see replicator/precopy.h. 0: no such limit. */
struct failover_copy {
	uint32_t max_rounds, dirty_threshold, max_downtime_ms;
	uint64_t bandwidth; /* bytes per second */
	bool no_live;       /* the guest stands still meanwhile */
};

/* What an operator wants of a move. */
struct failover_wishes {
	bool protect, no_protect; /* on the new host; neither: as here */
	struct failover_copy copy;
};

struct failover_domain {
	struct failover_domain *next;
	struct failover *fo;
	struct failover_record record;
	bool recorded;  /* the record is on disk, */
	bool unwritten; /* but not what it says by now */
	enum failover_state state;
	struct failover_debt debt;
	bool resumes;        /* it has not begun: what a restart promises could not be written */
	char why[WHY_MAX];   /* one line for status: why it is not protected */
	char cause[WHY_MAX]; /* primary: what ended the protection, until it is back; "" */
	struct failover_peer *peer;
	struct failover_claim claim;
	struct failover_figures figures;

	struct failover_worker *worker;
	bool worker_leaving; /* nothing more is expected of it */
	struct failover_child *command;
	struct failover_request *request;
	struct failover_inbound *asker; /* Prepare or Unprotect waits for our answer */
	bool asker_unprotects;
	struct failover_client *client; /* a command waits for the outcome */

	bool moves;    /* an operator has asked for that, and waits until it runs on the peer; */
	bool unwanted; /* not to be protected there, */
	bool passing;  /* nor is it here: it is for the move only */
	struct failover_copy copy;
	bool fetches; /* backup: an operator has asked for it here, and the primary is told */
	uint64_t fetch_until_ns; /* by then it has handed it over */
	uint64_t fetch_again_ns; /* primary: it is not tried before */
	bool reverses; /* it was moved here, and is to be protected whatever `reprotect` says */

	struct failover_peer *attempt_peer; /* primary: whom the attempt goes to */
	uint64_t attempt_generation;
	struct failover_attempts attempts; /* not_yet: which was said */
	bool guest_died;                   /* with the last boot of this host; not seen since */
	bool booting; /* it ended and is starting again: not ready yet, which was said */
	bool vacant;  /* the same as guest_died, and the backup has not said who has it now */
	enum exit_code exit_code; /* of the last failure */

	struct failover_worker *monitor; /* of the guest's end; see domain_monitor.c */
	char monitored[FAILOVER_UUID_MAX];
	uint64_t monitor_at_ns; /* not started again before */
	bool monitor_leaving;   /* nothing more is expected of it, and it ends by itself */
	bool restrained;        /* as it was last ordered */
	bool guest_ended;       /* it said that the guest is no more; none has been found since */

	/* from FOUND or Prepare */
	char uuid[FAILOVER_UUID_MAX], type[16], hypervisor[32];
	uint64_t memory_kb, staging_bytes;

	struct failover_announcement *announcement;
	struct failover_drill drill;
};

struct failover_domain *failover_domain_by_name(struct failover *fo, const char *name);
struct failover_domain *failover_domain_by_uuid(struct failover *fo, const char *uuid);
struct failover_domain *failover_domain_new(struct failover *fo, const char *name);
void failover_domain_free(struct failover_domain *d);

/* Drive the machine: false when the event means nothing in this state. */
bool failover_domain_on(struct failover_domain *d, enum failover_event event);
/* The step that would be; false as well. */
bool failover_domain_takes(
	const struct failover_domain *d, enum failover_event event, struct failover_step *ret);

void failover_domains_load(struct failover *fo);
void failover_domains_tick(struct failover *fo, uint64_t now_ns);
/* The arbiter has news: act on what it says to every domain that waits. */
void failover_domains_judge(struct failover_peer *peer);
/* @peer is heard again: what the arbiter was asked is of no use any more. */
void failover_domains_reunited(struct failover_peer *peer);
/* What a heartbeat says; compares every domain paired with @peer with its gossip. */
void failover_domains_heard(struct failover_peer *peer);
void failover_domains_free(struct failover *fo);
/* The standby of @uuid is here, for its primary on @peer. */
bool failover_domain_stands_by(const struct failover_peer *peer, const char *uuid);

/* A checkpoint is held on the other host, or for a primary that is heard. */
bool failover_domain_guarded(const struct failover_domain *d);
enum failover_state failover_domain_base(const struct failover_domain *d);
/* Its protection begins again by itself, if it is wanted. */
bool failover_domain_reprotects(const struct failover_domain *d);
/* Fill a heartbeat entry; false when there is nothing to state yet. */
bool failover_domain_state(const struct failover_domain *d, Romulus__DomainState *ret);
void failover_domain_settle(struct failover_domain *d, enum exit_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Write @r, as of this boot; then it is the domain's record. */
int failover_domain_persist(
	struct failover_domain *d, const struct failover_record *r, struct why *why);

/* requests of peers */
void failover_domain_prepare(
	struct failover *fo, struct failover_inbound *in, const Romulus__Prepare *m);
void failover_domain_unprotect_asked(
	struct failover *fo, struct failover_inbound *in, const Romulus__Unprotect *m);

/* commands of operators; the answer goes to @client, at once or later */
void failover_domain_protect(
	struct failover *fo, struct failover_client *client, const char *name, const char *host);
void failover_domain_unprotect(
	struct failover *fo, struct failover_client *client, const char *name);
void failover_domain_migrate(struct failover *fo, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *wishes);
/* Call off a move whose last epoch has not begun. */
void failover_domain_cancel(struct failover *fo, struct failover_client *client, const char *name);
void failover_domain_failover(
	struct failover *fo, struct failover_client *client, const char *name);
/* The operator's word that @host is off, for all of its domains. */
void failover_peer_confirm_dead(
	struct failover *fo, struct failover_client *client, const char *host);

/* ---- domain_work.c: workers, commands and their reports ------------------------------------- */

/* What a worker has to know of the domain's disks; all NULL when it has none. */
struct failover_disk_arguments {
	char *resource, *volumes, *undo_limit;
	char text[FAILOVER_MAX_VOLUMES * 128], limit[24];
};

const struct failover_disk_arguments *failover_disk_arguments(
	const struct failover_config *c, const char *name, struct failover_disk_arguments *ret);
/* At the end of an argument vector: without disks it ends here already. */
#define FAILOVER_DISK_ARGUMENTS(d)                                                                 \
	(d)->resource ? "--resource" : NULL, (d)->resource, "--volumes", (d)->volumes,             \
		"--undo-limit", (d)->undo_limit, NULL

int failover_domain_spawn_primary(struct failover_domain *d, struct why *why);
int failover_domain_spawn_backup(struct failover_domain *d, struct why *why);
int failover_domain_spawn_adopter(struct failover_domain *d, struct why *why);
void failover_domain_repair(struct failover_domain *d);
/* The standby or the stale guest; see failover_decide_standby. */
void failover_domain_discard(struct failover_domain *d);
/* Drop what a guest that has ended still had to say. */
void failover_domain_sweep(struct failover_domain *d);

/* Begin to protect @d on @peer, with d->copy; @client hears how that ends. */
void failover_domain_begin(
	struct failover_domain *d, struct failover_peer *peer, struct failover_client *client);

/* ---- domain_move.c: a planned switchover, a live migration ----------------------------------- */

extern const struct failover_copy failover_copy_default, failover_move_default;

/* A line for whoever waits for the move. */
void failover_domain_show(struct failover_domain *d, const char *stage);
/* The first checkpoint is acked: what is only moved goes at once. */
void failover_domain_copied(struct failover_domain *d);
/* Every tick: a move whose operator has gone, and what is left of one that came to nothing. */
void failover_domain_tend_move(struct failover_domain *d);

/* The peer says @g: whoever waits for a guest that was handed over hears what became of it. */
void failover_domain_arrival(struct failover_domain *d, const struct failover_gossip *g);
/* Something is under way of which the outcome is awaited; @why says so, or "". */
bool failover_domain_busy(const struct failover_domain *d, char why[WHY_MAX]);
/*
 * Every tick, when all that has arrived is read: if the backup's operator wants the guest there, it
 * is moved.
 */
void failover_domain_fetched(struct failover_domain *d, uint64_t now_ns);
/* Nobody is kept waiting for a peer that is silent. */
void failover_domain_await(struct failover_domain *d);

/* ---- domain_fetch.c: the same, asked for on the backup ----------------------------------------
 */

void failover_domain_fetch(struct failover *fo, struct failover_client *client, const char *name,
	const struct failover_wishes *wishes);
/* Every tick: nobody waits for it any more, or it has come to nothing. */
void failover_domain_tend_fetch(struct failover_domain *d);

/* ---- domain_monitor.c: the end of the guest, noticed and carried out ------------------------- */

/* Start the monitor or end it, and tell it what it may do, as the state wants it. */
void failover_domain_monitor(struct failover_domain *d, uint64_t now_ns);

/* ---- domain_start.c: a guest that died with its host ---------------------------------------- */

/*
 * The guest of a domain that this host owns died with the last boot: start it from its disks if the
 * configuration says how, else say what an operator does.
 */
void failover_domain_guest_died(struct failover_domain *d);

/* ---- announcement.c: tell the network where the guest is now -------------------------------- */

struct failover_announcement *failover_announcement_start(
	struct failover_domain *d, const Romulus__Report *running);
struct failover_announcement *failover_announcement_free(struct failover_announcement *a);

/* ---- check.c: can a guest be protected on a peer, or moved there ----------------------------- */

struct failover_check;

/* A command of an operator: the rows of preflight.h, then the last line. */
void failover_check(
	struct failover *fo, struct failover_client *client, const char *name, const char *host);
/*
 * What an operator asks of a guest begins with the same: @then when nothing is against it, else the
 * client hears what is. Nor is it held up by checks that could not be made, of which it hears.
 */
typedef void failover_check_then(struct failover *fo, struct failover_client *client,
	const char *name, const char *host, const struct failover_wishes *wishes);
/* @wishes: for @then, and copied; NULL: it has none. */
void failover_check_first(struct failover *fo, struct failover_client *client, const char *name,
	const char *host, const struct failover_wishes *wishes, failover_check_then *then);
/* @then is not to happen to @name any more: false when nothing was about to. */
bool failover_check_call_off(struct failover *fo, const char *name, failover_check_then *then);
/* An operator has asked for something of @name, and is about to get it. */
bool failover_check_awaited(const struct failover *fo, const char *name);
/* A peer asks the same about a guest of its own. */
void failover_check_asked(
	struct failover *fo, struct failover_inbound *in, const Romulus__Check *m);
/* Those that nobody waits for any more end, */
void failover_checks_tick(struct failover *fo, uint64_t now_ns);
/* or all. */
void failover_checks_free(struct failover *fo);

/* ---- control.c: the operator's socket ------------------------------------------------------- */

int failover_control_open(struct failover *fo, struct why *why);
void failover_control_close(struct failover *fo);
/* Send one line; @line is taken over. */
void failover_client_send(struct failover_client *c, json_t *line);
/* The last line. @text NULL or the sentence. NULL client: nobody waits. */
void failover_client_exit(struct failover_client *c, enum exit_code code, const char *text);
/* @slot is set to NULL when the client goes away. */
void failover_client_keep(struct failover_client *c, struct failover_client **slot);

/* ---- status.c ------------------------------------------------------------------------------- */

json_t *failover_status(struct failover *fo, const char *domain);
json_t *failover_event_json(const struct failover_events *ev, const struct failover_event_entry *e);

#endif
