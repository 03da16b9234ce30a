/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Building a domain from a stream, the standby's or a file's, and letting it run. libxl does the
 * work; it attaches disks and nics only when the stream has ended, which is most of the time that
 * an activation takes.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/why.h"

static int build(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	libxl_checkpointed_stream kind, uint32_t *ret_domid, struct why *why)
{
	libxl_domain_restore_params params;
	libxl_domain_config config;
	uint32_t domid = INVALID_DOMID;
	int r;

	libxl_domain_config_init(&config);
	libxl_domain_restore_params_init(&params);
	if (libxl_domain_config_from_json(hv->xl, &config, config_json)) {
		r = why_set(why, -EINVAL,
			"libxl does not understand the configuration of '%s', which another host "
			"has written: the two hosts' Xen releases may be too far apart",
			name);
		goto out;
	}
	free(config.c_info.name);
	config.c_info.name = strdup(name);
	config.c_info.domid = INVALID_DOMID;
	params.checkpointed_stream = kind;
	params.stream_version = 2;
	r = libxl_domain_create_restore(
		hv->xl, &config, &domid, stream_fd, -1, &params, NULL, NULL);
	if (r)
		r = why_set(why, -EIO, "libxl could not restore '%s' (libxl error %d)", name, r);
	else
		*ret_domid = domid;
out:
	libxl_domain_restore_params_dispose(&params);
	libxl_domain_config_dispose(&config);
	return r;
}

int hv_xen_restore(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *why)
{
	return build(
		hv, config_json, name, stream_fd, LIBXL_CHECKPOINTED_STREAM_REMUS, ret_domid, why);
}

int hv_xen_read_in(struct hv *hv, const char *config_json, const char *name, int stream_fd,
	uint32_t *ret_domid, struct why *why)
{
	return build(
		hv, config_json, name, stream_fd, LIBXL_CHECKPOINTED_STREAM_NONE, ret_domid, why);
}

int hv_xen_activate(struct hv *hv, uint32_t domid, const char *standby, const char *name, bool run,
	struct hv_domain *ret, struct why *why)
{
	char path[80];

	/*
	 * A guest announces this once, when it boots (Linux: drivers/xen/manage.c), and its new
	 * xenstore directory knows nothing of it. It was saved, so it could be suspended.
	 */
	snprintf(path, sizeof(path), "/local/domain/%u/control/feature-suspend", domid);
	xs_write(hv->xs, XBT_NULL, path, "1", 1);

	/* What it has not taken of its claim it does not need: a guest may be smaller than it was
	 * built for. */
	xc_domain_claim_pages(hv->xc, domid, 0);

	/* A guest under the wrong name serves its users; one that stays paused does not. */
	if (libxl_domain_rename(hv->xl, domid, standby, name))
		name = standby;
	if (run && libxl_domain_unpause(hv->xl, domid, NULL))
		return why_set(why, -EIO,
			"domain '%s' is restored but could not be unpaused; try "
			"`xl unpause %u`",
			name, domid);
	return hv_xen_find(hv, name, ret, why);
}
