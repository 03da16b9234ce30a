/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small NBD client over a Unix socket, one request at a time: what the kernel would ask for. */
#ifndef TESTS_NBD_CLIENT_H
#define TESTS_NBD_CLIENT_H

#include <stdint.h>

enum { NBD_READ = 0, NBD_WRITE = 1, NBD_FLUSH = 3, NBD_TRIM = 4, NBD_ZERO = 6 };

#define NBD_FUA 1 /* flag of a request */

/* Returns the connection's descriptor, or a negative errno (-ENOENT: no such export). */
int nbd_connect(const char *path, const char *export, uint64_t *ret_size);

/* @data: for NBD_READ and NBD_WRITE. Returns 0, or the server's errno as a negative number. */
int nbd_request(
	int fd, uint16_t type, uint16_t flags, void *data, uint32_t length, uint64_t offset);

void nbd_disconnect(int fd);

#endif
