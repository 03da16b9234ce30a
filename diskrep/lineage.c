/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Of DRBD 8.4: drbd_proc.c for the states, drbd_debugfs.c for the generations. */
#include "diskrep/lineage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "diskrep/device.h"

#define STATES "/proc/drbd"
#define STATES_MAX 65536
#define ROLE_BIT 1u /* drbd_int.h: set in the UUID while the node is primary */

bool diskrep_lineage_in_step(const char *text, int minor)
{
	static const char *const connected[] = {"Connected", "VerifyS", "VerifyT"};
	char cs[24], ds[48];
	int number;

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (sscanf(text, " %d: cs:%23s ro:%*s ds:%47s", &number, cs, ds) != 3 ||
			number != minor)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(connected); i++)
			if (!strcmp(cs, connected[i]))
				return !strcmp(ds, "UpToDate/UpToDate");
		return false;
	}
	return false;
}

int diskrep_lineage_generation(const char *text, uint64_t *ret)
{
	uint64_t n;
	char *end;

	if (strncmp(text, "0x", 2) != 0)
		return -EBADMSG;
	errno = 0;
	n = strtoull(text, &end, 16);
	if (errno || end == text + 2 || (*end && *end != '\n') || !n)
		return -EBADMSG;
	*ret = n & ~(uint64_t)ROLE_BIT;
	return 0;
}

int diskrep_lineage_current(int minor, uint64_t *ret, struct why *why)
{
	char path[64], text[256];
	int r;

	snprintf(path, sizeof(path), "/sys/kernel/debug/drbd/minors/%d/data_gen_id", minor);
	r = diskrep_read_text(path, text, sizeof(text));
	if (!r)
		r = diskrep_lineage_generation(text, ret);
	if (!r)
		return 0;
	return why_set(why, -EOPNOTSUPP,
		"cannot read the data generation of /dev/drbd%d from %s (%s): a break in its "
		"replication could pass unseen. Mount debugfs, and see that DRBD is 8.4",
		minor, path, strerror(-r));
}

static int broken(int minor, const char *how, struct why *why)
{
	return why_set(why, -ESTALE,
		"the replication of the disks was interrupted (/dev/drbd%d %s): what came by a "
		"resync is no checkpoint; protection begins again when the disks are in step",
		minor, how);
}

/* The states first: a resync that has ended by then has changed the generation before. */
int diskrep_lineage_check(const struct diskrep_lineage *l, struct why *why)
{
	CLEANUP_FREE char *states = malloc(STATES_MAX);
	uint64_t now;
	int r;

	if (!states)
		return why_set(why, -ENOMEM, "no memory to look at the state of the disks");
	r = diskrep_read_text(STATES, states, STATES_MAX);
	if (r)
		return why_set(why, r, "cannot read %s: %s", STATES, strerror(-r));
	for (size_t v = 0; v < l->volumes; v++)
		if (!diskrep_lineage_in_step(states, l->minor[v]))
			return broken(l->minor[v], "is not connected, or not up to date", why);
	for (size_t v = 0; v < l->volumes; v++) {
		r = diskrep_lineage_current(l->minor[v], &now, why);
		if (r)
			return r;
		if (now != l->generation[v])
			return broken(l->minor[v], "has been resynced", why);
	}
	return 0;
}

int diskrep_lineage_begin(
	const struct diskrep_drbd_status *status, struct diskrep_lineage *ret, struct why *why)
{
	int r = 0;

	ret->volumes = status->volumes;
	for (size_t v = 0; v < ret->volumes && !r; v++) {
		ret->minor[v] = status->volume[v].minor;
		r = diskrep_lineage_current(ret->minor[v], &ret->generation[v], why);
	}
	if (!r)
		r = diskrep_lineage_check(ret, why);
	return r == -ESTALE ? -EAGAIN : r;
}
