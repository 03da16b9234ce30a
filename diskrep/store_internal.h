/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The handle's inside: store.c begins and ends it, store_talk.c speaks through it. */
#ifndef DISKREP_STORE_INTERNAL_H
#define DISKREP_STORE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "diskrep/store.h"
#include "diskrep/store_process.h"

#define STORE_NEWS_MAX 512 /* while waiting for one answer; more is a store gone mad */

struct diskrep_store {
	struct store_paths paths;
	char name[64];
	pid_t pid;
	int control, pidfd;
	int events; /* epoll: control, and `queued` while there is something in the queue */
	int queued; /* eventfd */
	bool gone, gone_said;
	struct diskrep_store_news queue[STORE_NEWS_MAX];
	size_t queue_first, queue_n;
};

/*
 * Send @request and wait for its answer; what follows "ok" in @answer (may be empty). Returns as
 * store.h says.
 */
int store_ask(struct diskrep_store *st, const char *request, unsigned timeout_ms, char *answer,
	size_t size, struct why *why);

#endif
