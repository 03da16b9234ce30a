/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A backend for tests: obeys the rules of netbuf.c, holds nothing, touches no kernel object. */
#include "netbuf/netbuf.h"

static int null_nothing(struct netbuf *nb, struct why *why)
{
	return 0;
}

const struct netbuf_ops netbuf_null_ops = {
	.name = "null",
	.install = null_nothing,
	.close_epoch = null_nothing,
	.release_epoch = null_nothing,
	.remove = null_nothing,
};
