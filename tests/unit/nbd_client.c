/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers are those of the NBD project's doc/proto.md: fixed newstyle, simple replies. */
#include "tests/unit/nbd_client.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OPTION_MAGIC UINT64_C(0x49484156454f5054)
#define OPTION_GO 7
#define REPLY_ACK 1
#define REPLY_INFO 3
#define REPLY_ERROR UINT32_C(0x80000000)
#define REQUEST_MAGIC UINT32_C(0x25609513)
#define SIMPLE_REPLY_MAGIC UINT32_C(0x67446698)
#define DISCONNECT 2

static bool put(int fd, const void *data, size_t n)
{
	return send(fd, data, n, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool get(int fd, void *ret, size_t n)
{
	return n == 0 || recv(fd, ret, n, MSG_WAITALL) == (ssize_t)n;
}

static bool greet(int fd)
{
	struct {
		uint64_t magic, option_magic;
		uint16_t flags;
	} __attribute__((packed)) hello;
	const uint32_t flags = htobe32(3); /* fixed newstyle, no zeroes */

	return get(fd, &hello, sizeof(hello)) && be64toh(hello.option_magic) == OPTION_MAGIC &&
	       put(fd, &flags, sizeof(flags));
}

static int go(int fd, const char *export, uint64_t *ret_size)
{
	const uint32_t length = (uint32_t)strlen(export);
	struct {
		uint64_t magic;
		uint32_t option, length, name_length;
		char name[32];
	} __attribute__((packed)) request = {htobe64(OPTION_MAGIC), htobe32(OPTION_GO),
		htobe32(length + 6), htobe32(length), ""};
	struct {
		uint64_t magic;
		uint32_t option, type, length;
	} __attribute__((packed)) reply;
	uint8_t info[256];

	memcpy(request.name, export, length); /* then two zero bytes: no particular information */
	if (!put(fd, &request, 20 + length + 2))
		return -EPIPE;
	for (;;) {
		if (!get(fd, &reply, sizeof(reply)) || be32toh(reply.length) > sizeof(info) ||
			!get(fd, info, be32toh(reply.length)))
			return -EPIPE;
		if (be32toh(reply.type) & REPLY_ERROR)
			return -ENOENT;
		if (be32toh(reply.type) == REPLY_ACK)
			return 0;
		if (be32toh(reply.type) == REPLY_INFO && info[0] == 0 && info[1] == 0) {
			memcpy(ret_size, info + 2, sizeof(*ret_size));
			*ret_size = be64toh(*ret_size);
		}
	}
}

int nbd_connect(const char *path, const char *export, uint64_t *ret_size)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	else
		r = greet(fd) ? go(fd, export, ret_size) : -EPIPE;
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

struct request {
	uint32_t magic;
	uint16_t flags, type;
	uint64_t handle, offset;
	uint32_t length;
} __attribute__((packed));

int nbd_request(int fd, uint16_t type, uint16_t flags, void *data, uint32_t length, uint64_t offset)
{
	const struct request request = {htobe32(REQUEST_MAGIC), htobe16(flags), htobe16(type), 0,
		htobe64(offset), htobe32(length)};
	struct {
		uint32_t magic, error;
		uint64_t handle;
	} __attribute__((packed)) reply;

	if (!put(fd, &request, sizeof(request)) || (type == NBD_WRITE && !put(fd, data, length)) ||
		!get(fd, &reply, sizeof(reply)) || be32toh(reply.magic) != SIMPLE_REPLY_MAGIC)
		return -EPIPE;
	if (reply.error)
		return -(int)be32toh(reply.error);
	return type != NBD_READ || get(fd, data, length) ? 0 : -EPIPE;
}

void nbd_disconnect(int fd)
{
	const struct request request = {htobe32(REQUEST_MAGIC), 0, htobe16(DISCONNECT), 0, 0, 0};

	put(fd, &request, sizeof(request));
	close(fd);
}
