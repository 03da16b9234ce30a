/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration: read as a whole or refused, looked up, printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/why.h"
#include "failover/autostart.h"
#include "failover/config_parts.h"

int failover_config_load(const char *file, struct failover_config **ret, struct why *why)
{
	struct failover_config *c;
	cfg_t *cfg;
	int r = failover_config_parse(file, &cfg, why);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		abort();
	r = failover_config_build(cfg, file, c, why);
	cfg_free(cfg);
	if (r < 0) {
		failover_config_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

static void free_list(char **list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

struct failover_config *failover_config_free(struct failover_config *c)
{
	if (!c)
		return NULL;
	for (size_t i = 0; c->peers && i < c->peers_n; i++) {
		struct failover_peer_config *p = &c->peers[i];

		for (size_t k = 0; p->paths && k < p->paths_n; k++) {
			free(p->paths[k].name);
			free(p->paths[k].local);
			free(p->paths[k].remote);
		}
		free(p->paths);
		for (size_t k = 0; p->fences && k < p->fences_n; k++) {
			free(p->fences[k].agent);
			free_list(p->fences[k].options, p->fences[k].options_n);
		}
		free(p->fences);
		free(p->name);
	}
	for (size_t i = 0; c->domains && i < c->domains_n; i++) {
		free(c->domains[i].start);
		free(c->domains[i].drill.address);
		free(c->domains[i].drill.command);
		free(c->domains[i].drill.tcp);
		free(c->domains[i].drill.http);
		free_list(c->domains[i].addresses, c->domains[i].addresses_n);
		free_list(c->domains[i].disks.volumes, c->domains[i].disks.volumes_n);
		free(c->domains[i].disks.resource);
		free(c->domains[i].disks.peer);
		free(c->domains[i].disks.marker);
		free(c->domains[i].disks.meta);
		free(c->domains[i].name);
	}
	free_list(c->etcd.endpoints, c->etcd.endpoints_n);
	free(c->etcd.prefix);
	free(c->etcd.ca);
	free(c->etcd.certificate);
	free(c->etcd.key);
	free(c->peers);
	free(c->domains);
	free(c->host);
	free(c->transport);
	free(c->state_dir);
	free(c->run_dir);
	free(c->group);
	free(c->pki_dir);
	free(c->xendomains);
	free(c);
	return NULL;
}

const struct failover_peer_config *failover_config_peer(
	const struct failover_config *c, const char *name)
{
	for (size_t i = 0; i < c->peers_n; i++)
		if (strcmp(c->peers[i].name, name) == 0)
			return &c->peers[i];
	return NULL;
}

const struct failover_domain_config *failover_config_domain(
	const struct failover_config *c, const char *name)
{
	for (size_t i = 0; i < c->domains_n; i++)
		if (strcmp(c->domains[i].name, name) == 0)
			return &c->domains[i];
	return NULL;
}

bool failover_config_reprotects(const struct failover_config *c, const char *domain)
{
	const struct failover_domain_config *d = failover_config_domain(c, domain);

	return !d || !d->reprotect_by_hand;
}

bool failover_config_stays_mute(const struct failover_config *c, const char *domain)
{
	const struct failover_domain_config *d = failover_config_domain(c, domain);

	return d && d->stay_mute;
}

long failover_config_interval_ms(const struct failover_config *c, const char *domain)
{
	const struct failover_domain_config *d = failover_config_domain(c, domain);

	return d && d->interval_ms ? d->interval_ms : c->interval_ms;
}

long failover_config_staging_mb(const struct failover_config *c, const char *domain)
{
	const struct failover_domain_config *d = failover_config_domain(c, domain);

	return d && d->staging_mb ? d->staging_mb : c->staging_mb;
}

uint32_t failover_config_watchdog_s(const struct failover_config *c)
{
	return c->watchdog ? (uint32_t)c->watchdog_timeout_s : 0;
}

bool failover_config_is_plain(const struct failover_config *c)
{
	return strcmp(c->transport, "plain") == 0;
}

void failover_config_print(const struct failover_config *c)
{
	struct why why;

	printf("ok\nhost %s, transport %s, port %ld\n", c->host, c->transport, c->port);
	printf("heartbeat every %ld ms, dead after %ld ms, ack within %ld ms\n", c->heartbeat_ms,
		c->dead_after_ms, c->ack_timeout_ms);
	for (size_t i = 0; i < c->peers_n; i++) {
		printf("peer %s, arbiter %s\n", c->peers[i].name,
			failover_config_arbiter(c->peers[i].arbiter));
		for (size_t k = 0; k < c->peers[i].paths_n; k++)
			printf("  path %s %s -> %s\n", c->peers[i].paths[k].name,
				c->peers[i].paths[k].local, c->peers[i].paths[k].remote);
	}
	for (size_t i = 0; i < c->etcd.endpoints_n; i++)
		printf("etcd member %s, keys below %s\n", c->etcd.endpoints[i], c->etcd.prefix);
	for (size_t i = 0; i < c->domains_n; i++) {
		const struct failover_disks_config *disks = &c->domains[i].disks;

		printf("domain %s, interval %ld ms, staging %ld MB\n", c->domains[i].name,
			failover_config_interval_ms(c, c->domains[i].name),
			failover_config_staging_mb(c, c->domains[i].name));
		if (failover_autostart_find(c->xendomains, c->domains[i].name, &why) < 0)
			printf("  cannot be protected: %s\n", why.text);
		if (c->domains[i].start)
			printf("  started from %s when it died with its host\n",
				c->domains[i].start);
		if (disks->resource)
			printf("  disks: DRBD resource %s, %zu volumes and a marker, undo limit "
			       "%ld "
			       "MB\n",
				disks->resource, disks->volumes_n, disks->undo_limit_mb);
	}
}
