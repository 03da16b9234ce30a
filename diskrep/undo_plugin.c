/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The undo store as an nbdkit plugin: romulus-undo.so volume=PATH... marker=PATH undo-limit=BYTES
 * control=PATH. Exports "0", "1", ... are the volumes in order, "marker" is the marker; "drill-0",
 * ... are the volumes of a snapshot while there is one. Only the translation between nbdkit and
 * undo_store.h is here.
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/log.h"
#include "common/why.h"
#include "diskrep/confine.h"
#include "diskrep/undo_control.h"
#include "diskrep/undo_store.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define REQUEST_MAX (32u << 20) /* bytes; what is announced, nbdkit's own limit is 64 MiB */

static struct {
	char *volumes[DISKREP_UNDO_VOLUMES_MAX], *marker, *control;
	size_t volumes_n;
	uint64_t undo_limit;
} config;

static struct diskrep_undo_control control;
static struct diskrep_undo_store store;
static bool listening, opened, serving;

static void undo_load(void)
{
	log_open("romulus-undo");
}

static int undo_config(const char *key, const char *value)
{
	char **path = NULL;

	if (!strcmp(key, "undo-limit")) {
		const int64_t n = nbdkit_parse_size(value);

		config.undo_limit = n < 0 ? 0 : (uint64_t)n;
		return n < 0 ? -1 : 0;
	}
	if (!strcmp(key, "volume") && config.volumes_n < DISKREP_UNDO_VOLUMES_MAX)
		path = &config.volumes[config.volumes_n++];
	else if (!strcmp(key, "marker"))
		path = &config.marker;
	else if (!strcmp(key, "control"))
		path = &config.control;
	if (!path || *path) {
		nbdkit_error("%s=%s: unknown, given twice, or too many", key, value);
		return -1;
	}
	*path = nbdkit_absolute_path(value);
	return *path ? 0 : -1;
}

static int undo_config_complete(void)
{
	if (config.volumes_n && config.marker && config.control && config.undo_limit)
		return 0;
	nbdkit_error("volume=, marker=, undo-limit= and control= are all needed");
	return -1;
}

static int undo_get_ready(void)
{
	struct why why;

	if (diskrep_undo_control_listen(&control, config.control, &why) < 0) {
		nbdkit_error("%s", why.text);
		return -1;
	}
	listening = true;
	if (diskrep_undo_store_open(&store, (const char *const *)config.volumes, config.volumes_n,
		    config.marker, config.undo_limit, diskrep_undo_control_news, &control,
		    &why) < 0) {
		nbdkit_error("%s", why.text);
		return -1;
	}
	opened = true;
	return 0;
}

/*
 * This process is beneath a block device of the host it runs on: where it waits for memory, memory
 * may be waiting for it. Threads made later inherit the flag. ONFAULT, since locking what has not
 * been touched would take megabytes of stack for each of nbdkit's threads.
 */
static void prepare_for_low_memory(void)
{
	struct diskrep_undo_info info;

	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_warning("the undo store cannot lock its memory: %s", strerror(errno));
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) < 0)
		log_warning("the undo store cannot become an I/O flusher: %s", strerror(errno));
	diskrep_undo_store_info(&store, &info);
	if (!info.locked)
		log_warning("the undo store's pool of %llu bytes is not locked and may be swapped "
			    "out",
			(unsigned long long)info.limit);
}

/*
 * nbdkit_shutdown() would wait for clients to go away, and a forgotten one must not keep the store.
 * What was completed is on the disks, and what was kept for a rollback is to be forgotten.
 */
static void stop_now(void)
{
	diskrep_undo_store_settle(&store);
	_exit(EXIT_SUCCESS);
}

static int undo_after_fork(void)
{
	struct why why;

	prepare_for_low_memory();
	/* DRBD's disks hang from this process: it must not end with the worker that started it. */
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	if (diskrep_confine(&why) < 0)
		log_warning("the undo store has more rights than it needs: %s", why.text);
	if (diskrep_undo_control_start(&control, &store, stop_now) < 0) {
		nbdkit_error("no thread for the control socket");
		return -1;
	}
	serving = true;
	return 0;
}

static void undo_cleanup(void)
{
	if (serving)
		diskrep_undo_control_stop(&control);
	serving = false;
}

static void undo_unload(void)
{
	undo_cleanup();
	if (opened)
		diskrep_undo_store_close(&store);
	if (listening)
		unlink(config.control);
	for (size_t i = 0; i < config.volumes_n; i++)
		free(config.volumes[i]);
	free(config.marker);
	free(config.control);
}

/* ---- exports ------------------------------------------------------------------------------ */

