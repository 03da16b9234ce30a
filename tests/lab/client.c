// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * lab-client: the lab's user, on the guest LAN. Every verb prints one JSON line as its last output.
 *
 * lab-client redis ADDRESS[:PORT] --seconds N [--until FILE] [--limit S] [--tag TEXT] [--log FILE]
 *     One TCP connection that is never reopened. INCR of a counter and SET of a sequence in turn;
 *     each acknowledged write is logged ("MONOTONIC_MS NUMBER"). At the end, which is when N
 * seconds are over or FILE is there, reads all of it back on the same connection. Waits through an
 *     outage for up to S seconds (default 120). Exit 1 if a write that was acknowledged is missing
 *     or the connection broke.
 * lab-client watch --seconds N [--log FILE]
 *     Collects pulse's reports: iterations per second; median, p99 and longest stop.
 * lab-client chirps --seconds N --if INTERFACE [--log FILE]
 *     Notes the arrival of each chirp ("MONOTONIC_MS udp4|udp6|arp NUMBER"), in order.
 * lab-client tell ADDRESS COMMAND...
 *     Sends a control line to pulse and prints its answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REDIS_PORT = 6379, CONTROL_PORT = 7700, REPORT_PORT = 7701, CHIRP_PORT = 7702 };
enum { REPLY_BYTES = 256, MAX_STOPS = 200000, NOTABLE_GAP_MS = 1000 };

struct options {
	double seconds, limit;
	const char *tag, *interface, *until;
	FILE *log;
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Reads --NAME VALUE pairs from argv; returns false at the first that it does not know. */
static bool read_options(struct options *o, char **argv)
{
	*o = (struct options){.seconds = 10, .limit = 120, .tag = "lab", .interface = "guest"};
	for (; argv[0] && argv[1]; argv += 2) {
		if (!strcmp(argv[0], "--seconds"))
			o->seconds = atof(argv[1]);
		else if (!strcmp(argv[0], "--limit"))
			o->limit = atof(argv[1]);
		else if (!strcmp(argv[0], "--tag"))
			o->tag = argv[1];
		else if (!strcmp(argv[0], "--until"))
			o->until = argv[1];
		else if (!strcmp(argv[0], "--if"))
			o->interface = argv[1];
		else if (!strcmp(argv[0], "--log"))
			o->log = fopen(argv[1], "we");
		else
			return false;
	}
	if (o->log)
		setvbuf(o->log, NULL, _IOLBF, 0);
	return !argv[0];
}

static void note(const struct options *o, double when, const char *what, unsigned long long number)
{
	if (o->log)
		fprintf(o->log, "%.3f %s%llu\n", when, what, number);
}

/* One connection to redis; `error` says why it is no longer usable. */
struct redis {
	int fd;
	double limit_ms;
	const char *error;
};

/* Sends COMMAND and reads one reply line, and the bulk line after a "$" reply. */
static bool redis_ask(struct redis *r, const char *command, char *reply)
{
	size_t length = strlen(command), at = 0;
	double until = now_ms() + r->limit_ms;
	int lines = 1;

	if (send(r->fd, command, length, MSG_NOSIGNAL) != (ssize_t)length) {
		r->error = strerror(errno);
		return false;
	}
	while (lines) {
		struct pollfd p = {.fd = r->fd, .events = POLLIN};
		double left = until - now_ms();
		ssize_t got;

		if (left <= 0 || poll(&p, 1, (int)left + 1) == 0) {
			r->error = "no reply within the limit";
			return false;
		}
		got = recv(r->fd, reply + at, 1, 0);
		if (got <= 0) {
			r->error = got ? strerror(errno) : "closed by the guest";
			return false;
		}
		if (reply[at] == '\n') {
			lines--;
			if (reply[0] == '$' && reply[1] != '-' && at < 16 &&
				!memchr(reply, ' ', at)) {
				reply[0] = ' '; /* header seen: the value is the next line */
				lines = 1;
				at = 0;
				continue;
			}
			reply[at] = 0;
			if (at && reply[at - 1] == '\r')
				reply[at - 1] = 0;
			return true;
		}
		if (at < REPLY_BYTES - 2)
			at++;
	}
	return true;
}

static int local_port(int fd)
{
	struct sockaddr_in a;
	socklen_t length = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &length) < 0 ? -1 : ntohs(a.sin_port);
}

