/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"

static void lock_path(const struct worker *w, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, "%s/takeover-%s", w->run_dir, w->uuid);
}

/* Held until this process ends. */
static int hold(const struct worker *w, int how, struct why *why)
{
	char path[PATH_MAX];
	int fd;

	lock_path(w, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return why_set(why, -errno, "its takeover cannot be noted in %s: %s", path,
			strerror(errno));
	while (flock(fd, how) < 0) {
		const int err = errno;

		if (err == EINTR)
			continue;
		close(fd);
		return why_set(why, err == EWOULDBLOCK ? -EBUSY : -err,
			"another process is at the takeover of '%s' (%s)", w->domain, path);
	}
	return 0;
}

int adopt_begin(const struct worker *w, struct why *why)
{
	int r = hold(w, LOCK_EX | LOCK_NB, why);

	if (r == -EBUSY)
		return r;
	if (r)
		log_warning("%s: %s: the takeover goes on, but ends if romulusd does", w->domain,
			why->text);
	else
		prctl(PR_SET_PDEATHSIG, 0);
	return 0;
}

void adopt_end(const struct worker *w)
{
	char path[PATH_MAX];

	lock_path(w, path);
	unlink(path);
}

int adopt_await(const struct worker *w, struct why *why)
{
	return hold(w, LOCK_EX, why);
}

int adopt_guest(const struct worker *w, const struct hv_ops *ops, struct hv *hv,
	struct hv_domain *ret, struct why *why)
{
	int r = ops->find(hv, w->domain, ret, why);

	if (r == -ENOENT)
		return why_set(why, r, "romulusd ended in the middle of it, and it came to no end");
	if (r)
		return r;
	if (strcmp(ret->uuid, w->uuid) != 0)
		r = why_set(why, -EEXIST,
			"romulusd ended in the middle of it, and '%s' is another "
			"guest now",
			w->domain);
	else if (ret->paused) /* the last step that was still to come */
		r = ops->unpause(hv, ret->domid, why);
	if (r)
		hv_domain_clear(ret);
	return r;
}
