/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the parsed file to struct failover_config, with the checks that need more than one key. */
#include "failover/config_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "common/why.h"

#define RESOURCE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define RESOURCE_MAX 48

static char *copy(const char *s)
{
	char *p = strdup(s ? s : "");

	if (!p)
		abort();
	return p;
}

static void *zeroed(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size);

	if (!p)
		abort();
	return p;
}

static char **copy_list(cfg_t *cfg, const char *key, size_t *ret_n)
{
	size_t n = cfg_size(cfg, key);
	char **list = zeroed(n, sizeof(*list));

	for (size_t i = 0; i < n; i++)
		list[i] = copy(cfg_getnstr(cfg, key, (unsigned int)i));
	*ret_n = n;
	return list;
}

static int lacks(const char *file, const char *where, const char *key, struct why *why)
{
	return why_set(why, -EINVAL, "%s: %s lacks the key %s", file, where, key);
}

/* Names of hosts, paths and domains go into records and `status`. */
static int check_name(const char *file, const char *what, const char *name, struct why *why)
{
	if (text_valid(name))
		return 0;
	return why_set(why, -EINVAL,
		"%s: the name of %s, \"%s\", has control characters or is not UTF-8", file, what,
		name);
}

static int build_fences(
	cfg_t *sec, const char *file, struct failover_peer_config *p, struct why *why)
{
	p->fences_n = cfg_size(sec, "fence");
	p->fences = zeroed(p->fences_n, sizeof(*p->fences));
	if (p->fences_n > FAILOVER_MAX_LEVELS)
		return why_set(why, -EINVAL, "%s: peer \"%s\" has more than %u fence sections",
			file, p->name, FAILOVER_MAX_LEVELS);
	for (size_t i = 0; i < p->fences_n; i++) {
		cfg_t *fence = cfg_getnsec(sec, "fence", (unsigned int)i);
		struct failover_fence_config *f = &p->fences[i];

		f->agent = copy(cfg_getstr(fence, "agent"));
		f->options = copy_list(fence, "options", &f->options_n);
		f->timeout_s = cfg_getint(fence, "timeout");
		if (!f->agent[0])
			return why_set(why, -EINVAL,
				"%s: peer \"%s\" has a fence section without the key agent", file,
				p->name);
		if (f->options_n > FAILOVER_MAX_OPTIONS)
			return why_set(why, -EINVAL,
				"%s: peer \"%s\" has more than %u fence options", file, p->name,
				FAILOVER_MAX_OPTIONS);
	}
	if (failover_config_fences(p->arbiter) && p->fences_n == 0)
		return why_set(why, -EINVAL,
			"%s: peer \"%s\" has arbiter = \"%s\", but no fence section with the "
			"key agent",
			file, p->name, failover_config_arbiter(p->arbiter));
	return 0;
}

static int build_peer(cfg_t *sec, const char *file, struct failover_peer_config *p, struct why *why)
{
	char where[160];
	int r;

	p->name = copy(cfg_title(sec));
	r = check_name(file, "a peer", p->name, why);
	if (r < 0)
		return r;
	snprintf(where, sizeof(where), "peer \"%s\"", p->name);
	p->paths_n = cfg_size(sec, "path");
	p->paths = zeroed(p->paths_n, sizeof(*p->paths));
	for (size_t i = 0; i < p->paths_n; i++) {
		cfg_t *path = cfg_getnsec(sec, "path", (unsigned int)i);

		p->paths[i].name = copy(cfg_title(path));
		p->paths[i].local = copy(cfg_getstr(path, "local"));
		p->paths[i].remote = copy(cfg_getstr(path, "remote"));
		snprintf(
			where, sizeof(where), "peer \"%s\" path \"%s\"", p->name, p->paths[i].name);
		r = check_name(file, "a path", p->paths[i].name, why);
		if (r < 0)
			return r;
		if (!p->paths[i].local[0])
			return lacks(file, where, "local", why);
		if (!p->paths[i].remote[0])
			return lacks(file, where, "remote", why);
	}
	snprintf(where, sizeof(where), "peer \"%s\"", p->name);
	if (p->paths_n == 0)
		return lacks(file, where, "path", why);
	if (p->paths_n > FAILOVER_MAX_PATHS)
		return why_set(why, -EINVAL, "%s: %s has more than %u keys named path", file, where,
			FAILOVER_MAX_PATHS);
	p->arbiter = failover_config_arbiter_kind(cfg_getstr(sec, "arbiter"));
	p->fence_delay_ms = cfg_getint(sec, "fence-delay");
	return build_fences(sec, file, p, why);
}

