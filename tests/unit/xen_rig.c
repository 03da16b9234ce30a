/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/xen_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/why.h"
#include "replicator/saver.h"

#define MANY 64

struct rig_xen rig;

static struct {
	char path[80], value[24];
} nodes[MANY];
static struct {
	struct xs_handle *owner;
	char path[80], token[16];
} watches[MANY];
static struct {
	struct xs_handle *owner;
	const char *token;
} events[MANY];
static unsigned int writes, begun; /* of the node for requests: a transaction sees others' */
static char pending[24];
static bool written;

static struct xs_handle *const main_handle = (struct xs_handle *)&nodes;
static struct xs_handle *const changes_handle = (struct xs_handle *)&watches;

static void happen(enum rig_moment moment)
{
	if (rig.then)
		rig.then(moment);
}

static bool below(const char *path, const char *folder)
{
	const size_t n = strlen(folder);

	return strncmp(path, folder, n) == 0 && (path[n] == '/' || !path[n]);
}

static void fire(const char *path)
{
	for (size_t w = 0; w < MANY; w++)
		for (size_t e = 0; watches[w].owner && below(path, watches[w].path); e++) {
			assert_true(e < MANY);
			if (events[e].owner)
				continue;
			events[e].owner = watches[w].owner;
			events[e].token = watches[w].token;
			break;
		}
}

void rig_put(const char *path, const char *value)
{
	size_t to = MANY;

	for (size_t i = MANY; i-- > 0;) {
		if (!value && below(nodes[i].path, path))
			nodes[i].path[0] = '\0';
		if (!nodes[i].path[0] || strcmp(nodes[i].path, path) == 0)
			to = to < MANY && strcmp(nodes[to].path, path) == 0 ? to : i;
	}
	if (value) {
		assert_true(to < MANY);
		snprintf(nodes[to].path, sizeof(nodes[to].path), "%s", path);
		snprintf(nodes[to].value, sizeof(nodes[to].value), "%s", value);
	}
	writes++;
	fire(path);
}

const char *rig_get(const char *path)
{
	for (size_t i = 0; i < MANY; i++)
		if (strcmp(nodes[i].path, path) == 0)
			return nodes[i].value;
	return NULL;
}

void rig_begin(struct hv *hv)
{
	struct hv_domain dom = {.domid = RIG_DOMID, .name = "db"};
	struct why why;

	memset(&rig, 0, sizeof(rig));
	memset(nodes, 0, sizeof(nodes));
	memset(watches, 0, sizeof(watches));
	memset(events, 0, sizeof(events));
	*hv = (struct hv){.domid = RIG_DOMID,
		.name = "db",
		.shutdown_path = RIG_SHUTDOWN,
		.xs = main_handle,
		.evtchn = (xenevtchn_handle *)&begun,
		.remote_port = 3};
	rig_put(RIG_SHUTDOWN, "");
	rig_put("/local/domain/7/memory/target", "65536");
	rig_put("/local/domain/7/cpu/0/availability", "online");
	rig_put("/local/domain/7/device/vif/0/backend", "/local/domain/0/backend/vif/7/0");
	hv_xen_shape(hv->xs, RIG_DOMID, &dom.shape);
	assert_int_equal(dom.shape.n, 3);
	assert_true(hv_xen_watch_shape(hv, &dom, &why) >= 0);
}

/* ---- xenstore -------------------------------------------------------------------------------- */

struct xs_handle *xs_open(unsigned long flags)
{
	return changes_handle;
}

void xs_close(struct xs_handle *h)
{
}

int xs_fileno(struct xs_handle *h)
{
	return 0;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
	for (size_t i = 0; i < MANY; i++) {
		if (watches[i].owner)
			continue;
		watches[i].owner = h;
		snprintf(watches[i].path, sizeof(watches[i].path), "%s", path);
		snprintf(watches[i].token, sizeof(watches[i].token), "%s", token);
		fire(path); /* as it does when a watch begins */
		return true;
	}
	return false;
}

