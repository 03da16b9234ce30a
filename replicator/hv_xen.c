/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen as the replicator sees it: handles, what a domain is, whether it can be protected or hosted.
 * Suspending, and the repair of a domain whose worker died, is in hv_suspend.c, checkpoints are in
 * hv_save.c, saving whole in hv_whole.c, restoring in hv_restore.c, the end of a guest in hv_end.c.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "replicator/saver.h"

static struct hv *hv_xen_open(struct why *why)
{
	struct hv *hv = calloc(1, sizeof(*hv));

	if (!hv)
		return NULL;
	hv->suspend_port = -1;
	hv->log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
	hv->xc = xc_interface_open(hv->log, hv->log, 0);
	hv->xs = xs_open(0);
	if (!hv->log || !hv->xc || !hv->xs || libxl_ctx_alloc(&hv->xl, LIBXL_VERSION, 0, hv->log)) {
		why_set(why, -ENODEV,
			"cannot reach Xen on this host (%s): is it booted under Xen, and is "
			"xenstored "
			"running?",
			strerror(errno));
		hv_xen_ops.close(hv);
		return NULL;
	}
	return hv;
}

static void hv_xen_close(struct hv *hv)
{
	if (!hv)
		return;
	hv_xen_detach(hv);
	if (hv->xl)
		libxl_ctx_free(hv->xl);
	if (hv->changes)
		xs_close(hv->changes);
	if (hv->xs)
		xs_close(hv->xs);
	if (hv->xc)
		xc_interface_close(hv->xc);
	if (hv->log)
		xtl_logger_destroy(hv->log);
	free(hv);
}

void hv_domain_clear(struct hv_domain *dom)
{
	free(dom->config_json);
	memset(dom, 0, sizeof(*dom));
}

int hv_xen_shutdown_state(
	struct hv *hv, uint32_t domid, bool *ret_shutdown, unsigned int *ret_reason)
{
	xc_domaininfo_t info;

	if (xc_domain_getinfolist(hv->xc, domid, 1, &info) != 1 || info.domain != domid ||
		(info.flags & XEN_DOMINF_dying))
		return -ESRCH;
	*ret_shutdown = info.flags & XEN_DOMINF_shutdown;
	*ret_reason = (info.flags >> XEN_DOMINF_shutdownshift) & XEN_DOMINF_shutdownmask;
	return 0;
}

bool hv_xen_is_suspended(struct hv *hv, uint32_t domid)
{
	unsigned int reason;
	bool shutdown;

	return !hv_xen_shutdown_state(hv, domid, &shutdown, &reason) && shutdown &&
	       reason == SHUTDOWN_suspend;
}

bool hv_xen_is_paused(struct hv *hv)
{
	xc_domaininfo_t info;

	return xc_domain_getinfolist(hv->xc, hv->domid, 1, &info) == 1 &&
	       info.domain == hv->domid && (info.flags & XEN_DOMINF_paused);
}

static void describe_nics(const libxl_domain_config *config, struct hv_domain *ret)
{
	int i;

	for (i = 0; i < config->num_nics && ret->nic_count < HV_MAX_NICS; i++) {
		const libxl_device_nic *nic = &config->nics[i];
		size_t n = ret->nic_count++;

		snprintf(ret->nics[n].vif, sizeof(ret->nics[n].vif), "vif%" PRIu32 ".%d",
			ret->domid, nic->devid);
		snprintf(ret->nics[n].mac, sizeof(ret->nics[n].mac),
			"%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
			nic->mac[3], nic->mac[4], nic->mac[5]);
		snprintf(ret->nics[n].bridge, sizeof(ret->nics[n].bridge), "%s",
			nic->bridge ? nic->bridge : "");
	}
}

static void describe_fixed(const libxl_device_disk *disk, struct hv_domain *ret)
{
	size_t n = ret->fixed_count;

	if (!disk->pdev_path || !disk->pdev_path[0] || n == HV_MAX_DISKS)
		return;
	ret->fixed_count++;
	snprintf(
		ret->fixed[n].vdev, sizeof(ret->fixed[n].vdev), "%s", disk->vdev ? disk->vdev : "");
	snprintf(ret->fixed[n].path, sizeof(ret->fixed[n].path), "%s", disk->pdev_path);
}

/* A device of this host is not there on another one. */
static void describe_passed_through(const libxl_domain_config *config, struct hv_domain *ret)
{
	char *text = ret->passed_through;
	const size_t size = sizeof(ret->passed_through);
	size_t n = 0;

	for (int i = 0; i < config->num_pcidevs && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%sPCI %04x:%02x:%02x.%u", n ? ", " : "",
			(unsigned int)config->pcidevs[i].domain, config->pcidevs[i].bus,
			config->pcidevs[i].dev, config->pcidevs[i].func);
	for (int i = 0; i < config->num_usbdevs && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%sUSB %u:%u", n ? ", " : "",
			config->usbdevs[i].u.hostdev.hostbus,
			config->usbdevs[i].u.hostdev.hostaddr);
	for (int i = 0; i < config->num_dtdevs && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s", n ? ", " : "",
			config->dtdevs[i].path ? config->dtdevs[i].path : "a device");
}

