/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sessions under TLS: who is let in, who is not, and what each end gets to hear about it. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "proto/internal.h"
#include "proto/tls.h"
#include "tests/unit/cluster.h"
#include "tests/unit/pair.h"

static struct cluster ours, theirs;
static struct proto_identity *alpha, *beta;

static int make_clusters(void **state)
{
	ours = cluster_new();
	theirs = cluster_new();
	alpha = cluster_host(&ours, "alpha", DAYS(-1), DAYS(3650));
	beta = cluster_host(&ours, "beta", DAYS(-1), DAYS(3650));
	return 0;
}

static int drop_clusters(void **state)
{
	proto_identity_free(alpha);
	proto_identity_free(beta);
	cluster_free(&ours);
	cluster_free(&theirs);
	return 0;
}

/* What one end says of the handshake. */
struct end {
	int err;
	struct why why;
};

/*
 * Drive both ends of @p to the end of their handshakes. In TLS 1.3 the connecting side is through
 * before it has been judged: it hears the verdict with the first receive.
 */
static void shake(struct pair *p, struct end *a, struct end *b)
{
	struct proto_frame frame;
	uint64_t deadline = SOON;

	*a = *b = (struct end){0};
	while ((a->err == 0 || b->err == 0) && clock_now_ns() < deadline) {
		if (a->err == 0)
			a->err = proto_session_establish(p->a, 0, &a->why);
		if (b->err == 0)
			b->err = proto_session_establish(p->b, 0, &b->why);
	}
	if (a->err == 1 && b->err < 0) {
		p->b = proto_session_free(p->b);
		a->err = proto_session_receive(p->a, SOON, &frame, &a->why);
	}
}

/* a connects as @client and expects @server_name; b accepts. */
static struct pair open_secure(struct proto_identity *client, const char *server_name,
	struct proto_identity *server, const char *client_name)
{
	struct pair p = open_pair(true);

	assert_int_equal(proto_session_secure(p.a, client, false, server_name, NULL), 0);
	assert_int_equal(proto_session_secure(p.b, server, true, client_name, NULL), 0);
	return p;
}

static struct pair open_trusted(void)
{
	struct pair p = open_secure(alpha, "beta", beta, "alpha");
	struct end a, b;

	shake(&p, &a, &b);
	assert_int_equal(a.err, 1);
	assert_int_equal(b.err, 1);
	return p;
}

static void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* ---- who is let in -------------------------------------------------------------------------- */

static void a_host_of_the_cluster_is_let_in(void **state)
{
	struct pair p = open_trusted();
	struct proto_frame frame;
	Romulus__Ack ack = ROMULUS__ACK__INIT;

	assert_int_equal(gnutls_protocol_get_version(*(gnutls_session_t *)p.a->tls), GNUTLS_TLS1_3);
	assert_int_equal(
		gnutls_cipher_get(*(gnutls_session_t *)p.a->tls), GNUTLS_CIPHER_AES_128_GCM);
	ack.epoch = 7;
	assert_int_equal(proto_session_send(p.a, PROTO_ACK, &ack.base, SOON, NULL), 0);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
	assert_int_equal(((Romulus__Ack *)frame.message)->epoch, 7);
	assert_int_equal(proto_session_send(p.b, PROTO_ACK, &ack.base, SOON, NULL), 0);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, NULL), 1);
	proto_session_bye(p.a, PROTO_BYE_FAILED, "enough");
	{
		struct why why;

		assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -ECONNRESET);
		expect_text(why.text, "enough");
	}
	close_pair(&p);
}

static void nothing_is_readable_on_the_wire(void **state)
{
	static const char secret[] = "this page holds a password of the guest";
	uint8_t wire[8192];
	ssize_t n;
	struct pair p = open_trusted();
	int tap[2];

	/* What a writes now goes to the tap. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, tap), 0);
	gnutls_transport_set_ptr2(
		*(gnutls_session_t *)p.a->tls, p.a->tls, (gnutls_transport_ptr_t)(intptr_t)tap[0]);
	assert_int_equal(proto_session_send_pages(p.a, secret, sizeof(secret), SOON, NULL), 0);
	n = recv(tap[1], wire, sizeof(wire), MSG_DONTWAIT);
	assert_true(n > (ssize_t)sizeof(secret));
	assert_null(memmem(wire, (size_t)n, "password", 8));
	assert_null(memmem(wire, (size_t)n, "UMOR", 4));
	close(tap[0]);
	close(tap[1]);
	close_pair(&p);
}

struct refusal {
	const char *what;
	bool theirs;            /* certificate of another CA */
	time_t from, until;     /* its validity, from now */
	const char *name;       /* the host that it is for */
	const char *judge_says; /* the end that refuses */
	const char *judged_hears;
};

