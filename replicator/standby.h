/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The standby domain, built by a child process: libxl blocks for as long as the stream lasts, and
 * killing the child is the only way to stop it without completing the domain.
 */
#ifndef REPLICATOR_STANDBY_H
#define REPLICATOR_STANDBY_H

#include <sys/types.h>

#include "common/why.h"
#include "replicator/hv.h"

/* What the child tells, one datagram each. */
enum standby_stage { STANDBY_RESTORED, STANDBY_RUNNING, STANDBY_FAILED };

struct standby_news {
	enum standby_stage stage;
	struct why why;       /* FAILED */
	struct hv_domain dom; /* RUNNING; config_json is NULL */
};

struct standby {
	pid_t pid;
	int news_fd;   /* readable: standby_news, or end of file when the child died */
	int stream_fd; /* the libxl stream goes in here; take it */
	char name[256 + 16];
};

/* Name under which @domain stands by; libxl knows no two domains of one name. */
void standby_name(char *out, size_t size, const char *domain);

/*
 * Fork the child. Call before any thread exists. The child opens a hypervisor handle of its own,
 * restores @config_json until its stream ends, activates it as @domain upon `standby_go`, and
 * exits.
 */
int standby_start(struct standby *sb, const struct hv_ops *ops, const char *domain,
	const char *config_json, struct why *why);

/*
 * The same of one that was saved whole: its stream arrives at @stream_fd, which is owned from here
 * on, and is not ours to write to.
 */
int standby_start_whole(struct standby *sb, const struct hv_ops *ops, const char *domain,
	const char *config_json, int stream_fd, struct why *why);

/* Next news. Returns 1, 0 when the child has ended without a word, or a negative errno. */
int standby_news(struct standby *sb, struct standby_news *ret);

/* After RESTORED: it is to be activated. Without this word, as when its parent has died, it is not.
 */
void standby_go(struct standby *sb);

/* Kill the child and destroy what it had built. */
int standby_destroy(struct standby *sb, const struct hv_ops *ops, struct hv *hv, struct why *why);

#endif