static int connect_to(const char *where, int default_port)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	char address[64];
	char *colon;
	int fd, one = 1;

	snprintf(address, sizeof(address), "%s", where);
	colon = strchr(address, ':');
	to.sin_port = htons((uint16_t)(colon ? atoi(colon + 1) : default_port));
	if (colon)
		*colon = 0;
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return -EINVAL;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int redis_main(const char *where, const struct options *o)
{
	struct redis r = {.limit_ms = o->limit * 1e3};
	unsigned long long number = 0, acked_incr = 0, acked_set = 0, found_incr = 0, found_set = 0;
	unsigned long long missing;
	double start, last, longest = 0, longest_at = 0, end;
	char command[256], reply[REPLY_BYTES];
	int port;
	bool same;

	r.fd = connect_to(where, REDIS_PORT);
	if (r.fd < 0) {
		fprintf(stderr, "lab-client: cannot connect to %s: %s\n", where, strerror(-r.fd));
		return 1;
	}
	port = local_port(r.fd);
	snprintf(command, sizeof(command), "DEL %s:counter %s:sequence\r\n", o->tag, o->tag);
	if (!redis_ask(&r, command, reply))
		goto out;
	start = last = now_ms();
	while (now_ms() - start < o->seconds * 1e3 && !(o->until && access(o->until, F_OK) == 0)) {
		bool incr = !(number++ & 1);
		double t;

		if (incr)
			snprintf(command, sizeof(command), "INCR %s:counter\r\n", o->tag);
		else
			snprintf(command, sizeof(command), "SET %s:sequence %llu\r\n", o->tag,
				number);
		if (!redis_ask(&r, command, reply))
			break;
		t = now_ms();
		if (incr) {
			acked_incr++;
			if (reply[0] != ':' || strtoull(reply + 1, NULL, 10) != acked_incr) {
				r.error = "the counter went back: an acknowledged write was lost";
				break;
			}
		} else {
			acked_set = number;
			if (strcmp(reply, "+OK")) {
				r.error = "SET was refused";
				break;
			}
		}
		note(o, t, "", number);
		if (t - last > longest) {
			longest = t - last;
			longest_at = last - start;
		}
		if (t - last > NOTABLE_GAP_MS)
			fprintf(stderr,
				"lab-client: first reply after a gap of %.0f ms, write %llu\n",
				t - last, number);
		last = t;
	}
	end = now_ms();
	snprintf(command, sizeof(command), "GET %s:counter\r\n", o->tag);
	if (!r.error && redis_ask(&r, command, reply))
		found_incr = strtoull(reply, NULL, 10);
	snprintf(command, sizeof(command), "GET %s:sequence\r\n", o->tag);
	if (!r.error && redis_ask(&r, command, reply))
		found_set = strtoull(reply, NULL, 10);
	missing = (found_incr < acked_incr ? acked_incr - found_incr : 0) +
		  (found_set < acked_set ? (acked_set - found_set + 1) / 2 : 0);
	same = !r.error && local_port(r.fd) == port;
	printf("{\"acked\":%llu,\"found\":%llu,\"missing\":%llu,\"seconds\":%.1f,"
	       "\"writes_per_second\":%.1f,\"longest_gap_ms\":%.0f,\"longest_gap_at_ms\":%.0f,"
	       "\"same_connection\":%s,\"local_port\":%d,\"error\":\"%s\"}\n",
		acked_incr + acked_set / 2, found_incr + found_set / 2, missing,
		(end - start) / 1e3, (double)number / (end - start) * 1e3, longest, longest_at,
		same ? "true" : "false", port, r.error ? r.error : "");
	return missing || !same;
out:
	fprintf(stderr, "lab-client: %s\n", r.error);
	return 1;
}

static int udp_socket(int family, int port)
{
	struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
	struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
		error = bind(fd, (struct sockaddr *)&any6, sizeof(any6));
	} else {
		error = bind(fd, (struct sockaddr *)&any4, sizeof(any4));
	}
	return error < 0 ? -errno : fd;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double field(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtod(at + strlen(name), NULL) : 0;
}

static int watch_main(const struct options *o)
{
	static double stops[MAX_STOPS];
	size_t count = 0;
	double iterations = 0, window = 0, stopped = 0, longest = 0, until;
	double silence = 0, last = 0;
	unsigned reports = 0, unlisted = 0;
	char line[2048];
	int fd = udp_socket(AF_INET, REPORT_PORT);

	if (fd < 0) {
		fprintf(stderr, "lab-client: UDP port %d: %s\n", REPORT_PORT, strerror(-fd));
		return 1;
	}
	until = now_ms() + o->seconds * 1e3;
	while (now_ms() < until) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		unsigned listed = 0;
		ssize_t got;
		double t;
		char *at;

		if (poll(&p, 1, (int)(until - now_ms()) + 1) <= 0)
			continue;
		got = recv(fd, line, sizeof(line) - 1, 0);
		if (got <= 0)
			continue;
		line[got] = 0;
		t = now_ms();
		if (last > 0 && t - last > silence)
			silence = t - last;
		last = t;
		if (o->log)
			fprintf(o->log, "%.3f %s", t, line);
		reports++;
		iterations += field(line, "\"iterations\":");
		window += field(line, "\"window_ms\":");
		stopped += field(line, "\"stopped_ms\":");
		if (field(line, "\"longest_ms\":") > longest)
			longest = field(line, "\"longest_ms\":");
		at = strstr(line, "\"stops\":[");
		for (at = at ? at + 9 : NULL; at && *at && *at != ']' && count < MAX_STOPS;
			listed++) {
			stops[count++] = strtod(at, &at);
			if (*at == ',')
				at++;
		}
		unlisted += (unsigned)field(line, "\"stop_count\":") - listed;
	}
	qsort(stops, count, sizeof(stops[0]), compare_doubles);
	printf("{\"reports\":%u,\"seconds\":%.1f,\"iterations_per_second\":%.0f,\"stops\":%zu,"
	       "\"stops_per_second\":%.2f,\"median_ms\":%.1f,\"p99_ms\":%.1f,\"max_ms\":%.1f,"
	       "\"stopped_percent\":%.1f,\"unlisted\":%u,\"longest_silence_ms\":%.0f}\n",
		reports, window / 1e3, window > 0 ? iterations / window * 1e3 : 0, count,
		window > 0 ? (double)count / window * 1e3 : 0, count ? stops[count / 2] : 0,
		count ? stops[(size_t)((double)(count - 1) * 0.99 + 0.5)] : 0, longest,
		window > 0 ? stopped / window * 100 : 0, unlisted, silence);
	return reports == 0;
}