static const struct refusal refusals[] = {
	{"wrong CA", true, DAYS(-1), DAYS(3650), "gamma", "not signed by the CA of this cluster",
		"does not know the CA of this host's certificate"},
	{"expired", false, DAYS(-20), DAYS(-1), "gamma", "expired on",
		"this host's certificate has expired"},
	{"not yet valid", false, DAYS(1), DAYS(20), "gamma", "compare the clocks",
		"does not accept this host's certificate"},
	{"wrong name", false, DAYS(-1), DAYS(3650), "delta",
		"is that of delta, but this host's romulus.conf has the peer gamma",
		"another name for the peer"},
};

static void strangers_are_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
		const struct refusal *r = &refusals[i];
		struct proto_identity *gamma =
			cluster_host(r->theirs ? &theirs : &ours, r->name, r->from, r->until);
		struct pair p = open_secure(gamma, "beta", beta, "gamma");
		struct end a, b;

		/* Of another CA it would refuse first, were it to judge: let it accept. */
		if (r->theirs) {
			close_pair(&p);
			p = open_pair(true);
			gnutls_certificate_set_verify_function(gamma->credentials, NULL);
			proto_session_secure(p.a, gamma, false, "beta", NULL);
			proto_session_secure(p.b, beta, true, "gamma", NULL);
		}
		shake(&p, &a, &b);
		assert_int_equal(b.err, -EACCES);
		expect_text(b.why.text, r->judge_says);
		assert_int_equal(a.err, -EACCES);
		expect_text(a.why.text, r->judged_hears);
		close_pair(&p);

		/* The other way round: the connecting side judges. */
		p = open_secure(alpha, "gamma", gamma, "alpha");
		shake(&p, &a, &b);
		assert_int_equal(a.err, -EACCES);
		expect_text(a.why.text, r->judge_says);
		assert_int_equal(b.err, -EACCES);
		expect_text(b.why.text, r->judged_hears);
		close_pair(&p);
		proto_identity_free(gamma);
	}
}

/* A sender hears of its refusal when it writes, too: it may never have read. */
static void a_refused_sender_hears_why(void **state)
{
	struct proto_identity *gamma = cluster_host(&ours, "gamma", DAYS(-20), DAYS(-1));
	struct pair p = open_secure(gamma, "beta", beta, "gamma");
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct why why = {""};
	int err = 0;

	assert_int_equal(proto_session_establish(p.a, 0, NULL), 0);
	assert_int_equal(proto_session_establish(p.b, 0, NULL), 0);
	assert_int_equal(proto_session_establish(p.a, 0, NULL), 1);
	assert_int_equal(proto_session_establish(p.b, 0, NULL), -EACCES);
	p.b = proto_session_free(p.b);
	for (int i = 0; i < 3 && !err; i++)
		err = proto_session_send(p.a, PROTO_ACK, &ack.base, SOON, &why);
	assert_int_equal(err, -EACCES);
	expect_text(why.text, "has expired");
	close_pair(&p);
	proto_identity_free(gamma);
}

/* ---- peers that speak something else --------------------------------------------------------- */

