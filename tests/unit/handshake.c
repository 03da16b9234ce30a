/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first frames of a session: versions, kinds, tokens; and the sockets below it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/fault.h"
#include "common/why.h"
#include "proto/proto.h"
#include "tests/unit/pair.h"

static const uint8_t token[PROTO_TOKEN_BYTES] = "0123456789abcde";

struct side {
	pthread_t thread;
	struct proto_session *s;
	const char *host, *kind;
	const uint8_t *send, *expect;
	int err;
	struct why why;
	Romulus__Hello *hello;
};

static void *shake(void *arg)
{
	struct side *side = arg;

	side->err = proto_handshake(side->s, side->host, side->kind, side->send, side->expect, SOON,
		&side->hello, &side->why);
	return NULL;
}

static void shake_both(struct side *x, struct side *y)
{
	assert_int_equal(pthread_create(&x->thread, NULL, shake, x), 0);
	shake(y);
	assert_int_equal(pthread_join(x->thread, NULL), 0);
}

static struct side open_side(struct proto_session *s, const char *host)
{
	return (struct side){.s = s, .host = host, .kind = "peer"};
}

static void close_side(struct side *side)
{
	if (side->hello)
		romulus__hello__free_unpacked(side->hello, NULL);
}

static void hello_over_tcp(void **state)
{
	uint16_t port = 0;
	CLEANUP_CLOSE int listener = proto_listen("127.0.0.1", &port, NULL);
	struct side x, y;
	struct pair p = {.raw = -1};
	struct proto_frame frame;
	struct why why;
	int fd;

	assert_true(listener >= 0 && port != 0);
	fd = proto_connect("127.0.0.1", "127.0.0.1", port, SOON, &why);
	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	p.a = proto_session_new(fd);
	p.b = proto_session_new(accept(listener, NULL, NULL));
	assert_true(fcntl(proto_session_fd(p.b), F_GETFD) & FD_CLOEXEC);
	x = open_side(p.a, "alice");
	y = open_side(p.b, "bob");
	shake_both(&x, &y);
	assert_int_equal(x.err, 0);
	assert_int_equal(y.err, 0);
	assert_string_equal(x.hello->host, "bob");
	assert_string_equal(y.hello->host, "alice");
	assert_int_equal(x.hello->version, PROTO_VERSION);
	close_side(&x);
	close_side(&y);

	proto_session_bye(p.a, PROTO_BYE_DONE, "maintenance");
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -ECONNRESET);
	assert_non_null(strstr(why.text, "alice (127.0.0.1:"));
	assert_non_null(strstr(why.text, "ended the session (done): maintenance"));
	close_pair(&p);
}

static void token_decides(void **state)
{
	uint8_t wrong[PROTO_TOKEN_BYTES];

	memcpy(wrong, token, sizeof(wrong));
	wrong[PROTO_TOKEN_BYTES - 1] ^= 1;
	for (int try = 0; try < 3; try++) {
		struct pair p = open_pair(true);
		struct side x = open_side(p.a, "alice"), y = open_side(p.b, "bob");

		x.kind = y.kind = "stream";
		x.send = try == 0 ? token : try == 1 ? wrong : NULL;
		y.expect = token;
		shake_both(&x, &y);
		assert_int_equal(x.err, try == 0 ? 0 : -EACCES);
		assert_int_equal(y.err, try == 0 ? 0 : -EACCES);
		if (try > 0) {
			assert_null(x.hello);
			assert_non_null(strstr(x.why.text, "wrong token"));
			assert_non_null(strstr(y.why.text, "alice"));
		}
		close_side(&x);
		close_side(&y);
		close_pair(&p);
	}
}

static void send_hello(struct proto_session *s, uint32_t version_min, uint32_t version)
{
	Romulus__Hello hello = ROMULUS__HELLO__INIT;

	hello.version = version;
	hello.version_min = version_min;
	hello.host = (char *)(uintptr_t) "old";
	hello.session = (char *)(uintptr_t) "peer";
	assert_int_equal(proto_session_send(s, PROTO_HELLO, &hello.base, SOON, NULL), 0);
}

