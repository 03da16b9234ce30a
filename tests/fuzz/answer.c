/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer answers to a question, as failover/request.c takes it: Hello and the answer. An input
 * are frames, made to fit (fuzz_mend).
 */
#include <stdbool.h>
#include <sys/socket.h>

#include "failover/request.c" /* on_frames() */
#include "tests/fuzz/frames.h"

unsigned long fuzz_accepted;

static struct failover_path_config path = {"r", "127.0.0.1", "127.0.0.1"};
static struct failover_peer_config beta = {.name = "beta", .paths = &path, .paths_n = 1};
static struct failover_config config = {.host = "alpha", .port = 7800};
static struct failover fo = {.config = &config, .timeouts = {.connect = 1000, .reply = 1000}};
static struct failover_peer peer = {.fo = &fo, .conf = &beta};
static unsigned int heard;
static unsigned int calls;
static unsigned int answered; /* type of the frame, 0: none */

void failover_arbiter_heard(struct failover_arbiter *a)
{
	FUZZ_EXPECT(a == &peer.arbiter);
	heard++;
}

int failover_address_parse(
	const char *address, uint16_t port, struct sockaddr_storage *ret, socklen_t *ret_len)
{
	return -EINVAL;
}

static void on_done(void *data, const struct proto_frame *frame, enum exit_code exit_code,
	const struct why *why)
{
	calls++;
	answered = frame ? frame->type : 0;
	FUZZ_EXPECT((frame != NULL) == (exit_code == EXIT_CODE_OK));
	FUZZ_EXPECT(frame || why->text[0]);
}

/* The type of the frame after the right Hello, 0: there is none. The second reading. */
static unsigned int answer_in(const uint8_t *f, size_t n)
{
	struct fuzz_frame hello, answer;

	if (!fuzz_frame_at(f, n, 0, &hello) || hello.type != PROTO_HELLO ||
		!fuzz_frame_at(f + hello.size, n - hello.size, 1, &answer) ||
		!fuzz_greets(&hello, "peer", beta.name))
		return 0;
	if (answer.type == PROTO_BYE || (answer.type != PROTO_PAGES && !fuzz_unpacks(&answer)))
		return 0;
	return answer.type;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Romulus__Unprotect question = ROMULUS__UNPROTECT__INIT;
	CLEANUP_FREE uint8_t *bytes = fuzz_copy(data, size);
	struct failover_request *r;
	unsigned int want;
	int fd[2];

	if (size > 65536)
		return 0;
	if (!fo.event)
		FUZZ_EXPECT(sd_event_new(&fo.event) == 0);
	fuzz_mend(bytes, size);
	want = answer_in(bytes, size);
	calls = heard = 0;
	FUZZ_EXPECT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0);
	FUZZ_EXPECT(send(fd[1], bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
	shutdown(fd[1], SHUT_WR);
	r = failover_request_start(&peer, PROTO_UNPROTECT, &question.base, on_done, NULL);
	r->start = sd_event_source_disable_unref(r->start);
	r->session = proto_session_new(fd[0]); /* as if just connected */
	FUZZ_EXPECT(r->session);
	r->step = GREETING;
	on_frames(r);
	FUZZ_EXPECT(calls == 1 && answered == want && heard >= (want ? 2u : 0u));
	fuzz_accepted += answered != 0;
	close(fd[1]);
	return 0;
}

void fuzz_seeds(fuzz_put *put)
{
	static char uuid[] = "deadbeef-0102-0304-0506-0708090a0b0c", word[] = "no room";
	static char host[] = "beta", other[] = "gamma", kind[] = "peer";
	static uint8_t token[PROTO_TOKEN_BYTES] = "0123456789abcde";
	Romulus__Hello hello = ROMULUS__HELLO__INIT;
	Romulus__Prepared prepared = ROMULUS__PREPARED__INIT;
	Romulus__Refused refused = ROMULUS__REFUSED__INIT;
	Romulus__Bye bye = ROMULUS__BYE__INIT;

	hello.version = hello.version_min = 1;
	hello.host = host;
	hello.software = word;
	hello.session = kind;
	prepared.uuid = refused.uuid = uuid;
	prepared.port = 7801;
	prepared.token = (ProtobufCBinaryData){sizeof(token), token};
	refused.reason = bye.reason = word;
	refused.generation = UINT64_MAX;
	fuzz_seed_begin_plain();
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_PREPARED, &prepared.base);
	fuzz_seed_put(put, "good-prepared");
	fuzz_seed_begin_plain();
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_REFUSED, &refused.base);
	fuzz_seed_put(put, "good-refused");
	fuzz_seed_begin_plain();
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_add(PROTO_BYE, &bye.base);
	fuzz_seed_put(put, "bye");
	hello.host = other;
	fuzz_seed_begin_plain();
	fuzz_seed_add(PROTO_HELLO, &hello.base);
	fuzz_seed_put(put, "other-host");
}