/* A client of GnuTLS's own, with @priority and perhaps a certificate, at the raw end. */
static void expect_refused_client(
	const char *priority, bool certificate, int err, const char *text, int alert)
{
	struct pair p = open_pair(false);
	gnutls_certificate_credentials_t nothing;
	gnutls_session_t client;
	struct why why = {""};
	int b = 0, a = GNUTLS_E_AGAIN;
	uint64_t deadline = SOON;
	char byte;

	assert_int_equal(gnutls_certificate_allocate_credentials(&nothing), 0);
	assert_int_equal(
		gnutls_init(&client, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), 0);
	assert_int_equal(gnutls_priority_set_direct(client, priority, NULL), 0);
	gnutls_credentials_set(
		client, GNUTLS_CRD_CERTIFICATE, certificate ? alpha->credentials : nothing);
	gnutls_session_set_verify_function(client, NULL);
	assert_int_equal(fcntl(p.raw, F_SETFL, O_NONBLOCK), 0);
	gnutls_transport_set_int(client, p.raw);
	assert_int_equal(proto_session_secure(p.a, beta, true, "alpha", NULL), 0);
	while (b == 0 && clock_now_ns() < deadline) {
		if (a == GNUTLS_E_AGAIN)
			a = gnutls_handshake(client);
		b = proto_session_establish(p.a, 0, &why);
	}
	expect_text(why.text, text);
	assert_int_equal(b, err);
	p.a = proto_session_free(p.a);
	if (a == 0)
		a = (int)gnutls_record_recv(client, &byte, 1);
	else if (a == GNUTLS_E_AGAIN)
		a = gnutls_handshake(client);
	assert_int_equal(a, GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_int_equal(gnutls_alert_get(client), alert);
	gnutls_deinit(client);
	gnutls_certificate_free_credentials(nothing);
	close_pair(&p);
}

static void downgrades_are_refused(void **state)
{
	expect_refused_client("NORMAL:-VERS-ALL:+VERS-TLS1.2", true, -EPROTONOSUPPORT,
		"does not offer TLS 1.3", GNUTLS_A_HANDSHAKE_FAILURE);
	/* One that could do more is not talked down: 1.3 with a cipher of ours, or nothing. */
	expect_refused_client("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-CCM", true,
		-EPROTONOSUPPORT, "with a cipher of this host", GNUTLS_A_HANDSHAKE_FAILURE);
}

static void nobody_is_let_in_without_a_certificate(void **state)
{
	expect_refused_client("NORMAL:-VERS-ALL:+VERS-TLS1.3", false, -EACCES,
		"shows no certificate", GNUTLS_A_CERTIFICATE_REQUIRED);
}

static void a_plain_peer_and_a_secure_one_say_what_is_wrong(void **state)
{
	struct pair p = open_pair(true);
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct proto_frame frame;
	struct why why = {""};

	/* plain speaks to TLS */
	assert_int_equal(proto_session_secure(p.b, beta, true, "alpha", NULL), 0);
	assert_int_equal(proto_session_send(p.a, PROTO_ACK, &ack.base, SOON, NULL), 0);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -EBADMSG);
	expect_text(why.text, "is transport the same on both hosts?");
	p.b = proto_session_free(p.b);
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -EBADMSG);
	expect_text(why.text, "transport");
	close_pair(&p);

	/* TLS speaks to plain */
	p = open_pair(true);
	assert_int_equal(proto_session_secure(p.a, alpha, false, "beta", NULL), 0);
	assert_int_equal(proto_session_establish(p.a, 0, NULL), 0);
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -EBADMSG);
	expect_text(why.text, "transport");
	assert_int_equal(proto_session_establish(p.a, SOON, &why), -EBADMSG);
	expect_text(why.text, "is transport the same on both hosts?");
	close_pair(&p);
}