static int undo_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
	char name[24];

	for (size_t i = 0; i < config.volumes_n; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		if (nbdkit_add_export(exports, name, NULL) < 0)
			return -1;
	}
	return nbdkit_add_export(exports, "marker", NULL);
}

#define DRILL_PREFIX "drill-"

/* What a handle points to; it lives as long as the process. */
static struct export
{
	uint32_t volume;
	bool drill; /* its snapshot's */
}
marker_export = {.volume = DISKREP_STORE_MARKER}, exports[2][DISKREP_UNDO_VOLUMES_MAX];

static bool is_number(const char *name, size_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", number);
	return strcmp(name, text) == 0;
}

static void *undo_open(int readonly)
{
	const char *name = nbdkit_export_name();
	const bool drill = name && !strncmp(name, DRILL_PREFIX, strlen(DRILL_PREFIX));
	const char *number = drill ? name + strlen(DRILL_PREFIX) : name;

	if (name && !strcmp(name, "marker"))
		return &marker_export;
	for (size_t i = 0; name && i < config.volumes_n; i++)
		if (is_number(number, i)) {
			exports[drill][i] = (struct export){(uint32_t)i, drill};
			return &exports[drill][i];
		}
	nbdkit_error("there is no export '%s'", name ? name : "");
	nbdkit_set_error(ENOENT);
	return NULL;
}

static uint32_t volume_of(const void *handle)
{
	return ((const struct export *)handle)->volume;
}

static bool is_drill(const void *handle)
{
	return ((const struct export *)handle)->drill;
}

static int64_t undo_get_size(void *handle)
{
	return (int64_t)diskrep_undo_store_size(&store, volume_of(handle));
}

static int undo_block_size(void *handle, uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
	*minimum = 512;
	*preferred = DISKREP_UNDO_BLOCK;
	*maximum = REQUEST_MAX;
	return 0;
}

static int yes(void *handle)
{
	return 1;
}

static int no(void *handle)
{
	return 0;
}

static int can_fua(void *handle)
{
	return NBDKIT_FUA_NATIVE;
}

/* ---- requests ------------------------------------------------------------------------------- */

static int done(int r, const char *what, const void *handle)
{
	if (!r)
		return 0;
	nbdkit_error("export %d: %s: %s", (int)volume_of(handle), what, strerror(-r));
	nbdkit_set_error(-r);
	return -1;
}

static int undo_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	const uint32_t volume = volume_of(handle);

	return done(is_drill(handle)
			    ? diskrep_undo_store_drill_read(&store, volume, buf, count, offset)
			    : diskrep_undo_store_read(&store, volume, buf, count, offset),
		"read", handle);
}

static int undo_pwrite(
	void *handle, const void *buf, uint32_t count, uint64_t offset, uint32_t flags)
{
	const uint32_t volume = volume_of(handle);

	return done(is_drill(handle)
			    ? diskrep_undo_store_drill_write(&store, volume, buf, count, offset)
			    : diskrep_undo_store_write(
				      &store, volume, buf, count, offset, flags & NBDKIT_FLAG_FUA),
		"write", handle);
}

static int undo_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
	return undo_pwrite(handle, NULL, count, offset, flags);
}

static int undo_flush(void *handle, uint32_t flags)
{
	return is_drill(handle)
		       ? 0 /* nothing of a drill is to last */
		       : done(diskrep_undo_store_flush(&store, volume_of(handle)), "flush", handle);
}

static struct nbdkit_plugin plugin = {
	.name = "romulus-undo",
	.longname = "Romulus undo store",
	.version = ROMULUS_VERSION,
	.description = "Writes through and keeps what the last disk checkpoints had there.",
	.load = undo_load,
	.config = undo_config,
	.config_complete = undo_config_complete,
	.config_help = "volume=PATH      (repeated) disk, exported as 0, 1, ...\n"
		       "marker=PATH      marker volume, exported as marker\n"
		       "undo-limit=SIZE  memory for old content\n"
		       "control=PATH     socket for the worker",
	.get_ready = undo_get_ready,
	.after_fork = undo_after_fork,
	.cleanup = undo_cleanup,
	.unload = undo_unload,
	.list_exports = undo_list_exports,
	.open = undo_open,
	.get_size = undo_get_size,
	.block_size = undo_block_size,
	.can_multi_conn = yes, /* one process, one state: a flush on any connection is for all */
	.can_fua = can_fua,
	.can_flush = yes,
	.can_trim = yes,
	.can_zero = yes,
	.can_fast_zero = no,
	.pread = undo_pread,
	.pwrite = undo_pwrite,
	.zero = undo_zero,
	.trim = undo_zero, /* one content afterwards, on this host and on the other */
	.flush = undo_flush,
	.errno_is_preserved = 0,
};

NBDKIT_REGISTER_PLUGIN(plugin)
