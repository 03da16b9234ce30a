/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heartbeats: one datagram on every path of every peer, every interval, stating what this host
 * holds and has promised. No datagram is precious: all is stated again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/log.h"
#include "failover/daemon.h"

/* Entries of one datagram, so that it stays within PROTO_MAX_DATAGRAM; the rest comes with the next
 * one. An entry is at most 38 + 4 varints + one of its last three fields: 68 bytes. */
#define BEAT_DOMAINS 16u
/* Datagrams between two ticks; more are no heartbeats, and wait for the tick. */
#define FLOOD 1024u
#define SAID_NS (60 * NSEC_PER_SEC)

struct failover_peer *failover_peer_find(struct failover *fo, const char *name)
{
	for (size_t i = 0; i < fo->peers_n; i++)
		if (strcmp(fo->peers[i].conf->name, name) == 0)
			return &fo->peers[i];
	return NULL;
}

struct failover_terms failover_peer_terms(const struct failover_peer *p)
{
	const struct failover_config *c = p->fo->config;
	const bool etcd = failover_config_asks_etcd(p->conf->arbiter);

	return (struct failover_terms){
		.host = c->host,
		.arbiter = failover_config_arbiter(p->conf->arbiter),
		.etcd_prefix = etcd ? c->etcd.prefix : "",
		.etcd_cluster = etcd ? p->fo->etcd_watch.cluster : 0,
	};
}

const struct failover_gossip *failover_peer_gossip(const struct failover_peer *p, const char *uuid)
{
	for (size_t i = 0; i < p->gossip_n; i++)
		if (strcmp(p->gossip[i].uuid, uuid) == 0)
			return &p->gossip[i];
	return NULL;
}

bool failover_peer_alive(const struct failover_peer *p)
{
	return p->detector.view == FAILOVER_VIEW_ALIVE;
}

bool failover_peer_silent(const struct failover_peer *p)
{
	return p->detector.view == FAILOVER_VIEW_SILENT;
}

/* ---- sending ------------------------------------------------------------------------------- */

