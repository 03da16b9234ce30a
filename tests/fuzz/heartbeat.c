/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Heartbeats from the network, as failover/peers.c takes them. The first byte of an input says how:
 * bit 0 put the checksum right, bit 1 another sender than the peer, bit 2 the peer's second path;
 * the rest is one datagram.
 */
#include <arpa/inet.h>
#include <stdbool.h>

#include "common/crc32c.h"
#include "failover/peers.c" /* take_datagram() */
#include "tests/fuzz/fuzz.h"

#define HEADER 24
#define UUID "12345678-9abc-def0-1234-56789abcdef0"

unsigned long fuzz_accepted;

static struct failover_path_config paths[] = {
	{"r", "127.0.0.1", "127.0.0.2"}, {"m", "127.0.0.1", "::1"}};
static struct failover_peer_config beta = {.name = "beta", .paths = paths, .paths_n = 2};
static struct failover_config config = {.host = "alpha",
	.port = 7800,
	.heartbeat_ms = 50,
	.dead_after_ms = 1000,
	.peers = &beta,
	.peers_n = 1};
static struct failover_peer peer;
static struct failover_endpoint endpoint = {.udp = -1};
static struct failover fo = {.config = &config, .peers = &peer, .peers_n = 1};
static unsigned int compared;

void failover_domains_heard(struct failover_peer *p)
{
	compared++;
}

void failover_domains_judge(struct failover_peer *p)
{
}

void failover_domains_reunited(struct failover_peer *p)
{
}

bool failover_domain_state(const struct failover_domain *d, Romulus__DomainState *ret)
{
	return false;
}

void failover_listener_close(struct failover *f)
{
}

int failover_listener_accept(struct failover_endpoint *e, int listening)
{
	return 0;
}

static void begin(void)
{
	peer = (struct failover_peer){.fo = &fo, .conf = &beta};
	endpoint.fo = &fo;
	fo.malformed = fo.strangers = 0;
	compared = 0;
	failover_timeouts_init(&fo.timeouts, &config);
	for (size_t i = 0; i < beta.paths_n; i++) {
		peer.endpoint[i] = &endpoint;
		FUZZ_EXPECT(failover_address_parse(paths[i].remote, 7800, &peer.remote[i],
				    &peer.remote_len[i]) == 0);
	}
	failover_detector_init(&peer.detector, beta.paths_n, &fo.timeouts, 1);
	/* Heard before, so that no event is made of it each time. */
	failover_detector_heard(&peer.detector, 0, clock_now_ns());
	failover_detector_heard(&peer.detector, 1, clock_now_ns());
}

static uint32_t checksum(const uint8_t *f, size_t payload)
{
	uint8_t header[HEADER];

	memcpy(header, f, HEADER);
	fuzz_put32(header + 12, 0);
	return crc32c(crc32c(0, header, HEADER), f + HEADER, payload);
}

/* The second reading: one whole frame, as docs/protocol.md has it, that names the peer. */
static Romulus__Heartbeat *judge(const uint8_t *f, size_t n)
{
	Romulus__Heartbeat *m;

	if (n < HEADER || n > 1400 || fuzz_get32(f) != UINT32_C(0x524f4d55) ||
		f[4] != PROTO_HEARTBEAT || f[5] || f[6] || f[7] ||
		fuzz_get32(f + 8) != n - HEADER || fuzz_get64(f + 16) != 0 ||
		fuzz_get32(f + 12) != checksum(f, n - HEADER))
		return NULL;
	m = romulus__heartbeat__unpack(NULL, n - HEADER, f + HEADER);
	if (m && strcmp(m->host, beta.name) == 0)
		return m;
	if (m)
		romulus__heartbeat__free_unpacked(m, NULL);
	return NULL;
}

