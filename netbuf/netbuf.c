/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules that hold for every backend.
 *
 * Invariant: between two BUFFERs there is one RELEASE_ONE. sch_plug remembers the end of one epoch
 * only; a second BUFFER would move that mark and the next release would let go what is not yet
 * acknowledged. So close and release alternate, and after a command that failed on some vif, when
 * nobody knows how far each plug is, only remove is left.
 */
#include "netbuf/netbuf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "netbuf/internal.h"

bool netbuf_valid_ifname(const char *name)
{
	if (!name || !*name || strlen(name) >= IFNAMSIZ)
		return false;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return false;
	for (; *name; name++)
		if (*name == '/' || *name == ':' || isspace((unsigned char)*name))
			return false;
	return true;
}

int netbuf_ifb_name(const char *vif, char ret_ifb[IFNAMSIZ])
{
	const char *rest = vif;

	if (!netbuf_valid_ifname(vif))
		return -EINVAL;
	if (!strncmp(vif, "vif", 3) && vif[3])
		rest = vif + 3;
	if (strlen(rest) + 2 >= IFNAMSIZ)
		return -ENAMETOOLONG;
	memset(ret_ifb, 0, IFNAMSIZ);
	memcpy(ret_ifb, "rb", 2);
	memcpy(ret_ifb + 2, rest, strlen(rest));
	return 0;
}

struct netbuf *netbuf_new(const struct netbuf_ops *ops, const char *uuid, const char *const *vifs,
	size_t count, uint32_t limit, const char *state_dir)
{
	struct netbuf *nb;

	if (count > NETBUF_MAX_VIFS)
		return NULL;
	nb = calloc(1, sizeof(*nb));
	if (!nb)
		return NULL;
	nb->ops = ops;
	nb->limit = limit ? limit : NETBUF_DEFAULT_LIMIT;
	nb->uuid = strdup(uuid);
	nb->state_dir = strdup(state_dir);
	if (!nb->uuid || !nb->state_dir)
		return netbuf_free(nb);
	for (; nb->count < count; nb->count++) {
		nb->vifs[nb->count].name = strdup(vifs[nb->count]);
		if (!nb->vifs[nb->count].name)
			return netbuf_free(nb);
	}
	return nb;
}

struct netbuf *netbuf_free(struct netbuf *nb)
{
	if (!nb)
		return NULL;
	if (nb->backend_free)
		nb->backend_free(nb->backend);
	for (size_t i = 0; i < nb->count; i++)
		free(nb->vifs[i].name);
	free(nb->uuid);
	free(nb->state_dir);
	free(nb);
	return NULL;
}

/* Check what the caller named and derive the names of the IFBs. */
static int name_objects(struct netbuf *nb, struct why *why)
{
	if (!netbuf_valid_uuid(nb->uuid))
		return why_set(why, -EINVAL, "\"%.80s\" is no UUID of a domain", nb->uuid);
	for (size_t i = 0; i < nb->count; i++) {
		const char *name = nb->vifs[i].name;
		int err = netbuf_ifb_name(name, nb->vifs[i].ifb);

		if (err)
			return why_set(why, err,
				"cannot hold the output of \"%.40s\": %s; rename the interface",
				name,
				err == -EINVAL ? "that is no name of a network interface"
					       : "the name is longer than 13 characters");
		for (size_t j = 0; j < i; j++)
			if (!strcmp(nb->vifs[i].ifb, nb->vifs[j].ifb))
				return why_set(why, -EINVAL,
					"network interfaces %s and %s need the same queue %s", name,
					nb->vifs[j].name, nb->vifs[i].ifb);
	}
	return 0;
}

int netbuf_install(struct netbuf *nb, struct why *why)
{
	int err;

	if (nb->phase != NETBUF_ABSENT)
		return why_set(why, -EALREADY, "the output of domain %s is already held", nb->uuid);
	err = name_objects(nb, why);
	if (!err)
		err = nb->ops->install(nb, why);
	if (!err)
		nb->phase = NETBUF_OPEN;
	return err;
}