static int chirps_main(const struct options *o)
{
	static const char *const names[] = {"udp4 ", "udp6 ", "arp "};
	struct sockaddr_ll from = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP)};
	struct pollfd p[3];
	unsigned long long seen[3] = {0}, last[3] = {0}, back = 0;
	uint8_t frame[2048];
	double until;
	int i;

	p[0].fd = udp_socket(AF_INET, CHIRP_PORT);
	p[1].fd = udp_socket(AF_INET6, CHIRP_PORT);
	p[2].fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ARP));
	from.sll_ifindex = (int)if_nametoindex(o->interface);
	if (p[0].fd < 0 || p[1].fd < 0 || p[2].fd < 0 || !from.sll_ifindex ||
		bind(p[2].fd, (struct sockaddr *)&from, sizeof(from)) < 0) {
		fprintf(stderr, "lab-client: cannot listen on %s\n", o->interface);
		return 1;
	}
	for (i = 0; i < 3; i++)
		p[i].events = POLLIN;
	until = now_ms() + o->seconds * 1e3;
	while (now_ms() < until) {
		if (poll(p, 3, (int)(until - now_ms()) + 1) <= 0)
			continue;
		for (i = 0; i < 3; i++) {
			unsigned long long number;
			ssize_t got;
			uint32_t seq;

			if (!(p[i].revents & POLLIN))
				continue;
			got = recv(p[i].fd, frame, sizeof(frame) - 1, MSG_DONTWAIT);
			if (got <= 0)
				continue;
			frame[got] = 0;
			if (i == 2) {
				if (got < 50 || memcmp(frame + 42, "CHRP", 4) != 0)
					continue;
				memcpy(&seq, frame + 46, 4);
				number = ntohl(seq);
			} else if (sscanf((char *)frame, "chirp %llu", &number) != 1) {
				continue;
			}
			seen[i]++;
			back += number <= last[i];
			last[i] = number;
			note(o, now_ms(), names[i], number);
		}
	}
	printf("{\"udp4\":%llu,\"udp6\":%llu,\"arp\":%llu,\"last_udp4\":%llu,\"last_udp6\":%llu,"
	       "\"last_arp\":%llu,\"went_back\":%llu}\n",
		seen[0], seen[1], seen[2], last[0], last[1], last[2], back);
	return !seen[0] || !seen[1] || !seen[2];
}

static int tell_main(const char *address, char **words)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(CONTROL_PORT)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), attempt;
	char line[256] = "";

	if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
		return 2;
	for (; *words; words++) {
		strncat(line, *words, sizeof(line) - strlen(line) - 1);
		strncat(line, " ", sizeof(line) - strlen(line) - 1);
	}
	/* every command may safely arrive twice, so a lost datagram is sent again */
	for (attempt = 0; attempt < 5; attempt++) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char answer[512];
		ssize_t got;

		sendto(fd, line, strlen(line), 0, (struct sockaddr *)&to, sizeof(to));
		if (poll(&p, 1, 3000) > 0 && (got = recv(fd, answer, sizeof(answer), 0)) > 0) {
			fwrite(answer, 1, (size_t)got, stdout);
			return 0;
		}
	}
	fprintf(stderr, "lab-client: pulse at %s does not answer\n", address);
	return 1;
}

int main(int argc, char **argv)
{
	struct options o;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc >= 3 && !strcmp(argv[1], "redis") && read_options(&o, argv + 3))
		return redis_main(argv[2], &o);
	if (argc >= 2 && !strcmp(argv[1], "watch") && read_options(&o, argv + 2))
		return watch_main(&o);
	if (argc >= 2 && !strcmp(argv[1], "chirps") && read_options(&o, argv + 2))
		return chirps_main(&o);
	if (argc >= 4 && !strcmp(argv[1], "tell"))
		return tell_main(argv[2], argv + 3);
	fprintf(stderr,
		"usage: lab-client redis ADDRESS | watch | chirps | tell ADDRESS COMMAND..., "
		"then --seconds N --until FILE --limit S --tag TEXT --if INTERFACE --log FILE\n");
	return 2;
}