/* Each entry that says something is there, with what it said last. */
static void expect_gossip(const Romulus__Heartbeat *m)
{
	FUZZ_EXPECT(peer.gossip_n <= m->n_domains && peer.gossip_n <= FAILOVER_MAX_DOMAINS);
	for (size_t i = 0; i < peer.gossip_n; i++) {
		const struct failover_gossip *g = &peer.gossip[i];
		const Romulus__DomainState *said = NULL;

		FUZZ_EXPECT(failover_uuid_valid(g->uuid));
		FUZZ_EXPECT(failover_peer_gossip(&peer, g->uuid) == g); /* none twice */
		for (size_t k = 0; k < m->n_domains; k++)
			if (strcmp(m->domains[k]->uuid, g->uuid) == 0 && m->domains[k]->role <= 2 &&
				m->domains[k]->state <= 7 && m->domains[k]->guest <= 3 &&
				m->domains[k]->wish <= 2 &&
				m->domains[k]->generation <= FAILOVER_GENERATION_MAX)
				said = m->domains[k];
		FUZZ_EXPECT(said && said->generation == g->generation && said->role == g->role &&
			    said->state == g->state && said->epoch == g->epoch &&
			    said->wish == g->wish && said->guest == g->guest);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE uint8_t *datagram = NULL;
	struct sockaddr_storage from;
	Romulus__Heartbeat *want;
	bool stranger, newer;

	if (!size || size > PROTO_MAX_DATAGRAM + 2)
		return 0;
	begin();
	datagram = fuzz_copy(data + 1, size - 1);
	if (data[0] & 1 && size > HEADER)
		fuzz_put32(datagram + 12, checksum(datagram, size - 1 - HEADER));
	from = peer.remote[data[0] >> 2 & 1];
	stranger = data[0] & 2;
	if (stranger)
		from.ss_family = AF_UNIX;
	want = judge(datagram, size - 1);
	take_datagram(&endpoint, datagram, size - 1, &from);
	FUZZ_EXPECT(fo.strangers == stranger);
	FUZZ_EXPECT(fo.malformed == (!stranger && !want));
	newer = want && !stranger && (want->boot || want->sequence);
	FUZZ_EXPECT(compared == newer);
	if (newer) {
		fuzz_accepted++;
		FUZZ_EXPECT(
			peer.newest.boot == want->boot && peer.newest.sequence == want->sequence);
		expect_gossip(want);
		take_datagram(&endpoint, datagram, size - 1, &from);
		FUZZ_EXPECT(compared == 1); /* once, on however many paths */
	}
	if (want)
		romulus__heartbeat__free_unpacked(want, NULL);
	return 0;
}

/* Seeds */

static void put_beat(fuzz_put *put, const char *name, uint8_t options, Romulus__Heartbeat *beat)
{
	CLEANUP_FREE uint8_t *frame = NULL;
	CLEANUP_FREE uint8_t *seed = NULL;
	size_t n;

	FUZZ_EXPECT(proto_pack(PROTO_HEARTBEAT, 0, &beat->base, &frame, &n) == 0);
	seed = malloc(n + 1);
	FUZZ_EXPECT(seed);
	seed[0] = options;
	memcpy(seed + 1, frame, n);
	put(name, seed, n + 1);
}

void fuzz_seeds(fuzz_put *put)
{
	static char host[] = "beta", other[] = "gamma", path[] = "r", uuid[] = UUID,
		    wrong[] = "../../etc/passwd";
	Romulus__DomainState state = ROMULUS__DOMAIN_STATE__INIT, bad = state, far = state;
	Romulus__DomainState moved = state, odd = state;
	Romulus__DomainState *states[] = {&state, &state}, *bads[] = {&bad, &state, &far};
	Romulus__DomainState *moves[] = {&moved, &odd};
	Romulus__Heartbeat beat = ROMULUS__HEARTBEAT__INIT;

	state.uuid = far.uuid = uuid;
	state.generation = 3;
	state.role = PROTO_ROLE_BACKUP;
	state.state = PROTO_STATE_RELEASED;
	far.generation = UINT64_MAX; /* no generation is */
	bad.uuid = wrong;
	beat.host = host;
	beat.path = path;
	beat.boot = beat.sequence = 1;
	beat.domains = states;
	beat.n_domains = 2;
	put_beat(put, "good-beat", 0, &beat);
	put_beat(put, "good-second-path", 1 | 4, &beat);
	put_beat(put, "stranger", 2, &beat);
	moved.uuid = odd.uuid = uuid;
	moved.role = odd.role = PROTO_ROLE_PRIMARY;
	moved.state = PROTO_STATE_RELEASED;
	moved.wish = PROTO_WISH_END;
	odd.state = PROTO_STATE_TAKEN_OVER;
	odd.guest = PROTO_GUEST_FAILED + 1;
	beat.domains = moves;
	put_beat(put, "good-moved-beside-odd", 1, &beat);
	beat.domains = bads;
	beat.n_domains = 3;
	put_beat(put, "good-beside-bad", 1, &beat);
	beat.n_domains = 0;
	put_beat(put, "good-nothing", 1, &beat);
	beat.host = other;
	put_beat(put, "other-host", 1, &beat);
}
