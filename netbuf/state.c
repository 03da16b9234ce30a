/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The record of what is ours in the kernel, one file per domain: a line with the magic and the
 * number of vifs, then "VIF IFB" per line. Written whole (temporary file and rename) before the
 * first object is made, removed after the last is gone, so whatever a dead process left behind is
 * named in a record. Not synced: the objects do not survive a power cut, nor shall the record.
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "netbuf/internal.h"

#define STATE_MAGIC "romulus-netbuf 1"
#define UUID_LENGTH_MAX 63

bool netbuf_valid_uuid(const char *uuid)
{
	if (!uuid || !*uuid || strlen(uuid) > UUID_LENGTH_MAX)
		return false;
	for (; *uuid; uuid++)
		if (!isalnum((unsigned char)*uuid) && *uuid != '-')
			return false;
	return true;
}

static int state_path(
	char ret_path[PATH_MAX], const char *dir, const char *uuid, const char *suffix)
{
	int n = snprintf(ret_path, PATH_MAX, "%s/%s%s", dir, uuid, suffix);

	return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int make_dirs(const char *dir)
{
	char path[PATH_MAX];

	if (strlen(dir) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, dir);
	for (char *p = path + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int write_file(const char *path, const struct netbuf_state *state)
{
	CLEANUP_FCLOSE FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fprintf(f, STATE_MAGIC " %zu\n", state->count);
	for (size_t i = 0; i < state->count; i++)
		fprintf(f, "%s %s\n", state->vifs[i].vif, state->vifs[i].ifb);
	return fflush(f) || ferror(f) ? -EIO : 0;
}

int netbuf_state_write(
	const char *dir, const char *uuid, const struct netbuf_state *state, struct why *why)
{
	char path[PATH_MAX], temporary[PATH_MAX] = "";
	int err;

	err = state_path(path, dir, uuid, "");
	if (!err)
		err = state_path(temporary, dir, uuid, ".tmp");
	if (!err)
		err = make_dirs(dir);
	if (!err && !access(path, F_OK))
		return why_set(why, -EEXIST,
			"%s records an output buffer that an earlier process left behind; it must "
			"be "
			"swept before domain %s can be protected",
			path, uuid);
	if (!err)
		err = write_file(temporary, state);
	if (!err && rename(temporary, path))
		err = -errno;
	if (err) {
		unlink(temporary);
		return why_set(why, err, "cannot record the output buffer of domain %s in %s: %s",
			uuid, dir, strerror(-err));
	}
	return 0;
}

/* One line without its end; false at the end of the file or when it does not fit. */
static bool read_line(FILE *f, char *line, size_t size)
{
	char *end;

	if (!fgets(line, (int)size, f))
		return false;
	end = strchr(line, '\n');
	if (!end)
		return false;
	*end = '\0';
	return true;
}

static bool parse(FILE *f, struct netbuf_state *state)
{
	char line[128], *end;
	size_t magic = strlen(STATE_MAGIC " ");
	unsigned long count;

	if (!read_line(f, line, sizeof(line)) || strncmp(line, STATE_MAGIC " ", magic) ||
		!isdigit((unsigned char)line[magic]))
		return false;
	count = strtoul(line + magic, &end, 10);
	if (*end || count > NETBUF_MAX_VIFS)
		return false;
	memset(state, 0, sizeof(*state));
	for (; state->count < count; state->count++) {
		char *vif = line, *ifb;

		if (!read_line(f, line, sizeof(line)))
			return false;
		ifb = strchr(line, ' ');
		if (!ifb)
			return false;
		*ifb++ = '\0';
		if (!netbuf_valid_ifname(vif) || !netbuf_valid_ifname(ifb))
			return false;
		memcpy(state->vifs[state->count].vif, vif, strlen(vif));
		memcpy(state->vifs[state->count].ifb, ifb, strlen(ifb));
	}
	return fgetc(f) == EOF;
}

int netbuf_state_read(
	const char *dir, const char *uuid, struct netbuf_state *ret_state, struct why *why)
{
	CLEANUP_FCLOSE FILE *f = NULL;
	struct netbuf_state state;
	char path[PATH_MAX];
	int err;

	err = state_path(path, dir, uuid, "");
	if (!err) {
		f = fopen(path, "re");
		if (!f)
			err = -errno;
	}
	if (err)
		return why_set(
			why, err, "cannot read what %s/%s records: %s", dir, uuid, strerror(-err));
	if (!parse(f, &state))
		return why_set(why, -EBADMSG,
			"%s is no record of an output buffer; delete it, and by hand the rb* "
			"interfaces if a guest is mute",
			path);
	*ret_state = state;
	return 0;
}

int netbuf_state_unlink(const char *dir, const char *uuid, struct why *why)
{
	char path[PATH_MAX];
	int err;

	err = state_path(path, dir, uuid, "");
	if (!err && unlink(path) && errno != ENOENT)
		err = -errno;
	if (err)
		return why_set(
			why, err, "cannot remove the record %s/%s: %s", dir, uuid, strerror(-err));
	return 0;
}