static void send_beat(struct failover_peer *p, size_t path, Romulus__Heartbeat *beat)
{
	CLEANUP_FREE uint8_t *frame = NULL;
	uint8_t tag[PROTO_TAG_BYTES];
	struct iovec iov[2];
	struct msghdr msg = {.msg_name = &p->remote[path],
		.msg_namelen = p->remote_len[path],
		.msg_iov = iov,
		.msg_iovlen = 1};
	size_t length;

	if (p->endpoint[path]->udp < 0)
		return;
	beat->path = p->conf->paths[path].name;
	beat->peer_boot = p->replay.boot;
	if (proto_pack(PROTO_HEARTBEAT, 0, &beat->base, &frame, &length) < 0)
		return;
	iov[0] = (struct iovec){.iov_base = frame, .iov_len = length};
	if (p->fo->identity) {
		if (proto_identity_tag(p->fo->identity, p->key, p->says[path], frame, length, tag) <
			0)
			return;
		iov[1] = (struct iovec){.iov_base = tag, .iov_len = sizeof(tag)};
		msg.msg_iovlen = 2;
	}
	/* A full buffer or an absent route is what silence looks like: the peer will notice. */
	(void)!sendmsg(p->endpoint[path]->udp, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void failover_peers_beat(struct failover *fo)
{
	Romulus__Heartbeat beat = ROMULUS__HEARTBEAT__INIT;
	Romulus__DomainState states[BEAT_DOMAINS], *list[BEAT_DOMAINS];
	const struct failover_domain *d = fo->domains;
	size_t skip = fo->domains_n > BEAT_DOMAINS ? fo->gossip_next % fo->domains_n : 0;
	size_t left = fo->domains_n;

	for (size_t i = 0; d && i < skip; i++)
		d = d->next;
	for (; left > 0 && beat.n_domains < BEAT_DOMAINS; left--) {
		romulus__domain_state__init(&states[beat.n_domains]);
		if (failover_domain_state(d, &states[beat.n_domains])) {
			list[beat.n_domains] = &states[beat.n_domains];
			beat.n_domains++;
		}
		d = d->next ? d->next : fo->domains;
		fo->gossip_next++;
	}
	beat.host = fo->config->host;
	beat.boot = fo->boot;
	beat.sequence = ++fo->sequence;
	beat.domains = list;
	beat.ends = fo->ends;
	beat.key = fo->identity ? proto_identity_key_number(fo->identity) : 0;
	for (size_t i = 0; i < fo->peers_n; i++)
		for (size_t k = 0; k < fo->peers[i].conf->paths_n; k++)
			send_beat(&fo->peers[i], k, &beat);
}

/* ---- receiving ----------------------------------------------------------------------------- */

static void note_gossip(struct failover_peer *p, const Romulus__DomainState *s)
{
	struct failover_gossip *g = (struct failover_gossip *)failover_peer_gossip(p, s->uuid);

	if (!failover_uuid_valid(s->uuid) || s->role > PROTO_ROLE_BACKUP ||
		s->state > PROTO_STATE_TAKEN_OVER || s->guest > PROTO_GUEST_FAILED ||
		s->wish > PROTO_WISH_END || s->generation > FAILOVER_GENERATION_MAX)
		return;
	if (!g) {
		if (p->gossip_n == FAILOVER_MAX_DOMAINS)
			return;
		g = &p->gossip[p->gossip_n++];
		strcpy(g->uuid, s->uuid); /* checked above */
	}
	g->generation = s->generation;
	g->epoch = s->epoch;
	g->role = (enum proto_role)s->role;
	g->state = (enum proto_state)s->state;
	g->wish = (enum proto_wish)s->wish;
	g->guest = (enum proto_guest)s->guest;
	g->fetches = s->fetches;
}

/* True when @said_ns is long enough ago; it is then now. */
static bool may_say(uint64_t *said_ns)
{
	uint64_t now = clock_now_ns();

	if (*said_ns && now - *said_ns < SAID_NS)
		return false;
	*said_ns = now;
	return true;
}

/* An eavesdropper's doing while the peer is heard; else it is the peer that has lost count. */
static void note_old_boot(struct failover_peer *p)
{
	if (failover_peer_alive(p) || !may_say(&p->old_boot_said_ns))
		return;
	failover_event(&p->fo->events, NULL, "heartbeat-refused",
		"heartbeats of %s are of a start before the last one that was heard here: somebody "
		"repeats them, or its clock was set back and its state-dir was lost; in that case "
		"restart romulusd here",
		p->conf->name);
}

static void heard(struct failover_peer *p, size_t path, const Romulus__Heartbeat *beat,
	enum proto_key signed_with)
{
	struct failover *fo = p->fo;

	/* Without a tag anybody can say anything, in any order. */
	if (fo->identity) {
		enum failover_freshness f = failover_replay_judge(
			&p->replay, path, beat->boot, beat->sequence, beat->peer_boot, fo->boot);

		p->replayed += f == FAILOVER_BEAT_OLD;
		if (f == FAILOVER_BEAT_OLD && beat->boot < p->replay.boot)
			note_old_boot(p);
		/* Say it with a key that it has; one that has just been started has not heard us.
		 */
		if (f != FAILOVER_BEAT_OLD)
			p->key = beat->key == proto_identity_key_number(fo->identity)
					 ? PROTO_KEY_NOW
					 : signed_with;
		if (f != FAILOVER_BEAT_FRESH)
			return;
	}
	if (failover_detector_heard(&p->detector, path, clock_now_ns())) {
		failover_arbiter_heard(&p->arbiter);
		failover_domains_reunited(p);
		failover_event(&fo->events, NULL, "peer-heard", "%s is heard on path %s",
			p->conf->name, p->conf->paths[path].name);
	}
	if (failover_detector_pardon(&p->detector, beat->ends, clock_now_ns()))
		failover_event(&fo->events, NULL, "peer-ends",
			"romulusd on %s ends in order: for %lu ms its silence means nothing",
			p->conf->name, (unsigned long)fo->timeouts.start_grace);
	switch (failover_newest_take(&p->newest, beat->boot, beat->sequence)) {
	case FAILOVER_NEWS_NONE:
		return;
	case FAILOVER_NEWS_RESTARTED:
		p->gossip_n = 0;
		break;
	case FAILOVER_NEWS:
		break;
	}
	for (size_t i = 0; i < beat->n_domains; i++)
		note_gossip(p, beat->domains[i]);
	failover_domains_heard(p);
}

/* Mistakes are constant and say the same thing every heartbeat. */
static void note_forgery(struct failover_peer *p, size_t path)
{
	p->forged++;
	if (!may_say(&p->forged_said_ns))
		return;
	failover_event(&p->fo->events, NULL, "heartbeat-refused",
		"a heartbeat from the address of %s on path %s is not signed with the key of this "
		"cluster, so %s counts as silent: transport is \"plain\" there, its pki is another "
		"cluster's, or somebody forges it",
		p->conf->name, p->conf->paths[path].name, p->conf->name);
}

/* Is it the peer's? *length is then that of the frame alone. */
static bool is_signed(struct failover_peer *p, size_t path, const uint8_t *data, size_t *length,
	enum proto_key *ret_key)
{
	if (!p->fo->identity)
		return true;
	if (*length > PROTO_TAG_BYTES &&
		proto_identity_tag_good(p->fo->identity, p->hears[path], data,
			*length - PROTO_TAG_BYTES, data + *length - PROTO_TAG_BYTES, ret_key)) {
		*length -= PROTO_TAG_BYTES;
		return true;
	}
	note_forgery(p, path);
	return false;
}

static void take_datagram(struct failover_endpoint *e, const uint8_t *data, size_t length,
	const struct sockaddr_storage *from)
{
	struct failover *fo = e->fo;
	enum proto_key key = PROTO_KEY_NOW;
	struct proto_header header;
	ProtobufCMessage *m = NULL;

	for (size_t i = 0; i < fo->peers_n; i++) {
		struct failover_peer *p = &fo->peers[i];

		for (size_t k = 0; k < p->conf->paths_n; k++) {
			if (p->endpoint[k] != e || !failover_address_same(from, &p->remote[k]))
				continue;
			if (!is_signed(p, k, data, &length, &key))
				return;
			if (length >= PROTO_HEADER_BYTES &&
				proto_header_decode(data, 0, &header, NULL) == 0 &&
				header.type == PROTO_HEARTBEAT &&
				header.length == length - PROTO_HEADER_BYTES &&
				proto_payload_check(&header, data + PROTO_HEADER_BYTES, NULL) == 0)
				m = proto_unpack(
					PROTO_HEARTBEAT, data + PROTO_HEADER_BYTES, header.length);
			if (m && strcmp(((Romulus__Heartbeat *)m)->host, p->conf->name) == 0)
				heard(p, k, (const Romulus__Heartbeat *)m, key);
			else
				fo->malformed++;
			if (m)
				protobuf_c_message_free_unpacked(m, NULL);
			return;
		}
	}
	fo->strangers++;
}

static int on_datagram(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	uint8_t buffer[PROTO_MAX_DATAGRAM + 1];
	struct failover_endpoint *e = data;

	/* Bounded, so that a flood cannot keep the loop from its timers. */
	for (int i = 0; i < 64; i++) {
		struct sockaddr_storage from;
		socklen_t from_len = sizeof(from);
		ssize_t n = recvfrom(fd, buffer, sizeof(buffer), MSG_DONTWAIT,
			(struct sockaddr *)&from, &from_len);

		if (n < 0)
			break;
		take_datagram(e, buffer, (size_t)n, &from);
		e->datagrams++;
	}
	if (e->datagrams > FLOOD)
		sd_event_source_set_priority(s, FAILOVER_PRIORITY_STRANGERS);
	return 0;
}

/* ---- endpoints ----------------------------------------------------------------------------- */

static int on_connection(sd_event_source *s, int fd, uint32_t revents, void *data)
{
	return failover_listener_accept(data, fd);
}

static int endpoint_listen(struct failover_endpoint *e, struct why *why)
{
	uint16_t port = (uint16_t)e->fo->config->port;
	int fd;

	if (e->udp < 0) {
		e->udp = proto_datagram(e->address, port, why);
		if (e->udp < 0)
			return e->udp;
		sd_event_add_io(e->fo->event, &e->udp_io, e->udp, EPOLLIN, on_datagram, e);
	}
	if (!e->tcp_io) {
		fd = proto_listen(e->address, &port, why);
		if (fd < 0)
			return fd;
		sd_event_add_io(e->fo->event, &e->tcp_io, fd, EPOLLIN, on_connection, e);
		sd_event_source_set_io_fd_own(e->tcp_io, 1);
		sd_event_source_set_priority(e->tcp_io, FAILOVER_PRIORITY_STRANGERS);
	}
	return 0;
}

static void listen_again(struct failover *fo, uint64_t now_ns)
{
	struct why why;

	if (now_ns < fo->listen_again_ns)
		return;
	fo->listen_again_ns = now_ns + fo->timeouts.listen_retry * NSEC_PER_MSEC;
	for (size_t i = 0; i < fo->endpoints_n; i++) {
		struct failover_endpoint *e = &fo->endpoints[i];

		if (e->udp >= 0 && e->tcp_io)
			continue;
		if (endpoint_listen(e, &why) == 0) {
			if (e->complained)
				failover_event(&fo->events, NULL, "listening",
					"%s port %ld is ours now", e->address, fo->config->port);
		} else if (!e->complained) {
			e->complained = true;
			failover_event(&fo->events, NULL, "not-listening",
				"%s; paths from %s stay silent; it is tried again every second",
				why.text, e->address);
		}
	}
}

/* Who says it to whom, from where to where: a heartbeat is good in one place only. */
static char *context(const char *from, const char *to, const struct sockaddr_storage *here,
	const struct sockaddr_storage *there)
{
	char source[FAILOVER_ADDRESS_MAX], target[FAILOVER_ADDRESS_MAX];
	char *text;

	if (asprintf(&text, "romulus heartbeat 1\n%s\n%s\n%s\n%s", from, to,
		    failover_address_text(here, source), failover_address_text(there, target)) < 0)
		abort();
	return text;
}

static struct failover_endpoint *endpoint_of(struct failover *fo, const char *address)
{
	struct failover_endpoint *e;

	for (size_t i = 0; i < fo->endpoints_n; i++)
		if (strcmp(fo->endpoints[i].address, address) == 0)
			return &fo->endpoints[i];
	e = &fo->endpoints[fo->endpoints_n++];
	*e = (struct failover_endpoint){.fo = fo, .address = strdup(address), .udp = -1};
	return e;
}

static void on_news(void *data)
{
	failover_domains_judge(data);
}

int failover_peers_open(struct failover *fo, struct why *why)
{
	const struct failover_config *c = fo->config;

	fo->peers_n = c->peers_n;
	fo->peers = calloc(c->peers_n ? c->peers_n : 1, sizeof(*fo->peers));
	fo->endpoints = calloc(FAILOVER_MAX_PEERS * FAILOVER_MAX_PATHS, sizeof(*fo->endpoints));
	if (!fo->peers || !fo->endpoints)
		return why_set(why, -ENOMEM, "no memory for the peers");
	for (size_t i = 0; i < c->peers_n && !fo->etcd; i++)
		if (failover_config_asks_etcd(c->peers[i].arbiter)) {
			int r = failover_etcd_new(fo->event, &c->etcd, &fo->etcd, why);

			if (r < 0)
				return r;
		}
	for (size_t i = 0; i < c->peers_n; i++) {
		struct failover_peer *p = &fo->peers[i];

		p->fo = fo;
		p->conf = &c->peers[i];
		for (size_t k = 0; k < p->conf->paths_n; k++) {
			struct sockaddr_storage local;
			socklen_t length;

			p->endpoint[k] = endpoint_of(fo, p->conf->paths[k].local);
			failover_address_parse(p->conf->paths[k].remote, (uint16_t)c->port,
				&p->remote[k], &p->remote_len[k]);
			failover_address_parse(p->conf->paths[k].local, 0, &local, &length);
			p->says[k] = context(c->host, p->conf->name, &local, &p->remote[k]);
			p->hears[k] = context(p->conf->name, c->host, &p->remote[k], &local);
		}
		failover_detector_init(
			&p->detector, p->conf->paths_n, &fo->timeouts, clock_now_ns());
		failover_arbiter_init(&p->arbiter, fo->event, p->conf, &fo->timeouts, &fo->events,
			fo->etcd, on_news, p);
	}
	listen_again(fo, clock_now_ns());
	return 0;
}

void failover_peers_close(struct failover *fo)
{
	failover_listener_close(fo);
	for (size_t i = 0; fo->peers && i < fo->peers_n; i++) {
		failover_arbiter_dispose(&fo->peers[i].arbiter);
		for (size_t k = 0; k < FAILOVER_MAX_PATHS; k++) {
			free(fo->peers[i].says[k]);
			free(fo->peers[i].hears[k]);
		}
	}
	for (size_t i = 0; fo->endpoints && i < fo->endpoints_n; i++) {
		struct failover_endpoint *e = &fo->endpoints[i];

		sd_event_source_disable_unref(e->udp_io);
		sd_event_source_disable_unref(e->tcp_io);
		if (e->udp >= 0)
			close(e->udp);
		free(e->address);
	}
	failover_etcd_watch_stop(fo);
	fo->etcd = failover_etcd_free(fo->etcd);
	free(fo->endpoints);
	free(fo->peers);
}

void failover_peers_rekeyed(struct failover *fo)
{
	for (size_t i = 0; i < fo->peers_n; i++)
		fo->peers[i].key = PROTO_KEY_BEFORE;
}

const char *failover_peers_behind(const struct failover *fo)
{
	for (size_t i = 0; i < fo->peers_n; i++)
		if (fo->peers[i].key == PROTO_KEY_BEFORE)
			return fo->peers[i].conf->name;
	return NULL;
}

void failover_peers_tick(struct failover *fo, uint64_t now_ns)
{
	listen_again(fo, now_ns);
	for (size_t i = 0; i < fo->endpoints_n; i++) {
		fo->endpoints[i].datagrams = 0;
		if (fo->endpoints[i].udp_io)
			sd_event_source_set_priority(
				fo->endpoints[i].udp_io, SD_EVENT_PRIORITY_NORMAL);
	}
	for (size_t i = 0; i < fo->peers_n; i++) {
		struct failover_peer *p = &fo->peers[i];

		if (failover_detector_tick(&p->detector, now_ns))
			failover_event(&fo->events, NULL, "peer-silent",
				"%s has been silent on all %zu paths for %lu ms", p->conf->name,
				p->conf->paths_n, (unsigned long)fo->timeouts.dead_after);
	}
}
