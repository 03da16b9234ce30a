/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of a guest, as xl's own process of a domain handles it (tools/xl/xl_vmcontrol.c,
 * create_domain): seen through @releaseDomain, carried out by libxl. That process sees a checkpoint
 * as the end, if it sees it at all, and stops watching; a domain that was restored has none.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "replicator/saver.h"

#define LOOK_MANY 32
#define DUMP_DIR "/var/lib/xen/dump" /* as xl has it */

int hv_xen_watch(struct hv *hv, struct why *why)
{
	if (!xs_watch(hv->xs, "@releaseDomain", "end") ||
		!xs_watch(hv->xs, "@introduceDomain", "begin"))
		return why_set(why, -EIO, "cannot watch in xenstore for the end of domains: %s",
			strerror(errno));
	return xs_fileno(hv->xs);
}

void hv_xen_heed(struct hv *hv)
{
	char **event;

	while ((event = xs_check_watch(hv->xs)))
		free(event);
}

/* As libxl does with a reason that it does not know: destroyed as if powered off. */
static enum hv_end end_of(const xc_domaininfo_t *info)
{
	const unsigned int reason =
		(info->flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;

	return reason < HV_ENDS ? (enum hv_end)reason : HV_END_POWEROFF;
}

static bool is_dumped(struct hv *hv, uint32_t domid)
{
	CLEANUP_FREE char *name = libxl_domid_to_name(hv->xl, domid);

	return name && saver_dumps(DUMP_DIR, name, time(NULL));
}

int hv_xen_look(
	struct hv *hv, const char *uuid, uint32_t domid, struct hv_sight *ret, struct why *why)
{
	xc_domaininfo_t info[LOOK_MANY];
	uint32_t next = 0;
	libxl_uuid wanted;
	int i, n;

	*ret = (struct hv_sight){0};
	if (libxl_uuid_from_string(&wanted, uuid))
		return why_set(why, -EINVAL, "'%s' is no uuid", uuid);
	do {
		n = xc_domain_getinfolist(hv->xc, next, LOOK_MANY, info);
		if (n < 0)
			return why_set(
				why, -EIO, "Xen does not tell its domains: %s", strerror(errno));
		for (i = 0; i < n; i++) {
			next = (uint32_t)info[i].domain + 1;
			if (domid && info[i].domain == domid) {
				ret->exists = true;
				ret->dying = info[i].flags & XEN_DOMINF_dying;
				ret->shut_down = info[i].flags & XEN_DOMINF_shutdown;
				ret->paused = info[i].flags & XEN_DOMINF_paused;
				ret->end = end_of(&info[i]);
			} else if (!(info[i].flags & XEN_DOMINF_dying) &&
				   !memcmp(info[i].handle, libxl_uuid_bytearray_const(&wanted),
					   sizeof(info[i].handle))) {
				ret->other = info[i].domain;
			}
		}
	} while (n == LOOK_MANY);
	if (ret->shut_down && ret->end != HV_END_SUSPEND)
		ret->dumped = is_dumped(hv, domid);
	return 0;
}

static enum hv_then then_of(libxl_action_on_shutdown action)
{
	switch (action) {
	case LIBXL_ACTION_ON_SHUTDOWN_DESTROY:
		return HV_THEN_DESTROY;
	case LIBXL_ACTION_ON_SHUTDOWN_RESTART:
		return HV_THEN_RESTART;
	case LIBXL_ACTION_ON_SHUTDOWN_RESTART_RENAME:
		return HV_THEN_RENAME_RESTART;
	case LIBXL_ACTION_ON_SHUTDOWN_PRESERVE:
		return HV_THEN_PRESERVE;
	case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_DESTROY:
		return HV_THEN_DUMP_DESTROY;
	case LIBXL_ACTION_ON_SHUTDOWN_COREDUMP_RESTART:
		return HV_THEN_DUMP_RESTART;
	case LIBXL_ACTION_ON_SHUTDOWN_SOFT_RESET:
		return HV_THEN_SOFT_RESET;
	}
	return HV_THEN_DESTROY; /* 0: not said, which xl never leaves so */
}

int hv_xen_endings(struct hv *hv, uint32_t domid, enum hv_then ret[HV_ENDS], struct why *why)
{
	libxl_domain_config config;
	int r = 0;

	libxl_domain_config_init(&config);
	if (libxl_retrieve_domain_configuration(hv->xl, domid, &config, NULL)) {
		r = why_set(
			why, -EIO, "libxl cannot tell the configuration of domain %" PRIu32, domid);
	} else {
		ret[HV_END_POWEROFF] = then_of(config.on_poweroff);
		ret[HV_END_REBOOT] = then_of(config.on_reboot);
		ret[HV_END_SUSPEND] = HV_THEN_PRESERVE;
		ret[HV_END_CRASH] = then_of(config.on_crash);
		ret[HV_END_WATCHDOG] = then_of(config.on_watchdog);
		ret[HV_END_SOFT_RESET] = then_of(config.on_soft_reset);
	}
	libxl_domain_config_dispose(&config);
	return r;
}

static void dump(struct hv *hv, uint32_t domid, const char *name)
{
	char path[300], when[32];
	time_t now = time(NULL);
	struct tm tm;

	if (!gmtime_r(&now, &tm) || !strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm))
		when[0] = '\0';
	snprintf(path, sizeof(path), DUMP_DIR "/%.200s-%s", name, when);
	libxl_domain_core_dump(hv->xl, domid, path, NULL); /* best effort, as xl's */
}

