/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "failover/state.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/text.h"
#include "common/why.h"

static const char *const decisions[] = {
	"none", "takeover", "solo", "released", "ended", "left", "handed-over"};
static const char *const roles[] = {"none", "primary", "backup"}; /* enum proto_role */

const char *failover_decision_name(enum failover_decision d)
{
	return decisions[d];
}

bool failover_uuid_valid(const char *uuid)
{
	if (strlen(uuid) != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? uuid[i] != '-' : !isxdigit((unsigned char)uuid[i]))
			return false;
	}
	return true;
}

bool failover_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (n == 0 || n >= FAILOVER_NAME_MAX || name[0] == '-' || name[0] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (name[i] == ' ' || name[i] == '/')
			return false;
	return text_valid(name);
}

static int write_all(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t w = write(fd, text, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		text += w;
		n -= (size_t)w;
	}
	return 0;
}

static int replace_file(const char *folder, const char *name, const char *text)
{
	char temporary[64];
	CLEANUP_CLOSE int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP_CLOSE int fd = -1;
	int r;

	if (dir < 0)
		return -errno;
	snprintf(temporary, sizeof(temporary), ".%.50s.new", name);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, strlen(text));
	if (r < 0)
		return r;
	if (fsync(fd) < 0 || renameat(dir, temporary, dir, name) < 0 || fsync(dir) < 0)
		return -errno;
	return 0;
}

int failover_state_save(const char *dir, const struct failover_record *r, struct why *why)
{
	char folder[PATH_MAX], name[64];
	CLEANUP_FREE char *text = NULL;
	json_t *j = NULL;
	int err;

	if (r->generation <= FAILOVER_GENERATION_MAX) /* else it could not be read again */
		j = json_pack("{s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:b, s:s}", "version", 1, "name",
			r->name, "uuid", r->uuid, "generation", (json_int_t)r->generation, "role",
			roles[r->role], "peer", r->peer, "decision", decisions[r->decision],
			"intent", r->intent, "boot", r->boot);
	if (j && r->passing)
		json_object_set_new(j, "passing", json_true());
	text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
	json_decref(j);
	snprintf(folder, sizeof(folder), "%s/domains", dir);
	snprintf(name, sizeof(name), "%s.json", r->uuid);
	err = text ? replace_file(folder, name, text) : -EINVAL;
	if (err < 0)
		return why_set(why, err,
			"cannot record the state of %s in %s: %s; nothing that depends on it was "
			"done: free space or repair the file system",
			r->name, folder, strerror(-err));
	return 0;
}

static int index_of(const char *const *words, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], word) == 0)
			return (int)i;
	return -1;
}

static bool put(char *to, size_t size, const char *from)
{
	return (size_t)snprintf(to, size, "%s", from) < size;
}

int failover_state_read(const char *file, struct failover_record *ret, struct why *why)
{
	const char *name, *uuid, *role, *peer, *decision, *boot;
	struct failover_record r = {0};
	json_error_t error;
	json_int_t generation;
	int version, intent, passing = 0, role_index, decision_index;
	json_t *j = json_load_file(file, JSON_REJECT_DUPLICATES, &error);
	bool good = false;

	if (!j)
		return why_set(why, -EBADMSG,
			"the record %s cannot be read (%s); its domain is left alone: repair or "
			"remove the file",
			file, error.text);
	if (json_unpack(j, "{s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:b, s:s, s?b}", "version",
		    &version, "name", &name, "uuid", &uuid, "generation", &generation, "role",
		    &role, "peer", &peer, "decision", &decision, "intent", &intent, "boot", &boot,
		    "passing", &passing) == 0) {
		role_index = index_of(roles, ARRAY_SIZE(roles), role);
		decision_index = index_of(decisions, ARRAY_SIZE(decisions), decision);
		good = version == 1 && generation >= 0 && role_index >= 0 && decision_index >= 0 &&
		       failover_uuid_valid(uuid) && failover_name_valid(name) &&
		       put(r.name, sizeof(r.name), name) && put(r.uuid, sizeof(r.uuid), uuid) &&
		       put(r.peer, sizeof(r.peer), peer) && put(r.boot, sizeof(r.boot), boot);
	}
	if (good) {
		r.generation = (uint64_t)generation;
		r.role = (enum proto_role)role_index;
		r.decision = (enum failover_decision)decision_index;
		r.intent = intent;
		r.passing = passing;
		*ret = r;
	}
	json_decref(j);
	return good ? 0
		    : why_set(why, -EBADMSG,
			      "the record %s lacks or garbles a field; its domain is left alone: "
			      "repair or remove the file",
			      file);
}

int failover_state_remove(const char *dir, const char *uuid, struct why *why)
{
	char file[PATH_MAX];

	snprintf(file, sizeof(file), "%s/domains/%s.json", dir, uuid);
	if (unlink(file) < 0 && errno != ENOENT)
		return why_set(why, -errno, "cannot remove %s: %s", file, strerror(errno));
	return 0;
}

int failover_state_load(const char *dir,
	void (*each)(void *data, const struct failover_record *r, const struct why *why),
	void *data, struct why *why)
{
	char folder[PATH_MAX];
	const struct dirent *e;
	DIR *d;

	snprintf(folder, sizeof(folder), "%s/domains", dir);
	mkdir(dir, 0755);
	mkdir(folder, 0700);
	d = opendir(folder);
	if (!d)
		return why_set(why, -errno,
			"cannot open the state folder %s: %s; without it no promise can be kept, "
			"so nothing is protected",
			folder, strerror(errno));
	while ((e = readdir(d))) {
		struct failover_record r;
		struct why one;
		char file[PATH_MAX + 256];
		size_t n = strlen(e->d_name);

		if (e->d_name[0] == '.' || n < 5 || strcmp(e->d_name + n - 5, ".json") != 0)
			continue;
		snprintf(file, sizeof(file), "%s/%s", folder, e->d_name);
		if (failover_state_read(file, &r, &one) == 0)
			each(data, &r, NULL);
		else
			each(data, NULL, &one);
	}
	closedir(d);
	return 0;
}

int failover_state_start(const char *dir, uint64_t wall_ns, uint64_t *ret, struct why *why)
{
	char path[PATH_MAX], text[32];
	CLEANUP_FCLOSE FILE *f = NULL;
	unsigned long long kept = 0;
	int err;

	snprintf(path, sizeof(path), "%s/start", dir);
	f = fopen(path, "re");
	if (f && fscanf(f, "%llu", &kept) != 1)
		kept = 0;
	*ret = wall_ns > kept ? wall_ns : kept + 1;
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)*ret);
	mkdir(dir, 0755);
	err = replace_file(dir, "start", text);
	if (err < 0)
		return why_set(why, err,
			"cannot write %s: %s; should the clock be set back before the next start, "
			"peers will not hear this host",
			path, strerror(-err));
	return 0;
}

void failover_boot_id(char ret[FAILOVER_UUID_MAX])
{
	CLEANUP_FCLOSE FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || !fgets(ret, FAILOVER_UUID_MAX, f))
		ret[0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
}
