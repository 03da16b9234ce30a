/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the verdicts share; nobody else includes this. */
#ifndef FAILOVER_PREFLIGHT_ROWS_H
#define FAILOVER_PREFLIGHT_ROWS_H

#include "failover/preflight.h"

struct failover_judgement {
	const struct failover_preflight *p;
	struct failover_check_row *row;
};

/* What was found, as a phrase, and what to do about it: the latter for what does not pass. */
void failover_found(struct failover_judgement *j, enum failover_result result, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void failover_todo(struct failover_judgement *j, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A list in a sentence: "a, b, c"; what does not fit is counted. */
struct failover_list {
	char text[256];
	size_t used, n, left;
};

void failover_list(struct failover_list *l, const char *item);

#define LIST_FMT "%s%s"
#define LIST_ARGS(l) (l)->text, (l)->left ? " and others" : ""

/* preflight_disks.c */

void failover_judge_disks(struct failover_judgement *j);
void failover_judge_drbd(struct failover_judgement *j);
void failover_judge_use(struct failover_judgement *j);
void failover_judge_fixed(struct failover_judgement *j);

#endif
