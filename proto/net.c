/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets: numeric addresses only, so that nothing here ever waits for a name server. */
#include "proto/internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/clock.h"

#define LISTEN_BACKLOG 16

struct endpoint {
	struct sockaddr_storage address;
	socklen_t length;
};

int proto_wait(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = deadline_ns ? clock_now_ns() : 0;
		uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
		struct timespec t = {
			.tv_sec = (time_t)(left / NSEC_PER_SEC),
			.tv_nsec = (long)(left % NSEC_PER_SEC),
		};
		int n = ppoll(&p, 1, deadline_ns == UINT64_MAX ? NULL : &t, NULL);

		if (n >= 0)
			return n;
		if (errno != EINTR)
			return -errno;
	}
}

static int resolve(const char *address, uint16_t port, struct endpoint *ret, struct why *why)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	char service[8];

	snprintf(service, sizeof(service), "%u", port);
	if (getaddrinfo(address, service, &hints, &found) != 0)
		return why_set(
			why, -EINVAL, "\"%s\" is not a numeric IPv4 or IPv6 address", address);
	memcpy(&ret->address, found->ai_addr, found->ai_addrlen);
	ret->length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int open_socket(const struct endpoint *at, int type, struct why *why)
{
	int fd = socket(at->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return why_set(why, -errno, "cannot create a socket: %s", strerror(errno));
	return fd;
}

static int set_option(int fd, int level, int option, struct why *why)
{
	int on = 1;

	if (setsockopt(fd, level, option, &on, sizeof(on)) < 0)
		return why_set(
			why, -errno, "cannot set an option of a socket: %s", strerror(errno));
	return 0;
}

static int bind_to(
	int fd, const struct endpoint *at, const char *address, unsigned int port, struct why *why)
{
	/* Else [::] would also take the port of 0.0.0.0 and the two could not be told apart. */
	if (at->address.ss_family == AF_INET6) {
		int err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, why);

		if (err < 0)
			return err;
	}
	if (bind(fd, (const struct sockaddr *)&at->address, at->length) < 0)
		return why_set(why, -errno, "cannot bind to %s port %u: %s", address, port,
			strerror(errno));
	return 0;
}

int proto_connect(const char *bind_address, const char *address, uint16_t port,
	uint64_t deadline_ns, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	struct endpoint to, from;
	socklen_t length = sizeof(int);
	int err, failure = 0;

	err = resolve(address, port, &to, why);
	if (err < 0)
		return err;
	fd = open_socket(&to, SOCK_STREAM, why);
	if (fd < 0)
		return fd;
	err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, why);
	if (err < 0)
		return err;
	if (bind_address) {
		err = resolve(bind_address, 0, &from, why);
		if (err < 0)
			return err;
		err = bind_to(fd, &from, bind_address, 0, why);
		if (err < 0)
			return err;
	}
	if (connect(fd, (const struct sockaddr *)&to.address, to.length) < 0) {
		/* EINTR, too, leaves the attempt under way. */
		if (errno != EINPROGRESS && errno != EINTR) {
			failure = errno;
		} else {
			err = proto_wait(fd, POLLOUT, deadline_ns);
			if (err == 0)
				failure = ETIMEDOUT;
			else if (err < 0)
				failure = -err;
			else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &length) < 0)
				failure = errno;
		}
	}
	if (failure)
		return why_set(why, -failure, "cannot connect to %s port %u: %s", address, port,
			strerror(failure));
	return TAKE_FD(fd);
}

int proto_listen(const char *address, uint16_t *port, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	struct endpoint at;
	int err;

	err = resolve(address, *port, &at, why);
	if (err < 0)
		return err;
	fd = open_socket(&at, SOCK_STREAM, why);
	if (fd < 0)
		return fd;
	/* A restarted daemon must not wait for the old connections' TIME_WAIT. */
	err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, why);
	if (err < 0)
		return err;
	/* Accepted sockets inherit it. */
	err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, why);
	if (err < 0)
		return err;
	err = bind_to(fd, &at, address, *port, why);
	if (err < 0)
		return err;
	if (listen(fd, LISTEN_BACKLOG) < 0)
		return why_set(why, -errno, "cannot listen on %s port %u: %s", address, *port,
			strerror(errno));
	if (getsockname(fd, (struct sockaddr *)&at.address, &at.length) < 0)
		return why_set(why, -errno, "cannot read the port bound on %s: %s", address,
			strerror(errno));
	if (at.address.ss_family == AF_INET6)
		*port = ntohs(((const struct sockaddr_in6 *)&at.address)->sin6_port);
	else
		*port = ntohs(((const struct sockaddr_in *)&at.address)->sin_port);
	return TAKE_FD(fd);
}

int proto_datagram(const char *address, uint16_t port, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;
	struct endpoint at;
	int err;

	err = resolve(address, port, &at, why);
	if (err < 0)
		return err;
	fd = open_socket(&at, SOCK_DGRAM, why);
	if (fd < 0)
		return fd;
	err = bind_to(fd, &at, address, port, why);
	if (err < 0)
		return err;
	return TAKE_FD(fd);
}
