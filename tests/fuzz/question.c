/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer asks on a session that it has opened, as failover/listener.c takes it. The first byte
 * of an input: bit 0, the question is answered later; the rest are frames, made to fit (fuzz_mend).
 */
#include <stdbool.h>
#include <sys/socket.h>

#include "failover/listener.c" /* inbound_new() */
#include "tests/fuzz/frames.h"

unsigned long fuzz_accepted;

static struct failover_peer_config beta = {.name = "beta"};
static struct failover_config config = {.host = "alpha"};
static struct failover fo = {.config = &config, .timeouts.connect = 1000};
static struct failover_peer peer = {.fo = &fo, .conf = &beta};
static struct failover_endpoint endpoint = {.fo = &fo};
static struct failover_inbound *kept;
static bool later;
static unsigned int heard;
static unsigned int asked;

static void on_question(struct failover_inbound *in, const char *uuid)
{
	asked++;
	FUZZ_EXPECT(uuid && failover_inbound_peer(in) == &peer);
	if (later)
		failover_inbound_keep(in, &kept);
	else
		failover_inbound_refuse(in, uuid, 7, "not today");
}

void failover_domain_prepare(
	struct failover *f, struct failover_inbound *in, const Romulus__Prepare *m)
{
	FUZZ_EXPECT(m->domain && m->type && m->hypervisor);
	on_question(in, m->uuid);
}

void failover_domain_unprotect_asked(
	struct failover *f, struct failover_inbound *in, const Romulus__Unprotect *m)
{
	on_question(in, m->uuid);
}

void failover_check_asked(struct failover *f, struct failover_inbound *in, const Romulus__Check *m)
{
	FUZZ_EXPECT(m->domain && m->type && m->unfit);
	on_question(in, m->uuid);
}

void failover_arbiter_heard(struct failover_arbiter *a)
{
	FUZZ_EXPECT(a == &peer.arbiter);
	heard++;
}

bool failover_address_same(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	return true;
}

/* Whether the frames greet as the peer does and then ask: the second reading. */
static bool asks(const uint8_t *f, size_t n)
{
	struct fuzz_frame hello, question;
	bool greets;

	if (!fuzz_frame_at(f, n, 0, &hello) || hello.type != PROTO_HELLO ||
		!fuzz_frame_at(f + hello.size, n - hello.size, 1, &question))
		return false;
	greets = fuzz_greets(&hello, "peer", beta.name);
	if (!greets || (question.type != PROTO_PREPARE && question.type != PROTO_UNPROTECT &&
			       question.type != PROTO_CHECK))
		return false;
	return fuzz_unpacks(&question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE uint8_t *bytes = NULL;
	struct proto_session *session;
	bool want;
	int fd[2];

	if (!size || size > 65536)
		return 0;
	if (!fo.event)
		FUZZ_EXPECT(sd_event_new(&fo.event) == 0);
	bytes = fuzz_copy(data + 1, size - 1);
	fuzz_mend(bytes, size - 1);
	want = asks(bytes, size - 1);
	later = data[0] & 1;
	asked = heard = 0;
	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	FUZZ_EXPECT(send(fd[1], bytes, size - 1, MSG_NOSIGNAL) == (ssize_t)(size - 1));
	session = proto_session_new(fd[0]);
	FUZZ_EXPECT(session);
	inbound_new(&endpoint, &peer, session);
	shutdown(fd[1], SHUT_WR);
	while (sd_event_run(fo.event, 0) > 0 && inbound_n)
		;
	FUZZ_EXPECT(asked == want && heard >= 2 * asked);
	FUZZ_EXPECT(!kept && inbound_n == 0);
	fuzz_accepted += asked;
	close(fd[1]);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static char uuid[] = "deadbeef-0102-0304-0506-0708090a0b0c", word[] = "pvh";
	static char host[] = "beta", kind[] = "peer";
	Romulus__Hello hello = ROMULUS__HELLO__INIT;
	Romulus__Prepare prepare = ROMULUS__PREPARE__INIT;
	Romulus__Unprotect unprotect = ROMULUS__UNPROTECT__INIT;
	Romulus__CheckDisk disk = ROMULUS__CHECK_DISK__INIT, *disks[] = {&disk};
	Romulus__Check check = ROMULUS__CHECK__INIT;

	check.domain = check.type = word;
	check.uuid = uuid;
	check.disks = disks;
	check.n_disks = 1;
	hello.version = hello.version_min = 1;
	hello.host = host;
	hello.software = word;
	hello.session = kind;
	prepare.domain = prepare.type = prepare.hypervisor = word;
	prepare.uuid = unprotect.uuid = uuid;
	prepare.generation = UINT64_MAX;
	fuzz_seed_begin(0);
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_PREPARE, &prepare.base);
	fuzz_seed_put(put, "good-prepare");
	fuzz_seed_begin(1);
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_UNPROTECT, &unprotect.base);
	fuzz_seed_put(put, "good-unprotect-later");
	fuzz_seed_add(PROTO_PREPARE, &prepare.base);
	fuzz_seed_put(put, "good-second-question");
	fuzz_seed_begin(0);
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_CHECK, &check.base);
	fuzz_seed_put(put, "good-check");
	fuzz_seed_begin(0);
	fuzz_seed_add(PROTO_PREPARE, &prepare.base);
	fuzz_seed_put(put, "no-hello");
	hello.version_min = 9;
	hello.version = 12;
	fuzz_seed_begin(0);
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_put(put, "other-version");
}
