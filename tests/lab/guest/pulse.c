// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pulse: the lab's probe inside a domU. Off until told otherwise.
 *
 * usage: pulse CLIENT4 CLIENT6 INTERFACE
 *
 * Control, one UDP datagram to port 7700, answered with one line:
 *   start [dirty=PAGES] [writes=PER_SECOND] [bytes=PER_WRITE] [threshold=US]
 *       work loop: counts iterations, keeps PAGES pages dirty (each written ten times a second
 * unless `writes` says otherwise), notes every stop longer than the threshold (default 12000 us)
 *   stop
 *   chirp rate=PER_SECOND [count=N]
 *       per tick one IPv4 UDP datagram, one IPv6 UDP datagram and one raw ARP frame, all carrying
 * the same sequence number hush status
 *   stamp start|hold|go|check|status: writes to the disks and compares them with RAM, see stamp.c
 *   load start|status: measures the disks, see load.c
 *
 * While working, one JSON line a second goes to CLIENT4, UDP port 7701. Chirps go to port 7702 and
 * as ARP broadcasts whose padding holds "CHRP" and the big-endian number.
 *
 * Time is the TSC: it is what the guest sees, so a stop is what the guest lost, whatever the
 * reason.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

enum { CONTROL_PORT = 7700, REPORT_PORT = 7701, CHIRP_PORT = 7702 };
enum { PAGE_BYTES = 4096, MAX_DIRTY_PAGES = 65536, MAX_STOPS = 96, WORK_STEPS = 256 };
enum { CHIRP_FRAME_BYTES = 60 };

struct pulse {
	int control, out4, out6, raw;
	struct sockaddr_in report_to, chirp4_to;
	struct sockaddr_in6 chirp6_to;
	struct sockaddr_ll arp_to;
	uint8_t mac[6];
	uint32_t address; /* our IPv4 address, network order */
	double tsc_per_us;

	bool working;
	uint8_t *pages;
	uint32_t page_count, next_page, bytes;
	double writes_per_us, threshold_us;
	uint64_t iterations, window_start, last, last_write, last_poll;
	uint32_t report_seq, stop_count;
	double stops[MAX_STOPS]; /* ms */
	double stopped_ms, longest_ms;

	double chirp_per_us;
	uint64_t chirp_last;
	uint32_t chirp_seq, chirp_left;
};

