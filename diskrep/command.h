/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One run of an administration tool (drbdadm, drbdsetup, nbd-client, modprobe) to its end. Rare
 * operations only: nothing of this is in the path of an epoch.
 */
#ifndef DISKREP_COMMAND_H
#define DISKREP_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/why.h"

#define DISKREP_COMMAND_OUTPUT_MAX (256u << 10)
#define DISKREP_COMMAND_ERRORS_MAX 4096u

struct diskrep_command {
	char *output;                            /* what it wrote, a string; NULL if nothing */
	bool truncated;                          /* more than DISKREP_COMMAND_OUTPUT_MAX of it */
	char errors[DISKREP_COMMAND_ERRORS_MAX]; /* the first that it wrote on standard error */
	int status;                              /* exit status, or -signal */
};

/*
 * Run @argv (argv[0] an absolute path, ended by NULL) with nothing on standard input and wait for
 * its end, at most @timeout_ms; then its process group is killed. 0 when it ran, whatever its exit
 * status: *ret is then to be released by diskrep_command_clear. Else a negative errno with a
 * sentence and an empty *ret: -ENOENT not installed, -ETIMEDOUT.
 */
int diskrep_command_run(
	const char *const argv[], int timeout_ms, struct diskrep_command *ret, struct why *why);

/*
 * As diskrep_command_run, and an exit status other than 0 is -EIO. The sentence is "cannot @what: "
 * and what the tool said.
 */
int diskrep_command(const char *const argv[], int timeout_ms, struct why *why, const char *what,
	...) __attribute__((format(printf, 4, 5)));

/* Load the kernel module @name unless it is there. As diskrep_command. */
int diskrep_load_module(const char *name, struct why *why);

/* What @c said when it failed, as one line without line ends: @size bytes at @text. */
void diskrep_command_complaint(const struct diskrep_command *c, char *text, size_t size);

/* Release what a run returned. */
void diskrep_command_clear(struct diskrep_command *c);

#endif