static int build_etcd(cfg_t *cfg, const char *file, struct failover_config *c, struct why *why)
{
	struct failover_etcd_config *e = &c->etcd;
	cfg_t *sec = cfg_size(cfg, "etcd") ? cfg_getsec(cfg, "etcd") : NULL;

	for (size_t i = 0; !sec && i < c->peers_n; i++)
		if (failover_config_asks_etcd(c->peers[i].arbiter))
			return why_set(why, -EINVAL,
				"%s: peer \"%s\" has arbiter = \"%s\", but there is no section "
				"etcd",
				file, c->peers[i].name,
				failover_config_arbiter(c->peers[i].arbiter));
	if (!sec)
		return 0;
	e->endpoints = copy_list(sec, "endpoints", &e->endpoints_n);
	e->prefix = copy(cfg_getstr(sec, "prefix"));
	e->ca = copy(cfg_getstr(sec, "ca"));
	e->certificate = copy(cfg_getstr(sec, "certificate"));
	e->key = copy(cfg_getstr(sec, "key"));
	e->timeout_ms = cfg_getint(sec, "timeout");
	if (e->endpoints_n == 0 || e->endpoints_n > FAILOVER_MAX_ENDPOINTS)
		return why_set(why, -EINVAL,
			"%s: etcd: endpoints has %zu addresses, but must have 1 to %u", file,
			e->endpoints_n, FAILOVER_MAX_ENDPOINTS);
	if (!e->certificate[0] != !e->key[0])
		return why_set(why, -EINVAL,
			"%s: etcd: certificate and key are of use only together", file);
	return 0;
}

static int build_disks(cfg_t *sec, const char *file, const char *domain,
	struct failover_disks_config *d, struct why *why)
{
	const char *resource = cfg_getstr(sec, "resource");
	char where[160];

	snprintf(where, sizeof(where), "domain \"%s\" disks", domain);
	d->resource = copy(resource ? resource : domain);
	if (!d->resource[0] || strspn(d->resource, RESOURCE_CHARS) != strlen(d->resource) ||
		strlen(d->resource) > RESOURCE_MAX)
		return why_set(why, -EINVAL,
			"%s: %s: \"%s\" is no name of a DRBD resource (letters, digits, - and _, "
			"at "
			"most %d)",
			file, where, d->resource, RESOURCE_MAX);
	d->volumes = copy_list(sec, "volumes", &d->volumes_n);
	d->peer = copy(cfg_getstr(sec, "peer"));
	d->marker = copy(cfg_getstr(sec, "marker"));
	d->meta = copy(cfg_getstr(sec, "meta"));
	d->undo_limit_mb = cfg_getint(sec, "undo-limit");
	d->port = cfg_getint(sec, "port");
	d->minor = cfg_getint(sec, "minor");
	if (d->volumes_n == 0 || d->volumes_n > FAILOVER_MAX_VOLUMES)
		return why_set(why, -EINVAL,
			"%s: %s: volumes has %zu devices, but must have 1 to %u", file, where,
			d->volumes_n, FAILOVER_MAX_VOLUMES);
	if (!d->marker[0])
		return lacks(file, where, "marker", why);
	if (!d->meta[0])
		return lacks(file, where, "meta", why);
	return 0;
}

static char *copy_if_set(cfg_t *sec, const char *key)
{
	return cfg_size(sec, key) ? copy(cfg_getstr(sec, key)) : NULL;
}

static int build_drill(cfg_t *sec, const char *file, const char *domain,
	struct failover_drill_config *d, struct why *why)
{
	char where[160];

	d->limit_s = FAILOVER_DRILL_LIMIT_S;
	if (!sec)
		return 0;
	d->address = copy_if_set(sec, "address");
	d->command = copy_if_set(sec, "command");
	d->tcp = copy_if_set(sec, "tcp");
	d->http = copy_if_set(sec, "http");
	d->limit_s = cfg_getint(sec, "limit");
	snprintf(where, sizeof(where), "domain \"%.100s\" drill", domain);
	return (d->tcp || d->http) && !d->address ? lacks(file, where, "address", why) : 0;
}

