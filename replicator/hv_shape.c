/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What another hand changes of a running domain (`xl mem-set`, `vcpu-set`, `block-attach`,
 * `network-detach`, ...) as it appears in xenstore: docs/misc/xenstore-paths.pandoc in Xen's tree.
 * The watches are on a connection of their own, so that nothing else takes their events.
 */
#include "replicator/hv_xen.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/why.h"
#include "replicator/saver.h"

#define LOOK_NS NSEC_PER_SEC /* at all processes: a save takes seconds */
#define DESTROY_NS (10 * NSEC_PER_SEC)
#define DESTROY_LOOK_MS 20

static const char *const watched[] = {"memory/target", "memory/static-max", "cpu", "device"};

static void put_memory(struct xs_handle *xs, uint32_t domid, struct shape *s)
{
	static const struct {
		const char *node, *name;
	} nodes[] = {{"target", "memory"}, {"static-max", "the limit of its memory"}};

	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
		CLEANUP_FREE char *value = NULL;
		char path[80];

		snprintf(path, sizeof(path), "/local/domain/%" PRIu32 "/memory/%s", domid,
			nodes[i].node);
		value = xs_read(xs, XBT_NULL, path, NULL);
		if (value)
			shape_put(s, nodes[i].name, strtoull(value, NULL, 10));
	}
}

static void put_cpu(struct xs_handle *xs, const char *folder, const char *id, struct shape *s)
{
	CLEANUP_FREE char *value = NULL;
	char path[160], name[32];

	snprintf(path, sizeof(path), "%s/%s/availability", folder, id);
	snprintf(name, sizeof(name), "vcpu %s", id);
	value = xs_read(xs, XBT_NULL, path, NULL);
	if (value && strcmp(value, "online") == 0)
		shape_put(s, name, 0);
}

/* /local/domain/N/device/CLASS/ID; a guest may put other things there, which have no back end. */
static void put_devices_of(
	struct xs_handle *xs, const char *folder, const char *class, struct shape *s)
{
	CLEANUP_FREE char **ids = NULL;
	char path[160], name[32];
	unsigned int n;

	snprintf(path, sizeof(path), "%s/%s", folder, class);
	ids = xs_directory(xs, XBT_NULL, path, &n);
	for (unsigned int i = 0; ids && i < n; i++) {
		CLEANUP_FREE char *backend = NULL;

		snprintf(path, sizeof(path), "%s/%s/%s/backend", folder, class, ids[i]);
		snprintf(name, sizeof(name), "%.15s %.15s", class, ids[i]);
		backend = xs_read(xs, XBT_NULL, path, NULL);
		if (backend)
			shape_put(s, name, 0);
	}
}

/* @put with the name of every node in /local/domain/N/@what. */
static void put_each(struct xs_handle *xs, uint32_t domid, const char *what, struct shape *s,
	void (*put)(struct xs_handle *, const char *folder, const char *name, struct shape *))
{
	CLEANUP_FREE char **names = NULL;
	char folder[80];
	unsigned int n;

	snprintf(folder, sizeof(folder), "/local/domain/%" PRIu32 "/%s", domid, what);
	names = xs_directory(xs, XBT_NULL, folder, &n);
	for (unsigned int i = 0; names && i < n; i++)
		put(xs, folder, names[i], s);
}

void hv_xen_shape(struct xs_handle *xs, uint32_t domid, struct shape *ret)
{
	ret->n = 0;
	put_memory(xs, domid, ret);
	put_each(xs, domid, "cpu", ret, put_cpu);
	put_each(xs, domid, "device", ret, put_devices_of);
}

int hv_xen_watch_shape(struct hv *hv, const struct hv_domain *dom, struct why *why)
{
	char path[80];

	hv->shape = dom->shape;
	hv->changes = xs_open(0);
	if (hv->changes && !xs_watch(hv->changes, hv->shutdown_path, "request")) {
		xs_close(hv->changes);
		hv->changes = NULL;
	}
	for (size_t i = 0; hv->changes && i < ARRAY_SIZE(watched); i++) {
		snprintf(
			path, sizeof(path), "/local/domain/%" PRIu32 "/%s", dom->domid, watched[i]);
		if (xs_watch(hv->changes, path, "shape"))
			continue;
		xs_close(hv->changes);
		hv->changes = NULL;
	}
	if (!hv->changes)
		return why_set(why, -EIO,
			"cannot watch in xenstore for changes of '%s' by another hand: %s",
			dom->name, strerror(errno));
	return xs_fileno(hv->changes);
}

unsigned int hv_xen_requests(struct hv *hv)
{
	unsigned int requests = 0;
	char **event;

	while ((event = xs_check_watch(hv->changes))) {
		if (strcmp(event[XS_WATCH_TOKEN], "shape") == 0)
			hv->reshaped = true;
		else
			requests++;
		free(event);
	}
	return requests;
}

/* Whether another hand is at work, or about to: the request to suspend is not ours. */
static bool is_saved(struct hv *hv, const char *request, bool requested)
{
	const uint64_t now = clock_now_ns();

	if (request && strcmp(request, "suspend") == 0)
		return true;
	if (!requested && now - hv->looked_ns < LOOK_NS)
		return false;
	hv->looked_ns = now;
	return saver_find("/proc", hv->domid);
}

/*
 * Who destroys a domain (libxl_domain.c, libxl__destroy_domid) pauses it first, takes its devices
 * away, and waits for their scripts: that is no change of a domain, and nothing of it gets out
 * meanwhile.
 */
static bool is_destroyed(struct hv *hv)
{
	const uint64_t until = clock_now_ns() + DESTROY_NS;
	unsigned int reason;
	bool shutdown;

	while (!hv_xen_shutdown_state(hv, hv->domid, &shutdown, &reason)) {
		if (!hv_xen_is_paused(hv) || clock_now_ns() >= until)
			return false;
		poll(NULL, 0, DESTROY_LOOK_MS);
	}
	return true;
}

/*
 * What xenstored has sent is there when it has answered a later request on the same connection: so
 * a change that precedes this call is seen by it. The events of our own requests to the guest have
 * been taken before (hv_save.c, is_for_us).
 */
int hv_xen_changed(struct hv *hv, struct why *why)
{
	CLEANUP_FREE char *request = NULL;
	struct shape now;
	char what[80];

	request = xs_read(hv->changes, XBT_NULL, hv->shutdown_path, NULL);
	if (is_saved(hv, request, hv_xen_requests(hv) > 0))
		return why_set(why, -EALREADY,
			"'%s' is being saved or migrated by another hand, which gets its way: "
			"protection can begin again when that is over",
			hv->name);
	/* One that is gone has no requests: that is seen, and said better, elsewhere. */
	if (!hv->reshaped || !request)
		return 0;
	hv->reshaped = false;
	hv_xen_shape(hv->changes, hv->domid, &now);
	if (!shape_differs(&hv->shape, &now, what, sizeof(what)))
		return 0;
	if (is_destroyed(hv))
		return why_set(why, -ESRCH, "domain '%s' was destroyed", hv->name);
	return why_set(why, -ESTALE,
		"'%s' was changed by another hand (%s), so its standby is not of its kind any more",
		hv->name, what);
}