static void versions_must_overlap(void **state)
{
	struct pair p = open_pair(true);
	Romulus__Hello *hello = NULL;
	struct proto_frame frame;
	struct why why;

	send_hello(p.b, PROTO_VERSION + 1, PROTO_VERSION + 3);
	assert_int_equal(proto_handshake(p.a, "new", "peer", NULL, NULL, SOON, &hello, &why),
		-EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "old (the other end) speaks 2 to 4, this host 1 to 1"));
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
	assert_int_equal(frame.type, PROTO_HELLO);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -ECONNRESET);
	assert_non_null(strstr(why.text, "no common version"));
	close_pair(&p);

	/* The other way round: it is the peer that finds no overlap and says so. */
	p = open_pair(true);
	proto_session_bye(p.b, PROTO_BYE_VERSION, "speaks 7 to 9 only");
	assert_int_equal(proto_handshake(p.a, "new", "peer", NULL, NULL, SOON, &hello, &why),
		-EPROTONOSUPPORT);
	assert_non_null(strstr(why.text, "speaks 7 to 9 only"));
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, NULL), -EPROTONOSUPPORT);
	close_pair(&p);

	p = open_pair(true);
	send_hello(p.b, 3, 1);
	assert_int_equal(
		proto_handshake(p.a, "new", "peer", NULL, NULL, SOON, &hello, &why), -EBADMSG);
	close_pair(&p);

	p = open_pair(true);
	send_hello(p.b, PROTO_VERSION, PROTO_VERSION + 8); /* a newer one that still speaks ours */
	assert_int_equal(proto_handshake(p.a, "new", "peer", NULL, NULL, SOON, &hello, &why), 0);
	romulus__hello__free_unpacked(hello, NULL);
	send_hello(p.b, 1, 1);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "second Hello"));
	close_pair(&p);
}

/* What the lab sends to a daemon to see it refused. */
static void the_fault_point_speaks_another_version(void **state)
{
	struct pair p = open_pair(true);
	struct side x = open_side(p.a, "alice"), y = open_side(p.b, "bob");

	setenv("ROMULUS_FAULT", "hello-version=fail", 1);
	assert_int_equal(fault_init(NULL), 0);
	shake_both(&x, &y);
	assert_int_equal(x.err, -EPROTONOSUPPORT);
	assert_int_equal(y.err, -EPROTONOSUPPORT);
	close_side(&x);
	close_side(&y);
	close_pair(&p);
	unsetenv("ROMULUS_FAULT");
	assert_int_equal(fault_init(NULL), 0);
}

static void hello_must_come_first_and_fit(void **state)
{
	struct pair p = open_pair(true);
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	Romulus__Hello *hello = NULL;
	struct why why;

	assert_int_equal(proto_session_send(p.b, PROTO_ACK, &ack.base, SOON, NULL), 0);
	assert_int_equal(
		proto_handshake(p.a, "a", "peer", NULL, NULL, SOON, &hello, &why), -EBADMSG);
	assert_non_null(strstr(why.text, "Ack frame before Hello"));
	close_pair(&p);

	p = open_pair(true);
	send_hello(p.b, 1, 1);
	assert_int_equal(
		proto_handshake(p.a, "a", "stream", NULL, NULL, SOON, &hello, &why), -EACCES);
	close_pair(&p);

	p = open_pair(true);
	assert_int_equal(proto_handshake(p.a, "a", "peer", NULL, NULL,
				 clock_now_ns() + 20 * NSEC_PER_MSEC, &hello, &why),
		-ETIMEDOUT);
	assert_null(hello);
	close_pair(&p);
}

static void addresses_are_numeric_and_errors_sentences(void **state)
{
	CLEANUP_CLOSE int udp = proto_datagram("127.0.0.1", 0, NULL);
	uint16_t port = 0;
	CLEANUP_CLOSE int listener = proto_listen("127.0.0.1", &port, NULL);
	uint16_t same = port;
	struct why why;

	assert_true(udp >= 0 && (fcntl(udp, F_GETFL) & O_NONBLOCK));
	assert_int_equal(proto_connect(NULL, "localhost", port, SOON, &why), -EINVAL);
	assert_non_null(strstr(why.text, "\"localhost\" is not a numeric"));
	assert_int_equal(proto_listen("127.0.0.1", &same, &why), -EADDRINUSE);
	assert_non_null(strstr(why.text, "Address already in use"));
	close(TAKE_FD(listener));
	assert_int_equal(proto_connect(NULL, "127.0.0.1", port, SOON, &why), -ECONNREFUSED);
	assert_non_null(strstr(why.text, "cannot connect to 127.0.0.1 port"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hello_over_tcp),
		cmocka_unit_test(token_decides),
		cmocka_unit_test(versions_must_overlap),
		cmocka_unit_test(the_fault_point_speaks_another_version),
		cmocka_unit_test(hello_must_come_first_and_fit),
		cmocka_unit_test(addresses_are_numeric_and_errors_sentences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