uint64_t probe_tsc(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

static double per_us;

double probe_tsc_per_us(void)
{
	return per_us;
}

static double calibrate_tsc(void)
{
	struct timespec t0, t1;
	uint64_t c0, c1;

	clock_gettime(CLOCK_MONOTONIC, &t0);
	c0 = probe_tsc();
	usleep(500000);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	c1 = probe_tsc();
	return (double)(c1 - c0) /
	       ((double)(t1.tv_sec - t0.tv_sec) * 1e6 + (double)(t1.tv_nsec - t0.tv_nsec) / 1e3);
}

double probe_option(const char *line, const char *name, double missing)
{
	const char *at = strstr(line, name);

	return at ? strtod(at + strlen(name), NULL) : missing;
}

static void send_report(struct pulse *p, uint64_t now)
{
	char line[1400];
	size_t at;
	uint32_t i;

	at = (size_t)snprintf(line, sizeof(line),
		"{\"seq\":%u,\"window_ms\":%.1f,\"iterations\":%llu,\"dirty\":%u,"
		"\"stopped_ms\":%.1f,\"longest_ms\":%.1f,\"stop_count\":%u,\"stops\":[",
		p->report_seq++, (double)(now - p->window_start) / p->tsc_per_us / 1e3,
		(unsigned long long)p->iterations, p->page_count, p->stopped_ms, p->longest_ms,
		p->stop_count);
	for (i = 0; i < p->stop_count && i < MAX_STOPS; i++)
		at += (size_t)snprintf(
			line + at, sizeof(line) - at, "%s%.1f", i ? "," : "", p->stops[i]);
	at += (size_t)snprintf(line + at, sizeof(line) - at, "]}\n");
	sendto(p->out4, line, at, MSG_DONTWAIT, (struct sockaddr *)&p->report_to,
		sizeof(p->report_to));
	p->window_start = now;
	p->iterations = 0;
	p->stop_count = 0;
	p->stopped_ms = p->longest_ms = 0;
}

static void start_work(struct pulse *p, const char *line)
{
	double pages = probe_option(line, "dirty=", 0), bytes = probe_option(line, "bytes=", 64);
	double writes = probe_option(line, "writes=", pages * 10);

	if (p->pages)
		munmap(p->pages, (size_t)p->page_count * PAGE_BYTES);
	p->pages = NULL;
	p->page_count = pages < 0 ? 0 : pages > MAX_DIRTY_PAGES ? MAX_DIRTY_PAGES : (uint32_t)pages;
	if (p->page_count) {
		p->pages = mmap(NULL, (size_t)p->page_count * PAGE_BYTES, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (p->pages == MAP_FAILED) {
			p->pages = NULL;
			p->page_count = 0;
		}
	}
	p->bytes = bytes < 8 ? 8 : bytes > PAGE_BYTES ? PAGE_BYTES : (uint32_t)bytes;
	p->writes_per_us = writes / 1e6;
	p->threshold_us = probe_option(line, "threshold=", 12000);
	p->iterations = p->stop_count = p->next_page = 0;
	p->stopped_ms = p->longest_ms = 0;
	p->window_start = p->last = p->last_write = p->last_poll = probe_tsc();
	p->working = true;
}

static void control(struct pulse *p)
{
	char line[256], answer[512];
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	ssize_t got = recvfrom(p->control, line, sizeof(line) - 1, MSG_DONTWAIT,
		(struct sockaddr *)&from, &from_len);

	if (got < 0)
		return;
	line[got] = 0;
	if (!strncmp(line, "start", 5)) {
		start_work(p, line);
	} else if (!strncmp(line, "stop", 4)) {
		p->working = false;
	} else if (!strncmp(line, "chirp", 5)) {
		p->chirp_per_us = probe_option(line, "rate=", 20) / 1e6;
		p->chirp_left = (uint32_t)probe_option(line, "count=", 4e9);
		p->chirp_last = probe_tsc();
	} else if (!strncmp(line, "hush", 4)) {
		p->chirp_left = 0;
	}
	if (!strncmp(line, "stamp ", 6))
		stamp_command(line + 6, answer, sizeof(answer));
	else if (!strncmp(line, "load ", 5))
		load_command(line + 5, answer, sizeof(answer));
	else
		snprintf(answer, sizeof(answer), "working=%d dirty=%u chirping=%d chirp_seq=%u\n",
			p->working, p->page_count, p->chirp_left > 0, p->chirp_seq);
	sendto(p->control, answer, strlen(answer), MSG_DONTWAIT, (struct sockaddr *)&from,
		from_len);
}

static void send_chirp(struct pulse *p)
{
	uint32_t seq = htonl(++p->chirp_seq);
	uint8_t frame[CHIRP_FRAME_BYTES] = {0};
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};
	char text[64];
	int length = snprintf(text, sizeof(text), "chirp %u\n", p->chirp_seq);

	sendto(p->out4, text, (size_t)length, MSG_DONTWAIT, (struct sockaddr *)&p->chirp4_to,
		sizeof(p->chirp4_to));
	sendto(p->out6, text, (size_t)length, MSG_DONTWAIT, (struct sockaddr *)&p->chirp6_to,
		sizeof(p->chirp6_to));
	/* A gratuitous ARP request (RFC 826 layout); the number rides in the Ethernet padding. */
	memcpy(arp + 8, p->mac, 6);
	memcpy(arp + 14, &p->address, 4);
	memcpy(arp + 24, &p->address, 4);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, p->mac, 6);
	frame[12] = 8;
	frame[13] = 6;
	memcpy(frame + 14, arp, sizeof(arp));
	memcpy(frame + 42, "CHRP", 4);
	memcpy(frame + 46, &seq, 4);
	sendto(p->raw, frame, sizeof(frame), MSG_DONTWAIT, (struct sockaddr *)&p->arp_to,
		sizeof(p->arp_to));
}

