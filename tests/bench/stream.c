/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Throughput of a checkpoint stream over loopback, plain and under TLS, in turns, so that both see
 * the same machine: the sessions that the workers use, frames as ship.c cuts them. Two processes,
 * as in life; on one machine they share its CPUs, which two hosts do not.
 *   stream [MEGABYTES [ROUNDS]]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "proto/identity.h"
#include "proto/pki.h"
#include "proto/proto.h"

#define CHUNK (256u * 1024u)
#define STAGED (64u << 20) /* sent again and again */
#define ROUNDS_MAX 64
#define LIMIT_NS (120 * NSEC_PER_SEC)

static const char *const hosts[] = {"alpha", "beta"};
static struct proto_identity *identity[2];
static struct why why;

static void die(const char *what)
{
	fprintf(stderr, "stream: %s: %s\n", what, why.text[0] ? why.text : strerror(errno));
	exit(1);
}

static void make_host(const char *ca, const char *ca_key, const char *heartbeat, int i)
{
	char dir[] = "/tmp/romulus-stream-XXXXXX", path[64];
	char *key, *request, *certificate;
	static const char *const files[] = {
		PROTO_FILE_CA, PROTO_FILE_HOST, PROTO_FILE_HOST_KEY, PROTO_FILE_HEARTBEAT};

	if (!mkdtemp(dir) || proto_pki_make_key(&key, &why) ||
		proto_pki_make_request(key, hosts[i], &request, &why) ||
		proto_pki_issue(ca, ca_key, request, hosts[i], proto_pki_ten_years(time(NULL)),
			&certificate, &why) ||
		proto_pki_write(dir, PROTO_FILE_CA, ca, &why) ||
		proto_pki_write(dir, PROTO_FILE_HOST, certificate, &why) ||
		proto_pki_write(dir, PROTO_FILE_HOST_KEY, key, &why) ||
		proto_pki_write(dir, PROTO_FILE_HEARTBEAT, heartbeat, &why) ||
		proto_identity_load(dir, hosts[i], &identity[i], &why))
		die("no certificate");
	for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
		snprintf(path, sizeof(path), "%s/%s", dir, files[f]);
		unlink(path);
	}
	rmdir(dir);
}

static void make_hosts(void)
{
	char *ca, *ca_key, *heartbeat;

	if (proto_pki_make_key(&ca_key, &why) ||
		proto_pki_make_ca(ca_key, "alpha", proto_pki_ten_years(time(NULL)), &ca, &why) ||
		proto_pki_make_heartbeat_key(&heartbeat, &why))
		die("no CA");
	make_host(ca, ca_key, heartbeat, 0);
	make_host(ca, ca_key, heartbeat, 1);
}

/* The backup: takes @bytes, then says so. */
static int receive(int fd, bool tls, uint64_t bytes)
{
	struct proto_session *s = proto_session_new(fd);
	Romulus__Ack ack = ROMULUS__ACK__INIT;
	uint64_t deadline = clock_now_ns() + LIMIT_NS, have = 0;
	struct proto_frame frame;

	if (!s || proto_session_secure(s, tls ? identity[1] : NULL, true, hosts[0], &why))
		return 1;
	while (have < bytes) {
		if (proto_session_receive(s, deadline, &frame, &why) != 1)
			die("the receiver");
		have += frame.length;
	}
	return proto_session_send(s, PROTO_ACK, &ack.base, deadline, &why) ? 1 : 0;
}

static double cpu_seconds(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

struct result {
	double mb_per_s, sender_ns, receiver_ns; /* CPU time for each byte */
};

static struct result run(int fd, const uint8_t *pages, bool tls, uint64_t bytes)
{
	uint16_t port = 0;
	uint64_t deadline = clock_now_ns() + LIMIT_NS, began;
	int listener = proto_listen("127.0.0.1", &port, &why), status;
	double sender, receiver = cpu_seconds(RUSAGE_CHILDREN);
	struct proto_session *s;
	struct proto_frame frame;
	struct result r;
	pid_t pid;
	int to;

	if (listener < 0)
		die("cannot listen");
	to = proto_connect(NULL, "127.0.0.1", port, deadline, &why);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(to);
		_exit(receive(accept(listener, NULL, NULL), tls, bytes));
	}
	close(listener);
	s = to < 0 ? NULL : proto_session_new(to);
	if (!s || proto_session_secure(s, tls ? identity[0] : NULL, false, hosts[1], &why) ||
		proto_session_establish(s, deadline, &why) != 1)
		die("no session");
	began = clock_now_ns();
	sender = cpu_seconds(RUSAGE_SELF);
	for (uint64_t sent = 0; sent < bytes; sent += CHUNK)
		if (proto_session_send_file_pages(
			    s, fd, sent % STAGED, pages + sent % STAGED, CHUNK, deadline, &why))
			die("cannot send");
	if (proto_session_receive(s, deadline, &frame, &why) != 1)
		die("no acknowledgement");
	r.mb_per_s = (double)bytes / 1e6 / ((double)(clock_now_ns() - began) / 1e9);
	r.sender_ns = (cpu_seconds(RUSAGE_SELF) - sender) * 1e9 / (double)bytes;
	proto_session_free(s);
	if (waitpid(pid, &status, 0) < 0 || status)
		die("the receiver failed");
	r.receiver_ns = (cpu_seconds(RUSAGE_CHILDREN) - receiver) * 1e9 / (double)bytes;
	return r;
}

static int by_rate(const void *a, const void *b)
{
	double x = ((const struct result *)a)->mb_per_s, y = ((const struct result *)b)->mb_per_s;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	uint64_t bytes = (uint64_t)(argc > 1 ? atoi(argv[1]) : 2048) << 20;
	int rounds = argc > 2 ? atoi(argv[2]) : 7, fd = memfd_create("pages", MFD_CLOEXEC);
	static const char *const names[] = {"plain", "tls"};
	struct result results[2][ROUNDS_MAX], median[2];
	uint8_t *pages;

	if (rounds < 1 || rounds > ROUNDS_MAX || bytes < STAGED) {
		fprintf(stderr, "usage: stream [MEGABYTES [ROUNDS]]\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (fd < 0 || ftruncate(fd, STAGED) < 0)
		die("no memory");
	pages = mmap(NULL, STAGED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (pages == MAP_FAILED)
		die("no memory");
	for (size_t i = 0; i < STAGED; i++)
		pages[i] = (uint8_t)(i * 2654435761u >> 11);
	make_hosts();
	run(fd, pages, false, STAGED);
	run(fd, pages, true, STAGED);
	for (int i = 0; i < rounds; i++)
		for (int tls = 0; tls < 2; tls++)
			results[tls][i] = run(fd, pages, tls, bytes);
	printf("| transport | MB/s, median of %d | sender, ns CPU per KiB | receiver |\n"
	       "| --- | --: | --: | --: |\n",
		rounds);
	for (int tls = 0; tls < 2; tls++) {
		qsort(results[tls], (size_t)rounds, sizeof(results[tls][0]), by_rate);
		median[tls] = results[tls][rounds / 2];
		printf("| %s | %.0f | %.0f | %.0f |\n", names[tls], median[tls].mb_per_s,
			median[tls].sender_ns * 1024, median[tls].receiver_ns * 1024);
	}
	printf("tls / plain: %.2f\n", median[1].mb_per_s / median[0].mb_per_s);
	return 0;
}