static int build_domain(
	cfg_t *sec, const char *file, struct failover_domain_config *d, struct why *why)
{
	int r;

	d->name = copy(cfg_title(sec));
	r = check_name(file, "a domain", d->name, why);
	if (!r && cfg_size(sec, "disks"))
		r = build_disks(cfg_getsec(sec, "disks"), file, d->name, &d->disks, why);
	if (r < 0)
		return r;
	r = build_drill(cfg_size(sec, "drill") ? cfg_getsec(sec, "drill") : NULL, file, d->name,
		&d->drill, why);
	if (r < 0)
		return r;
	if (cfg_size(sec, "interval"))
		d->interval_ms = cfg_getint(sec, "interval");
	if (cfg_size(sec, "staging"))
		d->staging_mb = cfg_getint(sec, "staging");
	if (cfg_size(sec, "start"))
		d->start = copy(cfg_getstr(sec, "start"));
	d->reprotect_by_hand = strcmp(cfg_getstr(sec, "reprotect"), "manual") == 0;
	d->stay_mute = strcmp(cfg_getstr(sec, "on-backup-lost"), "stay-mute") == 0;
	d->addresses = copy_list(sec, "addresses", &d->addresses_n);
	if (d->addresses_n > FAILOVER_MAX_ADDRESSES)
		return why_set(why, -EINVAL, "%s: domain \"%s\" has more than %u addresses", file,
			d->name, FAILOVER_MAX_ADDRESSES);
	return 0;
}

/* DRBD connects two hosts: which is the other one must be clear. */
static int check_disks_peer(const struct failover_config *c, const struct failover_domain_config *d,
	const char *file, struct why *why)
{
	if (!d->disks.resource)
		return 0;
	if (!d->disks.peer[0] && c->peers_n != 1)
		return why_set(why, -EINVAL,
			"%s: domain \"%s\" disks lacks the key peer, and there are %zu peers", file,
			d->name, c->peers_n);
	if (d->disks.peer[0] && !failover_config_peer(c, d->disks.peer))
		return why_set(why, -EINVAL,
			"%s: domain \"%s\" disks: peer \"%s\" has no section of its own", file,
			d->name, d->disks.peer);
	return 0;
}

int failover_config_build(cfg_t *cfg, const char *file, struct failover_config *c, struct why *why)
{
	int r;

	c->host = copy(cfg_getstr(cfg, "host"));
	c->transport = copy(cfg_getstr(cfg, "transport"));
	c->state_dir = copy(cfg_getstr(cfg, "state-dir"));
	c->run_dir = copy(cfg_getstr(cfg, "run-dir"));
	c->group = copy(cfg_getstr(cfg, "group"));
	c->pki_dir = copy(cfg_getstr(cfg, "pki-dir"));
	c->xendomains = copy(cfg_getstr(cfg, "xendomains"));
	c->watchdog = strcmp(cfg_getstr(cfg, "watchdog"), "hypervisor") == 0;
	failover_config_take_numbers(cfg, c);
	if (!c->host[0])
		return lacks(file, "the file", "host", why);
	r = check_name(file, "this host", c->host, why);
	if (r < 0)
		return r;
	if (c->dead_after_ms < 3 * c->heartbeat_ms)
		return why_set(why, -EINVAL,
			"%s: dead-after (%ld ms) must be at least three times heartbeat-interval "
			"(%ld ms), or one lost datagram would look like a dead host",
			file, c->dead_after_ms, c->heartbeat_ms);
	c->peers_n = cfg_size(cfg, "peer");
	c->peers = zeroed(c->peers_n, sizeof(*c->peers));
	if (c->peers_n > FAILOVER_MAX_PEERS)
		return why_set(why, -EINVAL, "%s: more than %u sections named peer", file,
			FAILOVER_MAX_PEERS);
	for (size_t i = 0; i < c->peers_n; i++) {
		r = build_peer(cfg_getnsec(cfg, "peer", (unsigned int)i), file, &c->peers[i], why);
		if (r < 0)
			return r;
		if (strcmp(c->peers[i].name, c->host) == 0)
			return why_set(why, -EINVAL,
				"%s: peer \"%s\" has the name of this host (key host)", file,
				c->host);
	}
	r = build_etcd(cfg, file, c, why);
	if (r < 0)
		return r;
	c->domains_n = cfg_size(cfg, "domain");
	c->domains = zeroed(c->domains_n, sizeof(*c->domains));
	for (size_t i = 0; i < c->domains_n; i++) {
		r = build_domain(
			cfg_getnsec(cfg, "domain", (unsigned int)i), file, &c->domains[i], why);
		if (!r)
			r = check_disks_peer(c, &c->domains[i], file, why);
		if (r < 0)
			return r;
	}
	return 0;
}