static int refuse(struct netbuf *nb, const char *command, struct why *why)
{
	switch (nb->phase) {
	case NETBUF_ABSENT:
		return why_set(why, -ENOTCONN, "cannot %s: the output of domain %s is not held",
			command, nb->uuid);
	case NETBUF_OPEN:
		return why_set(why, -ENOENT, "cannot %s: domain %s has no closed epoch", command,
			nb->uuid);
	case NETBUF_CLOSED:
		return why_set(why, -EBUSY,
			"cannot %s: an epoch of domain %s is closed and not released; closing a "
			"second one would let unacknowledged output go",
			command, nb->uuid);
	case NETBUF_BROKEN:
	default:
		return why_set(why, -EIO,
			"cannot %s: an earlier command to the output buffer of domain %s failed; "
			"it can only be removed",
			command, nb->uuid);
	}
}

int netbuf_close_epoch(struct netbuf *nb, struct why *why)
{
	int err;

	if (nb->phase != NETBUF_OPEN)
		return refuse(nb, "close the epoch", why);
	err = nb->ops->close_epoch(nb, why);
	nb->phase = err ? NETBUF_BROKEN : NETBUF_CLOSED;
	return err;
}

int netbuf_release_epoch(struct netbuf *nb, struct why *why)
{
	int err;

	if (nb->phase != NETBUF_CLOSED)
		return refuse(nb, "release the epoch", why);
	err = nb->ops->release_epoch(nb, why);
	nb->phase = err ? NETBUF_BROKEN : NETBUF_OPEN;
	return err;
}

int netbuf_remove(struct netbuf *nb, struct why *why)
{
	int err;

	/* Not ours: somebody else's redirect may be on a vif of this name. */
	if (nb->phase == NETBUF_ABSENT)
		return 0;
	err = nb->ops->remove(nb, why);
	nb->phase = err ? NETBUF_BROKEN : NETBUF_ABSENT;
	return err;
}

int netbuf_backlog(
	struct netbuf *nb, uint64_t *ret_bytes, uint64_t *ret_packets, uint64_t *ret_drops)
{
	if (nb->phase != NETBUF_ABSENT && nb->backend_backlog)
		return nb->backend_backlog(nb, ret_bytes, ret_packets, ret_drops);
	*ret_bytes = *ret_packets = *ret_drops = 0;
	return 0;
}

/* The number of vifs cleared or a negative errno; 0 when there is no record. */
static int sweep_one(const char *dir, const char *uuid, int release, struct why *why)
{
	struct netbuf_state state;
	int cleared, err;

	err = netbuf_state_read(dir, uuid, &state, why);
	if (err)
		return err == -ENOENT ? 0 : err;
	cleared = netbuf_kernel_sweep(&state, release, why);
	if (cleared < 0)
		return cleared;
	err = netbuf_state_unlink(dir, uuid, why);
	return err ? err : cleared;
}

static void cleanup_closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

int netbuf_sweep(const char *state_dir, const char *uuid, int release, struct why *why)
{
	__attribute__((cleanup(cleanup_closedirp))) DIR *dir = NULL;
	const struct dirent *entry;
	int total = 0, first_err = 0;

	if (uuid && !netbuf_valid_uuid(uuid))
		return why_set(why, -EINVAL, "\"%.80s\" is no UUID of a domain", uuid);
	if (uuid)
		return sweep_one(state_dir, uuid, release, why);

	dir = opendir(state_dir);
	if (!dir && errno == ENOENT)
		return 0;
	if (!dir) {
		int err = -errno;

		return why_set(why, err,
			"cannot look for output buffers left behind in %s: %s; held output stays "
			"held",
			state_dir, strerror(-err));
	}
	/* One bad record must not keep the output of the other domains held. */
	while ((entry = readdir(dir))) {
		int cleared;

		if (!netbuf_valid_uuid(entry->d_name))
			continue; /* ".", "..", a temporary file of state.c */
		cleared = sweep_one(state_dir, entry->d_name, release, first_err ? NULL : why);
		if (cleared >= 0)
			total += cleared;
		else if (!first_err)
			first_err = cleared;
	}
	return first_err ? first_err : total;
}
