/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "diskrep/drbd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "diskrep/command.h"
#include "diskrep/device.h"

#define DRBDADM "/usr/sbin/drbdadm"
#define DRBDSETUP "/usr/sbin/drbdsetup"
#define SENDPAGE "/sys/module/drbd/parameters/disable_sendpage"
#define QUERY_MS 10000
/* A disconnect waits for the peer's answer or for DRBD's own time-outs, which are shorter. */
#define VERB_MS 60000
#define DISCONNECT_MS UINT64_C(30000)
#define POLL_MS 100

int diskrep_drbd_version(char *text, size_t size, struct why *why)
{
	char line[256], version[32];

	if (diskrep_read_text("/proc/drbd", line, sizeof(line)) ||
		sscanf(line, "version: %31s", version) != 1)
		return why_set(why, -ENOENT, "the kernel module drbd is not loaded");
	snprintf(text, size, "%s", version);
	return 0;
}

int diskrep_drbd_volume(const struct diskrep_drbd_status *status, const char *path)
{
	struct stat st;

	if (stat(path, &st) || !S_ISBLK(st.st_mode) || major(st.st_rdev) != DISKREP_DRBD_MAJOR)
		return -1;
	for (size_t i = 0; i + 1 < status->volumes; i++)
		if (minor(st.st_rdev) == (unsigned int)status->volume[i].minor)
			return (int)i;
	return -1;
}

int diskrep_drbd_status(const char *resource, struct diskrep_drbd_status *ret, struct why *why)
{
	struct diskrep_command c;
	struct stat st;
	char said[256];
	int r;

	if (stat("/sys/module/drbd", &st) < 0) {
		*ret = (struct diskrep_drbd_status){0};
		return 0;
	}
	r = diskrep_command_run((const char *const[]){DRBDSETUP, "events2", "--now", "--statistics",
					resource, NULL},
		QUERY_MS, &c, why);
	if (r)
		return r;
	diskrep_command_complaint(&c, said, sizeof(said));
	if (c.truncated)
		r = why_set(why, -EOVERFLOW, "drbdsetup says too much of resource %s", resource);
	else if (c.status == 0) /* also when there is no such resource */
		r = diskrep_drbd_status_parse(c.output ? c.output : "",
			c.output ? strlen(c.output) : 0, resource, ret, why);
	else
		r = why_set(why, -EIO, "cannot learn the state of DRBD resource %s: %s", resource,
			said);
	diskrep_command_clear(&c);
	return r;
}

int diskrep_drbd_show(const char *resource, char **ret, struct why *why)
{
	const char *const argv[] = {DRBDSETUP, "show", "--show-defaults", resource, NULL};
	struct diskrep_command c;
	char said[256];
	int r = diskrep_command_run(argv, QUERY_MS, &c, why);

	if (r)
		return r;
	diskrep_command_complaint(&c, said, sizeof(said));
	if (c.status != 0 || c.truncated || !c.output)
		r = why_set(why, -EIO, "cannot learn the options of DRBD resource %s: %s", resource,
			said);
	else
		*ret = TAKE_PTR(c.output);
	diskrep_command_clear(&c);
	return r;
}

static int verb(struct why *why, const char *resource, const char *verb_name, const char *option)
{
	const char *argv[] = {
		DRBDADM, verb_name, option ? option : resource, option ? resource : NULL, NULL};

	return diskrep_command(argv, VERB_MS, why, "%s DRBD resource %s", verb_name, resource);
}

static int verb_of_volume(struct why *why, const char *resource, size_t volume,
	const char *verb_name, const char *option)
{
	char object[DISKREP_DRBD_NAME_MAX + 16];

	snprintf(object, sizeof(object), "%s/%zu", resource, volume);
	return verb(why, object, verb_name, option);
}

bool diskrep_drbd_lends_pages(void)
{
	char value[8];

	return diskrep_read_text(SENDPAGE, value, sizeof(value)) == 0 && value[0] != 'Y';
}

static int keep_pages(const char *resource, struct why *why)
{
	CLEANUP_CLOSE int fd = -1;

	if (!diskrep_drbd_lends_pages())
		return 0;
	fd = open(SENDPAGE, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "Y", 1) == 1)
		return 0;
	return why_set(why, -errno,
		"DRBD resource %s cannot be used, for DRBD cannot be told to copy what it sends "
		"(%s: %s)",
		resource, SENDPAGE, strerror(errno));
}

