/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/awake.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

#define LOOKS 4 /* within the limit */

uint64_t awake_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_SEC + (uint64_t)t.tv_nsec;
}

static void *look(void *opaque)
{
	struct awake *a = opaque;
	struct pollfd over = {.fd = a->over_fd, .events = POLLIN};
	const int wait_ms = (int)(a->limit_ns / NSEC_PER_MSEC / LOOKS);

	while (poll(&over, 1, wait_ms) <= 0) {
		const uint64_t now = awake_now();

		/* In this order: whoever sees the second has seen the first. */
		if (now - atomic_load(&a->looked_ns) > a->limit_ns)
			atomic_store(&a->woke_ns, now);
		atomic_store(&a->looked_ns, now);
	}
	return NULL;
}

int awake_begin(struct awake *a, unsigned int limit_ms, struct why *why)
{
	int r;

	*a = (struct awake){.limit_ns = limit_ms * NSEC_PER_MSEC};
	atomic_store(&a->looked_ns, awake_now());
	a->over_fd = eventfd(0, EFD_CLOEXEC);
	if (a->over_fd < 0)
		return why_set(why, -errno, "no event descriptor: %s", strerror(errno));
	r = pthread_create(&a->thread, NULL, look, a);
	a->begun = !r;
	return r ? why_set(why, -r, "no thread that looks at the clock: %s", strerror(r)) : 0;
}

void awake_end(struct awake *a)
{
	if (a->begun) {
		eventfd_write(a->over_fd, 1);
		pthread_join(a->thread, NULL);
	}
	if (a->over_fd > 0)
		close(a->over_fd);
	*a = (struct awake){.begun = false};
}

bool awake_since(struct awake *a, uint64_t since_ns)
{
	const uint64_t looked = atomic_load(&a->looked_ns);

	return awake_now() - looked <= a->limit_ns && atomic_load(&a->woke_ns) < since_ns;
}