static void oversize_handshakes_are_refused(void **state)
{
	/* A handshake message of type ClientHello that announces 16 MB. */
	static const uint8_t hello[] = {22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff};
	CLEANUP_FREE uint8_t *flood = calloc(1, 1 << 20);
	struct pair p = open_pair(false);
	struct why why = {""};
	int r = 0;

	for (size_t at = 0; at + 0x4005 < 1 << 20; at += 0x4005)
		memcpy(flood + at, hello, sizeof(hello));
	assert_int_equal(proto_session_secure(p.a, beta, true, "alpha", NULL), 0);
	for (size_t at = 0; at < 1 << 20 && r == 0;) {
		ssize_t n = send(p.raw, flood + at, (1 << 20) - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		at += n > 0 ? (size_t)n : 0;
		r = proto_session_establish(p.a, 0, &why);
		assert_true(at <= 1 << 18 || r); /* two socket buffers, not the whole of it */
	}
	assert_int_equal(r, -EBADMSG);
	expect_text(why.text, "more than 16384 bytes without saying who it is");
	close_pair(&p);
}

static void a_slow_handshake_ends_at_the_deadline(void **state)
{
	struct pair p = open_pair(false);
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	struct proto_frame frame;
	struct why why = {""};
	uint64_t began = clock_now_ns();

	assert_int_equal(proto_session_secure(p.a, beta, true, "alpha", NULL), 0);
	/* One byte for each call, as slow as the deadline allows: it never gets another one. */
	assert_int_equal(send(p.raw, "\x16", 1, 0), 1);
	assert_int_equal(proto_session_receive(p.a, began + 20 * NSEC_PER_MSEC, &frame, &why), 0);
	assert_int_equal(send(p.raw, "\x03", 1, 0), 1);
	assert_int_equal(
		proto_session_send(p.a, PROTO_ACK, &ack.base, began + 40 * NSEC_PER_MSEC, &why),
		-ETIMEDOUT);
	expect_text(why.text, "has not finished the TLS handshake in time");
	assert_true(clock_now_ns() - began >= 40 * NSEC_PER_MSEC);
	close_pair(&p);
}

/* ---- frames under TLS ----------------------------------------------------------------------- */

static void oversize_frames_are_refused(void **state)
{
	struct pair p = open_trusted();
	uint8_t header[PROTO_HEADER_BYTES];
	const uint32_t length = PROTO_MAX_PAGES + 1;
	struct proto_frame frame;
	struct why why = {""};

	proto_header_encode(header, PROTO_PAGES, 0, NULL, 0);
	memcpy(header + 8, &length, sizeof(length));
	assert_int_equal(proto_tls_send(p.a, header, sizeof(header), NULL), sizeof(header));
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -EBADMSG);
	expect_text(why.text, "1048577");
	assert_true(p.b->capacity <= 4096); /* no room was made for it */
	assert_int_equal(proto_session_receive(p.a, SOON, &frame, &why), -ECONNRESET);
	expect_text(why.text, "malformed");
	close_pair(&p);
}

static void damaged_records_are_refused(void **state)
{
	struct pair p = open_trusted();
	struct proto_frame frame;
	struct why why = {""};
	uint8_t record[64] = {23, 3, 3, 0, 59};

	assert_int_equal(send(p.a->fd, record, sizeof(record), 0), sizeof(record));
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, &why), -EBADMSG);
	expect_text(why.text, "TLS session with");
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), -EBADMSG);
	close_pair(&p);
}

struct reader {
	struct proto_session *s;
	const uint8_t *pages;
	size_t n;
};

static void *read_pages(void *opaque)
{
	struct reader *r = opaque;
	size_t have = 0;

	while (have < r->n) {
		struct proto_frame frame;

		if (proto_session_receive(r->s, SOON, &frame, NULL) != 1 ||
			frame.type != PROTO_PAGES ||
			memcmp(frame.data, r->pages + have, frame.length) != 0)
			break;
		have += frame.length;
	}
	return (void *)(uintptr_t)have;
}