char **xs_check_watch(struct xs_handle *h)
{
	static char nothing[] = "";
	char **event;

	for (size_t i = 0; i < MANY; i++) {
		if (events[i].owner != h)
			continue;
		event = calloc(2, sizeof(*event));
		assert_non_null(event);
		event[XS_WATCH_PATH] = nothing;
		event[XS_WATCH_TOKEN] = (char *)(uintptr_t)events[i].token;
		events[i].owner = NULL;
		return event;
	}
	errno = EAGAIN;
	return NULL;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
	const char *value = rig_get(path);
	char *ret = value ? strdup(value) : NULL;

	if (t != XBT_NULL)
		happen(RIG_READ);
	return ret;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
	unsigned int len)
{
	assert_string_equal(path, RIG_SHUTDOWN);
	assert_true(t != XBT_NULL);
	snprintf(pending, sizeof(pending), "%.*s", (int)len, (const char *)data);
	written = true;
	return true;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
	const size_t n = strlen(path);
	char **list = calloc(1, MANY * (sizeof(*list) + 80));
	char *text = (char *)(list + MANY);

	assert_non_null(list);
	*num = 0;
	for (size_t i = 0; i < MANY; i++) {
		if (!nodes[i].path[0] || !below(nodes[i].path, path) || !nodes[i].path[n])
			continue;
		list[*num] = text + (size_t)*num * 80;
		snprintf(list[*num], 80, "%s", nodes[i].path + n + 1);
		list[*num][strcspn(list[*num], "/")] = '\0';
		++*num;
	}
	return list;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
	happen(RIG_BEGIN);
	begun = writes;
	written = false;
	return 1;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
	if (abort)
		return true;
	if (begun != writes) {
		errno = EAGAIN;
		return false;
	}
	if (!written)
		return true;
	rig_put(RIG_SHUTDOWN, pending);
	if (strcmp(pending, "suspend") == 0)
		happen(RIG_ASKED);
	return true;
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
	return true;
}

/* ---- the hypervisor -------------------------------------------------------------------------- */

int xc_domain_getinfolist(
	xc_interface *xch, uint32_t first_domain, unsigned int max_domains, xc_domaininfo_t *info)
{
	rig.looks++;
	happen(RIG_LOOK);
	if (rig.gone || first_domain > RIG_DOMID)
		return 0;
	memset(info, 0, sizeof(*info));
	info->domain = RIG_DOMID;
	if (rig.paused)
		info->flags |= XEN_DOMINF_paused;
	if (rig.suspended)
		info->flags |= XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
	return 1;
}

int xc_domain_resume(xc_interface *xch, uint32_t domid, int fast)
{
	assert_true(rig.suspended);
	rig.suspended = false;
	rig.resumed++;
	return 0;
}

int xc_shadow_control(
	xc_interface *xch, uint32_t domid, unsigned int sop, unsigned int *mb, unsigned int mode)
{
	rig.logdirty_off += sop == XEN_DOMCTL_SHADOW_OP_OFF;
	return 0;
}

int xc_domain_subscribe_for_suspend(xc_interface *xch, uint32_t domid, evtchn_port_t port)
{
	rig.subscribed = port > 0;
	return 0;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
	return -1;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
	return -1;
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
	return 0;
}

int xenevtchn_close(xenevtchn_handle *h)
{
	return 0;
}

/* In the order of save() in xg_sr_save.c; log-dirty mode ends with it. */
int xc_domain_save(xc_interface *xch, int io_fd, uint32_t domid, uint32_t flags,
	struct save_callbacks *callbacks, xc_stream_type_t stream_type, int recv_fd)
{
	bool goes_on;

	do
		goes_on = callbacks->suspend(callbacks->data) &&
			  callbacks->postcopy(callbacks->data) &&
			  callbacks->checkpoint(callbacks->data);
	while (goes_on);
	rig.logdirty_off++;
	return 0;
}

int libxl_domain_suspend(
	libxl_ctx *ctx, uint32_t domid, int fd, int flags, const libxl_asyncop_how *how)
{
	rig.suspended = true;
	return rig.save_error;
}

int libxl_domain_resume(
	libxl_ctx *ctx, uint32_t domid, int suspend_cancel, const libxl_asyncop_how *how)
{
	assert_int_equal(suspend_cancel, 1);
	if (rig.unresuming)
		return ERROR_FAIL;
	return xc_domain_resume(NULL, domid, 1);
}

pid_t saver_find(const char *proc, uint32_t domid)
{
	return rig.saver;
}

bool saver_dumps(const char *dir, const char *name, time_t now)
{
	return false;
}