static void describe_disks(const libxl_domain_config *config, struct hv_domain *ret)
{
	int i;

	for (i = 0; i < config->num_disks && ret->disk_count < HV_MAX_DISKS; i++) {
		const libxl_device_disk *disk = &config->disks[i];
		size_t n = ret->disk_count;

		if (!disk->readwrite || disk->is_cdrom) {
			describe_fixed(disk, ret);
			continue;
		}
		ret->disk_count++;
		snprintf(ret->disks[n].vdev, sizeof(ret->disks[n].vdev), "%s",
			disk->vdev ? disk->vdev : "");
		snprintf(ret->disks[n].path, sizeof(ret->disks[n].path), "%s",
			disk->pdev_path ? disk->pdev_path : "");
	}
}

int hv_xen_find(struct hv *hv, const char *name, struct hv_domain *ret, struct why *why)
{
	static const enum hv_type types[] = {
		[LIBXL_DOMAIN_TYPE_PV] = HV_TYPE_PV,
		[LIBXL_DOMAIN_TYPE_PVH] = HV_TYPE_PVH,
		[LIBXL_DOMAIN_TYPE_HVM] = HV_TYPE_HVM,
	};
	const libxl_version_info *version = libxl_get_version_info(hv->xl);
	libxl_domain_config config;
	libxl_dominfo info;
	int r = 0;

	memset(ret, 0, sizeof(*ret));
	if (libxl_name_to_domid(hv->xl, name, &ret->domid))
		return why_set(why, -ENOENT,
			"there is no running domain called '%s' on this host; `xl list` shows "
			"those that "
			"there are",
			name);
	if (ret->domid == 0)
		return why_set(why, -EINVAL, "'%s' is dom0, which cannot be protected", name);

	hv_xen_shape(hv->xs, ret->domid, &ret->shape);
	libxl_domain_config_init(&config);
	libxl_dominfo_init(&info);
	if (libxl_domain_info(hv->xl, &info, ret->domid) ||
		libxl_retrieve_domain_configuration(hv->xl, ret->domid, &config, NULL)) {
		r = why_set(why, -EIO, "libxl cannot tell the configuration of domain '%s'", name);
		goto out;
	}
	config.c_info.domid = INVALID_DOMID;
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	snprintf(ret->uuid, sizeof(ret->uuid), LIBXL_UUID_FMT, LIBXL_UUID_BYTES(info.uuid));
	ret->type = types[config.c_info.type];
	ret->memory_kb = config.b_info.max_memkb;
	ret->paused = info.paused;
	ret->suspended = info.shutdown && info.shutdown_reason == LIBXL_SHUTDOWN_REASON_SUSPEND;
	ret->shut_down = info.shutdown && !ret->suspended;
	ret->feature_suspend = hv_xen_can_suspend(hv, ret->domid);
	if (version)
		snprintf(ret->hypervisor, sizeof(ret->hypervisor), "%d.%d",
			version->xen_version_major, version->xen_version_minor);
	describe_nics(&config, ret);
	describe_disks(&config, ret);
	describe_passed_through(&config, ret);
	ret->config_json = libxl_domain_config_to_json(hv->xl, &config);
	if (!ret->config_json)
		r = why_set(why, -ENOMEM, "no memory for the configuration of '%s'", name);
out:
	libxl_dominfo_dispose(&info);
	libxl_domain_config_dispose(&config);
	if (r)
		hv_domain_clear(ret);
	return r;
}

static bool has_shadow(struct hv *hv)
{
	libxl_physinfo phys;
	bool shadow;

	libxl_physinfo_init(&phys);
	shadow = !libxl_get_physinfo(hv->xl, &phys) && phys.cap_shadow;
	libxl_physinfo_dispose(&phys);
	return shadow;
}