int diskrep_drbd_up(const char *resource, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = diskrep_load_module("drbd", why);

	if (r == 0)
		r = keep_pages(resource, why);
	if (r == 0)
		r = diskrep_drbd_status(resource, &s, why);
	if (r || s.up)
		return r;
	return verb(why, resource, "up", NULL);
}

int diskrep_drbd_down(const char *resource, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = diskrep_drbd_status(resource, &s, why);

	return r || !s.up ? r : verb(why, resource, "down", NULL);
}

static int status_when_up(const char *resource, struct diskrep_drbd_status *ret, struct why *why)
{
	int r = diskrep_drbd_status(resource, ret, why);

	if (r || ret->up)
		return r;
	return why_set(why, -ENODEV,
		"DRBD resource %s is not up on this host: romulus disk up starts it", resource);
}

int diskrep_drbd_connect(const char *resource, bool discard_my_data, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = status_when_up(resource, &s, why);

	if (r || s.connection >= DISKREP_DRBD_CONNECTED)
		return r;
	if (s.connection == DISKREP_DRBD_CONNECTING) {
		if (!discard_my_data)
			return 0;
		/* Only a connection that begins takes the order. */
		r = diskrep_drbd_disconnect(resource, why);
		if (r)
			return r;
	}
	return verb(why, resource, "connect", discard_my_data ? "--discard-my-data" : NULL);
}

/*
 * drbdadm gives it 5 s, whereas DRBD misses a peer that has lost its power only after up to 7
 * (ping-int and ping-timeout). A takeover must not fail for that: asking again is waiting on. The
 * one that was given up may yet do its work: what there is to disconnect is looked at each time.
 */
int diskrep_drbd_disconnect(const char *resource, struct why *why)
{
	const uint64_t deadline = clock_now_ns() + DISCONNECT_MS * NSEC_PER_MSEC;
	struct diskrep_drbd_status s;
	const char *option = NULL;
	struct why unknown;
	int r = 0;

	for (;;) {
		int err = diskrep_drbd_status(resource, &s, r ? &unknown : why);

		if (!err && (!s.up || s.connection == DISKREP_DRBD_STANDALONE))
			return 0;
		if (r && clock_now_ns() >= deadline)
			return r;
		if (err && !r)
			return err;
		r = verb(why, resource, "disconnect", option);
		if (!r)
			return 0;
		option = "--force";
	}
}

int diskrep_drbd_primary(const char *resource, bool force, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = status_when_up(resource, &s, why);

	if (r || s.role == DISKREP_DRBD_PRIMARY)
		return r;
	return verb(why, resource, "primary", force ? "--force" : NULL);
}

int diskrep_drbd_secondary(const char *resource, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = diskrep_drbd_status(resource, &s, why);

	if (r || !s.up || s.role == DISKREP_DRBD_SECONDARY)
		return r;
	return verb(why, resource, "secondary", NULL);
}

int diskrep_drbd_attach(const char *resource, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = status_when_up(resource, &s, why);

	for (size_t i = 0; r == 0 && i < s.volumes; i++)
		if (s.volume[i].disk == DISKREP_DRBD_DISKLESS)
			r = verb_of_volume(why, resource, i, "attach", NULL);
	return r;
}

int diskrep_drbd_skip_initial_sync(const char *resource, struct why *why)
{
	struct diskrep_drbd_status s;
	int r = status_when_up(resource, &s, why);

	for (size_t i = 0; r == 0 && i < s.volumes; i++)
		if (s.volume[i].disk != DISKREP_DRBD_UP_TO_DATE ||
			s.volume[i].peer_disk != DISKREP_DRBD_UP_TO_DATE)
			r = verb_of_volume(why, resource, i, "new-current-uuid", "--clear-bitmap");
	return r;
}

int diskrep_drbd_wait(const char *resource, bool (*done)(const struct diskrep_drbd_status *),
	int timeout_ms, struct diskrep_drbd_status *ret, struct why *why)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * (long)NSEC_PER_MSEC};
	uint64_t deadline = clock_now_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	char text[DISKREP_DRBD_SUMMARY_MAX];

	for (;;) {
		int r = diskrep_drbd_status(resource, ret, why);

		if (r || done(ret))
			return r;
		if (clock_now_ns() >= deadline)
			return why_set(why, -ETIMEDOUT,
				"DRBD resource %s did not get there within %d s, it is: %s",
				resource, timeout_ms / 1000, diskrep_drbd_summary(ret, text));
		nanosleep(&pause, NULL);
	}
}
