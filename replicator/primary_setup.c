/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-primary, before the first page is copied: the domain, its disks, its network, the stream.
 */
#include "replicator/primary.h"

#include <errno.h>

#include "common/clock.h"
#include "diskrep/primary.h"

#define CONNECT_TIMEOUT_NS (10 * NSEC_PER_SEC)

/* Every disk that the guest can write to must be replicated, or the backup would run on old ones.
 */
static int open_disks(struct primary *p)
{
	const char *resource = p->worker.resource;
	size_t i;
	int r;

	if (!p->dom.disk_count)
		return 0;
	if (!resource)
		return why_set(&p->why, -EOPNOTSUPP,
			"'%s' writes to disk %s (%s), which is not replicated; nothing was "
			"changed. "
			"Put it on DRBD and name the resource in romulus.conf: see `romulus disk`",
			p->dom.name, p->dom.disks[0].vdev, p->dom.disks[0].path);
	r = diskrep_primary_open(resource, p->dom.uuid, &p->disks, &p->why);
	for (i = 0; !r && i < p->dom.disk_count; i++)
		r = diskrep_primary_covers(p->disks, p->dom.disks[i].path, &p->why);
	return r;
}

static struct netbuf *make_netbuf(struct primary *p)
{
	const char *vifs[HV_MAX_NICS];
	size_t i;

	for (i = 0; i < p->dom.nic_count; i++)
		vifs[i] = p->dom.nics[i].vif;
	return netbuf_new(&netbuf_kernel_ops, p->dom.uuid, vifs, p->dom.nic_count,
		p->worker.netbuf_limit, p->netbuf_dir);
}

int primary_find(struct primary *p)
{
	struct worker *w = &p->worker;
	int r = p->ops->find(p->hv, w->domain, &p->dom, &p->why);

	if (!r)
		r = p->ops->can_protect(p->hv, &p->dom, &p->why);
	if (!r)
		r = open_disks(p);
	if (!r)
		r = staging_open(&p->staging, w->staging_bytes, &p->why);
	if (!r)
		r = p->ops->attach(p->hv, &p->dom, &p->why);
	if (!r)
		r = p->changes = p->ops->watch_shape(p->hv, &p->dom, &p->why);
	if (r < 0)
		return r;
	p->netbuf = make_netbuf(p);
	if (!p->netbuf)
		return why_set(&p->why, -ENOMEM, "no memory for the network buffer");
	/* A dead worker before us may have left the guest's output held. */
	return netbuf_sweep(p->netbuf_dir, p->dom.uuid, 1, &p->why) < 0 ? -EIO : 0;
}

int primary_say_found(struct primary *p)
{
	static const char *const types[] = {
		[HV_TYPE_PV] = "pv",
		[HV_TYPE_PVH] = "pvh",
		[HV_TYPE_HVM] = "hvm",
	};
	Romulus__Report report = ROMULUS__REPORT__INIT;

	report.kind = PROTO_REPORT_FOUND;
	report.domain = p->dom.name;
	report.uuid = p->dom.uuid;
	report.memory_kb = p->dom.memory_kb;
	report.type = (char *)types[p->dom.type];
	report.hypervisor = p->dom.hypervisor;
	report.domid = p->dom.domid;
	report.staging_limit = p->worker.staging_bytes;
	return worker_report(&p->worker, &report);
}

/* Wait for the daemon to say where the backup listens, and greet it. */
int primary_connect(struct primary *p)
{
	Romulus__DomainConfig config = ROMULUS__DOMAIN_CONFIG__INIT;
	const Romulus__Order *order = NULL;
	uint64_t deadline;
	Romulus__Hello *hello = NULL;
	int r, fd;

	r = worker_order(&p->worker, UINT64_MAX, &order);
	if (r != PROTO_ORDER_CONNECT)
		return why_set(&p->why, -ECANCELED, "stopped before the initial copy began");
	if (order->token.len != PROTO_TOKEN_BYTES)
		return why_set(
			&p->why, -EBADMSG, "romulusd handed out a token of the wrong length");
	deadline = clock_now_ns() + CONNECT_TIMEOUT_NS;
	p->worker.generation = order->generation;
	r = worker_identify(&p->worker, &p->why);
	if (r)
		return r;
	fd = proto_connect(NULL, order->address, (uint16_t)order->port, deadline, &p->why);
	if (fd < 0)
		return fd;
	p->stream = proto_session_new(fd);
	if (!p->stream)
		return -ENOMEM;
	r = proto_session_secure(p->stream, p->worker.identity, false, p->worker.peer, &p->why);
	if (r)
		return r;
	r = proto_handshake(p->stream, p->worker.host, "stream", order->token.data, NULL, deadline,
		&hello, &p->why);
	if (r)
		return r;
	romulus__hello__free_unpacked(hello, NULL);
	config.domain = p->dom.name;
	config.uuid = p->dom.uuid;
	config.generation = p->worker.generation;
	config.json = p->dom.config_json;
	config.disk_nonce = p->disks ? diskrep_primary_nonce(p->disks) : 0;
	return proto_session_send(p->stream, PROTO_DOMAIN_CONFIG, &config.base, deadline, &p->why);
}