static int hv_xen_can_protect(struct hv *hv, const struct hv_domain *dom, struct why *why)
{
	if (dom->type == HV_TYPE_PV && !has_shadow(hv))
		return why_set(why, -EOPNOTSUPP,
			"'%s' is a PV domain, and this hypervisor is built without shadow paging, "
			"so its memory cannot be tracked; nothing was changed. Run it as PVH to "
			"protect it",
			dom->name);
	if (dom->type == HV_TYPE_HVM)
		return why_set(why, -EOPNOTSUPP,
			"'%s' is an HVM domain: what its device model writes into its memory is "
			"not tracked, and the device model's own state not replicated; nothing was "
			"changed. Run it as PVH to protect it",
			dom->name);
	if (dom->suspended)
		return why_set(why, -EAGAIN,
			"'%s' stands suspended for another hand, which saves or moves it: "
			"protection can begin when it runs. If you know that this was killed, "
			"`romulus unprotect %s` and `romulus resume %s`",
			dom->name, dom->name, dom->name);
	if (dom->shut_down)
		return why_set(why, -EAGAIN,
			"the guest in '%s' has shut down: protection can begin when it runs again",
			dom->name);
	if (saver_find("/proc", dom->domid))
		return why_set(why, -EAGAIN,
			"'%s' is being saved or migrated by another hand: protection can begin "
			"when that is over",
			dom->name);
	if (dom->paused)
		return why_set(why, -EAGAIN,
			"'%s' is paused: protection can begin when it runs (xl unpause %s)",
			dom->name, dom->name);
	if (!dom->feature_suspend)
		return why_set(why, -EOPNOTSUPP,
			"the kernel of '%s' does not announce control/feature-suspend, so it "
			"cannot be "
			"checkpointed; nothing was changed. If it has only just started, try again "
			"when "
			"it is up; otherwise it needs a kernel with Xen suspend support",
			dom->name);
	if (dom->nic_count >= HV_MAX_NICS)
		return why_set(why, -E2BIG, "'%s' has more than %d network interfaces", dom->name,
			HV_MAX_NICS - 1);
	if (dom->disk_count >= HV_MAX_DISKS)
		return why_set(
			why, -E2BIG, "'%s' has more than %d disks", dom->name, HV_MAX_DISKS - 1);
	return 0;
}

static int hv_xen_taken(
	struct hv *hv, const char *name, const char *uuid, const char *here, struct why *why)
{
	libxl_dominfo *list;
	uint32_t domid;
	int i, n, taken = 0;

	if (!libxl_name_to_domid(hv->xl, name, &domid))
		return why_set(why, -EEXIST,
			"a domain called '%s' already runs on %s; destroy or rename it there", name,
			here);
	list = libxl_list_domain(hv->xl, &n);
	for (i = 0; list && i < n && !taken; i++) {
		char s[37];

		snprintf(s, sizeof(s), LIBXL_UUID_FMT, LIBXL_UUID_BYTES(list[i].uuid));
		taken = !strcmp(s, uuid);
	}
	if (list)
		libxl_dominfo_list_free(list, n);
	if (taken)
		return why_set(why, -EEXIST,
			"a domain with the uuid %s already exists on %s; destroy it there", uuid,
			here);
	return 0;
}

static int hv_xen_can_host(struct hv *hv, const char *name, const char *uuid, uint64_t memory_kb,
	const char *here, struct why *why)
{
	uint64_t need = memory_kb + HV_OVERHEAD_KB, have;
	int r = hv_xen_taken(hv, name, uuid, here, why);

	if (r)
		return r;
	if (hv_xen_free_kb(hv, &have, why))
		return why_set(
			why, -EIO, "the hypervisor of %s does not tell its free memory", here);
	if (have < need)
		return why_set(why, -ENOMEM,
			"no room for '%s' on %s: it needs %" PRIu64
			" MB of free memory, there are %" PRIu64
			" MB; shrink or move other domains there",
			name, here, (need + 1023) / 1024, have / 1024);
	return 0;
}

static int hv_xen_kill(struct hv *hv, uint32_t domid, struct why *why)
{
	int r = libxl_domain_destroy(hv->xl, domid, NULL);

	if (!r || r == ERROR_DOMAIN_NOTFOUND)
		return 0;
	return why_set(why, -EIO,
		"domain %" PRIu32 " could not be destroyed; do it with `xl destroy %" PRIu32 "`",
		domid, domid);
}

static int hv_xen_destroy(struct hv *hv, const char *name, struct why *why)
{
	uint32_t domid;

	if (libxl_name_to_domid(hv->xl, name, &domid))
		return 0;
	return hv_xen_kill(hv, domid, why);
}

const struct hv_ops hv_xen_ops = {
	.name = "xen",
	.open = hv_xen_open,
	.close = hv_xen_close,
	.find = hv_xen_find,
	.can_protect = hv_xen_can_protect,
	.can_host = hv_xen_can_host,
	.taken = hv_xen_taken,
	.host = hv_xen_host,
	.features = hv_xen_features,
	.attach = hv_xen_attach,
	.watch_shape = hv_xen_watch_shape,
	.changed = hv_xen_changed,
	.give_way = hv_xen_give_way,
	.settle = hv_xen_settle,
	.save = hv_xen_save,
	.restore = hv_xen_restore,
	.claim = hv_xen_claim,
	.write_out = hv_xen_write_out,
	.resume = hv_xen_resume,
	.take_back = hv_xen_take_back,
	.copy_out = hv_xen_copy_out,
	.read_in = hv_xen_read_in,
	.activate = hv_xen_activate,
	.destroy = hv_xen_destroy,
	.kill = hv_xen_kill,
	.repair = hv_xen_repair,
	.watch = hv_xen_watch,
	.heed = hv_xen_heed,
	.look = hv_xen_look,
	.endings = hv_xen_endings,
	.finish = hv_xen_finish,
	.pause = hv_xen_pause,
	.unpause = hv_xen_unpause,
};