/* Frames of every awkward size, from memory and from a file, through a buffer that is too small. */
static void pages_of_all_sizes_arrive(void **state)
{
	static const size_t sizes[] = {0, 1, TLS_RECORD_MAX - PROTO_HEADER_BYTES - 1,
		TLS_RECORD_MAX - PROTO_HEADER_BYTES, TLS_RECORD_MAX - PROTO_HEADER_BYTES + 1,
		TLS_RECORD_MAX, 100000, 256 * 1024, PROTO_MAX_PAGES};
	size_t total = 2 * PROTO_MAX_PAGES * 2, at = 0;
	int fd = memfd_create("pages", MFD_CLOEXEC), small = 8192;
	struct pair p = open_trusted();
	struct reader reader = {.s = p.b};
	pthread_t thread;
	uint8_t *pages;
	void *got;

	setsockopt(p.a->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	assert_int_equal(ftruncate(fd, (off_t)total), 0);
	pages = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(pages != MAP_FAILED);
	for (size_t i = 0; i < total; i++)
		pages[i] = (uint8_t)(i * 2654435761u >> 13);
	reader.pages = pages;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		reader.n += 2 * sizes[i];
	assert_int_equal(pthread_create(&thread, NULL, read_pages, &reader), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		assert_int_equal(
			proto_session_send_pages(p.a, pages + at, sizes[i], SOON, NULL), 0);
		at += sizes[i];
		assert_int_equal(proto_session_send_file_pages(
					 p.a, fd, at, pages + at, sizes[i], SOON, NULL),
			0);
		at += sizes[i];
	}
	pthread_join(thread, &got);
	assert_int_equal((size_t)(uintptr_t)got, reader.n);
	assert_int_equal(at, reader.n);
	munmap(pages, total);
	close(fd);
	close_pair(&p);
}

static void a_peer_that_does_not_read_is_given_up(void **state)
{
	CLEANUP_FREE uint8_t *pages = calloc(1, PROTO_MAX_PAGES);
	struct pair p = open_trusted();
	struct why why = {""};
	int r = 0;

	for (int i = 0; i < 64 && !r; i++)
		r = proto_session_send_pages(
			p.a, pages, PROTO_MAX_PAGES, clock_now_ns() + 20 * NSEC_PER_MSEC, &why);
	assert_int_equal(r, -ETIMEDOUT);
	expect_text(why.text, "has not taken");
	close_pair(&p);
}

/* epoll reports a socket, not what GnuTLS has decrypted of a record already. */
static void what_is_decrypted_is_pending(void **state)
{
	struct pair p = open_trusted();
	uint8_t two[2 * PROTO_HEADER_BYTES + 8000] = {0};
	struct proto_frame frame;

	assert_false(proto_session_pending(p.b));
	proto_header_encode(two, PROTO_PAGES, 0, two + PROTO_HEADER_BYTES, 8000);
	proto_header_encode(two + PROTO_HEADER_BYTES + 8000, PROTO_PAGES, 1, NULL, 0);
	assert_int_equal(proto_tls_send(p.a, two, sizeof(two), NULL), sizeof(two));
	assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
	assert_true(proto_session_pending(p.b));
	assert_int_equal(proto_session_receive(p.b, 0, &frame, NULL), 1);
	assert_false(proto_session_pending(p.b));
	assert_int_equal(proto_session_receive(p.b, 0, &frame, NULL), 0);
	close_pair(&p);
}

/* GnuTLS does it by itself after 2^24 records, some 256 GiB of a stream. */
static void keys_change_under_a_stream(void **state)
{
	struct pair p = open_trusted();
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	uint8_t page[4096] = {1, 2, 3};
	struct proto_frame frame;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(proto_session_send_pages(p.a, page, sizeof(page), SOON, NULL), 0);
		assert_int_equal(
			gnutls_session_key_update(*(gnutls_session_t *)p.a->tls, GNUTLS_KU_PEER),
			0);
		assert_int_equal(proto_session_send_pages(p.a, page, sizeof(page), SOON, NULL), 0);
		for (int k = 0; k < 2; k++) {
			assert_int_equal(proto_session_receive(p.b, SOON, &frame, NULL), 1);
			assert_memory_equal(frame.data, page, sizeof(page));
		}
		assert_int_equal(proto_session_send(p.b, PROTO_ACK, &ack.base, SOON, NULL), 0);
		assert_int_equal(proto_session_receive(p.a, SOON, &frame, NULL), 1);
		assert_int_equal(frame.type, PROTO_ACK);
	}
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_of_the_cluster_is_let_in),
		cmocka_unit_test(nothing_is_readable_on_the_wire),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(a_refused_sender_hears_why),
		cmocka_unit_test(downgrades_are_refused),
		cmocka_unit_test(nobody_is_let_in_without_a_certificate),
		cmocka_unit_test(a_plain_peer_and_a_secure_one_say_what_is_wrong),
		cmocka_unit_test(oversize_handshakes_are_refused),
		cmocka_unit_test(a_slow_handshake_ends_at_the_deadline),
		cmocka_unit_test(oversize_frames_are_refused),
		cmocka_unit_test(damaged_records_are_refused),
		cmocka_unit_test(pages_of_all_sizes_arrive),
		cmocka_unit_test(a_peer_that_does_not_read_is_given_up),
		cmocka_unit_test(what_is_decrypted_is_pending),
		cmocka_unit_test(keys_change_under_a_stream),
	};

	return cmocka_run_group_tests_name("tls", tests, make_clusters, drop_clusters);
}