/* Make way for the one that is started: under another name and uuid, or not at all. */
static int make_way(struct hv *hv, uint32_t domid, enum hv_then then, libxl_domain_config *config)
{
	libxl_uuid uuid;

	if (then != HV_THEN_RENAME_RESTART)
		return libxl_domain_destroy(hv->xl, domid, NULL);
	libxl_uuid_generate(&uuid);
	return libxl_domain_preserve(hv->xl, domid, &config->c_info, "-ended", uuid);
}

int hv_xen_finish(
	struct hv *hv, uint32_t domid, enum hv_then then, uint32_t *ret_domid, struct why *why)
{
	const bool restarts = then == HV_THEN_RESTART || then == HV_THEN_RENAME_RESTART ||
			      then == HV_THEN_DUMP_RESTART;
	libxl_domain_config config;
	const char *name = "?";
	uint32_t domid_new = INVALID_DOMID;
	int r = 0;

	*ret_domid = 0;
	libxl_domain_config_init(&config);
	if (then == HV_THEN_SOFT_RESET) {
		r = why_set(why, -EOPNOTSUPP,
			"domain %" PRIu32 " waits for a soft reset, which nobody else does and "
			"which cannot be done here: `xl destroy %" PRIu32 "`, then `xl create`",
			domid, domid);
	} else if (libxl_retrieve_domain_configuration(hv->xl, domid, &config, NULL)) {
		r = why_set(
			why, -EIO, "libxl cannot tell the configuration of domain %" PRIu32, domid);
	}
	if (r)
		goto out;
	if (config.c_info.name)
		name = config.c_info.name;
	if (then == HV_THEN_DUMP_DESTROY || then == HV_THEN_DUMP_RESTART)
		dump(hv, domid, name);
	if (make_way(hv, domid, then, &config)) {
		r = why_set(why, -EIO,
			"domain %" PRIu32 " ('%s') has shut down and could not be destroyed; do it "
			"with `xl destroy %" PRIu32 "`",
			domid, name, domid);
		goto out;
	}
	if (!restarts)
		goto out;
	config.c_info.domid = INVALID_DOMID;
	if (libxl_domain_create_new(hv->xl, &config, &domid_new, NULL, NULL))
		r = why_set(why, -EIO,
			"'%s' could not be started again (libxl; see /var/log/xen): start it with "
			"`xl create`",
			name);
	else
		*ret_domid = domid_new;
out:
	libxl_domain_config_dispose(&config);
	return r;
}

int hv_xen_pause(struct hv *hv, uint32_t domid, struct why *why)
{
	if (libxl_domain_pause(hv->xl, domid, NULL))
		return why_set(why, -EIO, "domain %" PRIu32 " could not be paused", domid);
	return 0;
}

int hv_xen_unpause(struct hv *hv, uint32_t domid, struct why *why)
{
	if (libxl_domain_unpause(hv->xl, domid, NULL))
		return why_set(why, -EIO,
			"domain %" PRIu32 " could not be unpaused; do it with `xl unpause %" PRIu32
			"`",
			domid, domid);
	return 0;
}
