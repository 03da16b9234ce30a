/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Child processes that run to their end: the fence agent, and a worker's --repair or --discard.
 * Nothing waits: the end, or the time-out (the whole process group is then killed), is a callback.
 */
#ifndef FAILOVER_CHILD_H
#define FAILOVER_CHILD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <systemd/sd-event.h>

struct why;
struct failover_child;

#define FAILOVER_CHILD_KILLED (-1) /* ended by a signal */
#define FAILOVER_CHILD_TIMED_OUT (-2)

/* @status: exit status or FAILOVER_CHILD_x. @output: the last of its output, one line. The child
 * object is gone when this returns. */
typedef void failover_child_done(void *data, int status, const char *output);

/*
 * Run @argv with @input as standard input and its output captured. Returns 0 and *ret (to be freed
 * by failover_child_free only to abandon it early), or a negative errno with a sentence.
 */
int failover_child_run(sd_event *event, char *const argv[], const char *input, uint64_t timeout_ms,
	failover_child_done *done, void *data, struct failover_child **ret, struct why *why);

/* Kill and forget: the callback will not come. NULL is fine; returns NULL. */
struct failover_child *failover_child_free(struct failover_child *c);

/*
 * Start @argv in a process group of its own, signals as at start-up. fds[0..2] become 0, 1, 2
 * (-1: /dev/null for 0, inherited for 1 and 2); @fd3 becomes 3 unless -1. Returns the pid or a
 * negative errno.
 */
pid_t failover_spawn(char *const argv[], const int fds[3], int fd3);

/*
 * Take leave of a child that was killed, and has no source in @event any more. As a rule it is gone
 * when this returns. One that hangs in the kernel (on a disk, say) runs nothing of its own any
 * more, and is not waited for: @event reaps it some time.
 */
void failover_reap(sd_event *event, pid_t pid);

#endif
