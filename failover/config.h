/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file, read once at start; every later part of the daemon only looks at it. */
#ifndef FAILOVER_CONFIG_H
#define FAILOVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct why;

#define FAILOVER_CONFIG_FILE ROMULUS_SYSCONFDIR "/romulus/romulus.conf"
#define FAILOVER_MAX_PEERS 16u
#define FAILOVER_MAX_PATHS 8u
#define FAILOVER_MAX_ADDRESSES 64u
#define FAILOVER_MAX_OPTIONS 64u
#define FAILOVER_MAX_LEVELS 4u
#define FAILOVER_MAX_VOLUMES 15u /* and the marker */
#define FAILOVER_MAX_ENDPOINTS 9u

enum failover_arbiter_kind {
	FAILOVER_ARBITER_MANUAL,
	FAILOVER_ARBITER_FENCE,
	FAILOVER_ARBITER_ETCD,
	FAILOVER_ARBITER_ETCD_FENCE, /* both must agree */
};

static inline bool failover_config_asks_etcd(enum failover_arbiter_kind kind)
{
	return kind == FAILOVER_ARBITER_ETCD || kind == FAILOVER_ARBITER_ETCD_FENCE;
}

static inline bool failover_config_fences(enum failover_arbiter_kind kind)
{
	return kind == FAILOVER_ARBITER_FENCE || kind == FAILOVER_ARBITER_ETCD_FENCE;
}

struct failover_path_config {
	char *name;
	char *local; /* numeric, IPv4 or IPv6 */
	char *remote;
};

struct failover_fence_config {
	char *agent;    /* absolute path of a fence agent */
	char **options; /* "key=value" lines for its standard input */
	size_t options_n;
	long timeout_s; /* for one run of the agent */
};

struct failover_peer_config {
	char *name;
	struct failover_path_config *paths; /* [0] carries the checkpoints */
	size_t paths_n;
	enum failover_arbiter_kind arbiter;
	struct failover_fence_config *fences; /* levels: the next is tried when one has failed */
	size_t fences_n;
	long fence_delay_ms; /* as backup, before the first of them */
};

struct failover_etcd_config {
	char **endpoints; /* "https://HOST:PORT" of the members */
	size_t endpoints_n;
	char *prefix; /* of our keys, from the slash on */
	char *ca;     /* PEM files; "": the system's authorities, no certificate of our own */
	char *certificate;
	char *key;
	long timeout_ms; /* for one endpoint's answer */
};

/* The domain's disks: a DRBD resource, and what of it lies on this host. */
struct failover_disks_config {
	char *resource; /* NULL: no replicated disks */
	char **volumes; /* real devices, volume 0 first */
	size_t volumes_n;
	char *peer;         /* "": the only peer */
	char *marker;       /* real device of the last, tiny volume */
	char *meta;         /* device of DRBD's metadata */
	long undo_limit_mb; /* old content that the backup may hold */
	long port;          /* of DRBD's connection */
	long minor;         /* of volume 0; the others follow */
};

#define FAILOVER_DRILL_LIMIT_S 60 /* where nothing else is said */

/* What is asked of the instance of a drill; NULL: nothing. */
struct failover_drill_config {
	char *address; /* of who asks, with its prefix length */
	char *command; /* absolute path */
	char *tcp;     /* "ADDRESS:PORT" */
	char *http;    /* URL */
	long limit_s;
};

struct failover_domain_config {
	char *name;
	struct failover_disks_config disks;
	struct failover_drill_config drill;
	long interval_ms; /* 0: not set here */
	long staging_mb;
	char *start;      /* xl's configuration, to start it from its disks; NULL: nobody does */
	char **addresses; /* to announce after a takeover */
	size_t addresses_n;
	bool reprotect_by_hand; /* not by itself after the protection has ended */
	bool stay_mute;         /* a primary asks no arbiter for leave to go on alone */
};

struct failover_config {
	char *host;
	char *transport; /* "tls" or "plain" */
	char *state_dir;
	char *run_dir;
	char *group;      /* whose members may look at the status; "": nobody but root */
	char *pki_dir;    /* of this host's certificate */
	char *xendomains; /* its settings: what else starts guests at boot */
	long port;
	long heartbeat_ms;
	long dead_after_ms;
	long ack_timeout_ms;
	long interval_ms;
	long staging_mb;
	long netbuf_limit_mb;
	long reprotect_delay_ms;
	bool watchdog; /* the hypervisor's, while a guest is protected here */
	long watchdog_timeout_s;
	struct failover_etcd_config etcd;
	struct failover_peer_config *peers;
	size_t peers_n;
	struct failover_domain_config *domains;
	size_t domains_n;
};

/*
 * Read @file. Returns 0 with *ret owned by the caller, or a negative errno with a sentence that
 * names the key and the line.
 */
int failover_config_load(const char *file, struct failover_config **ret, struct why *why);
struct failover_config *failover_config_free(struct failover_config *c); /* returns NULL */

const struct failover_peer_config *failover_config_peer(
	const struct failover_config *c, const char *name);
/* The section of @name, or NULL: nothing is set for that domain. */
const struct failover_domain_config *failover_config_domain(
	const struct failover_config *c, const char *name);
bool failover_config_reprotects(const struct failover_config *c, const char *domain);
bool failover_config_stays_mute(const struct failover_config *c, const char *domain);
long failover_config_interval_ms(const struct failover_config *c, const char *domain);
long failover_config_staging_mb(const struct failover_config *c, const char *domain);
/* 0: no watchdog is wanted. */
uint32_t failover_config_watchdog_s(const struct failover_config *c);

/* As it is written there. */
const char *failover_config_arbiter(enum failover_arbiter_kind kind);

bool failover_config_is_plain(const struct failover_config *c);

/* "ok" and a summary on standard output, for --check-config. */
void failover_config_print(const struct failover_config *c);

#endif