/* Sends the chirps that are due; time lost in a stop is not caught up. */
static void chirp(struct pulse *p, uint64_t now)
{
	double due = (double)(now - p->chirp_last) / p->tsc_per_us * p->chirp_per_us;

	if (!p->chirp_left || due < 1)
		return;
	p->chirp_last = now;
	p->chirp_left--;
	send_chirp(p);
}

static void write_pages(struct pulse *p, uint64_t now)
{
	double due = (double)(now - p->last_write) / p->tsc_per_us * p->writes_per_us;
	static uint64_t state = 88172645463325252ULL;
	uint32_t count = due > 256 ? 256 : (uint32_t)due, i;

	if (!p->page_count || !count)
		return;
	p->last_write = now;
	while (count--) {
		uint64_t *page = (uint64_t *)(void *)(p->pages + (size_t)p->next_page * PAGE_BYTES);

		for (i = 0; i < p->bytes / 8; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			page[i] = state;
		}
		p->next_page = (p->next_page + 1) % p->page_count;
	}
}

static void work(struct pulse *p)
{
	static volatile uint64_t sink;
	uint64_t x = sink, now;
	double gap_us;
	int i;

	for (i = 0; i < WORK_STEPS; i++)
		x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	sink = x;
	now = probe_tsc();
	gap_us = (double)(now - p->last) / p->tsc_per_us;
	p->last = now;
	p->iterations++;
	if (gap_us > p->threshold_us) {
		if (p->stop_count < MAX_STOPS)
			p->stops[p->stop_count] = gap_us / 1e3;
		p->stop_count++;
		p->stopped_ms += gap_us / 1e3;
		if (gap_us / 1e3 > p->longest_ms)
			p->longest_ms = gap_us / 1e3;
	}
	write_pages(p, now);
	chirp(p, now);
	if ((double)(now - p->last_poll) / p->tsc_per_us > 20000) {
		p->last_poll = now;
		control(p);
	}
	if ((double)(now - p->window_start) / p->tsc_per_us > 1e6)
		send_report(p, now);
}

static int open_sockets(struct pulse *p, const char *client4, const char *client6, const char *name)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(CONTROL_PORT)};
	struct ifreq request = {0};

	p->control = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	p->out4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	p->out6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	p->raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->control < 0 || p->out4 < 0 || p->out6 < 0 || p->raw < 0)
		return -errno;
	if (bind(p->control, (struct sockaddr *)&any, sizeof(any)) < 0)
		return -errno;
	p->report_to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(REPORT_PORT)};
	p->chirp6_to =
		(struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(CHIRP_PORT)};
	if (inet_pton(AF_INET, client4, &p->report_to.sin_addr) != 1 ||
		inet_pton(AF_INET6, client6, &p->chirp6_to.sin6_addr) != 1)
		return -EINVAL;
	p->chirp4_to = p->report_to;
	p->chirp4_to.sin_port = htons(CHIRP_PORT);
	strncpy(request.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(p->out4, SIOCGIFHWADDR, &request) < 0)
		return -errno;
	memcpy(p->mac, request.ifr_hwaddr.sa_data, 6);
	if (ioctl(p->out4, SIOCGIFADDR, &request) < 0)
		return -errno;
	memcpy(&p->address, request.ifr_addr.sa_data + 2, 4);
	p->arp_to = (struct sockaddr_ll){.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ARP),
		.sll_ifindex = (int)if_nametoindex(name),
		.sll_halen = 6};
	memset(p->arp_to.sll_addr, 0xff, 6);
	return 0;
}

int main(int argc, char **argv)
{
	static struct pulse p;
	struct pollfd ready;
	int error;

	if (argc != 4) {
		fprintf(stderr, "usage: pulse CLIENT4 CLIENT6 INTERFACE\n");
		return 2;
	}
	error = open_sockets(&p, argv[1], argv[2], argv[3]);
	if (error) {
		fprintf(stderr, "pulse: cannot open its sockets: %s\n", strerror(-error));
		return 1;
	}
	p.tsc_per_us = per_us = calibrate_tsc();
	ready = (struct pollfd){.fd = p.control, .events = POLLIN};
	for (;;) {
		if (p.working) {
			work(&p);
			continue;
		}
		if (poll(&ready, 1, p.chirp_left ? 2 : -1) > 0)
			control(&p);
		chirp(&p, probe_tsc());
	}
}
