/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration file: libconfuse's grammar, one table of numbers with their ranges, and the
 * checks that need more than one key. A wrong file is refused as a whole, with the line.
 */
#include "failover/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <confuse.h>

#include "common/cleanup.h"
#include "common/why.h"

/* One sentence per load; libconfuse's error callback has no argument of its own. */
static struct why config_why;

struct number_option {
	const char *key;
	long min, max;
	const char *unit;
	long fallback;
	size_t offset; /* in struct failover_config */
};

#define NUMBER(key, min, max, unit, fallback, member)                                              \
	{                                                                                          \
		key, min, max, unit, fallback, offsetof(struct failover_config, member)            \
	}

static const struct number_option numbers[] = {
	NUMBER("port", 1, 65535, "", 7800, port),
	NUMBER("heartbeat-interval", 10, 10000, " ms", 50, heartbeat_ms),
	NUMBER("dead-after", 100, 60000, " ms", 1000, dead_after_ms),
	NUMBER("ack-timeout", 100, 600000, " ms", 5000, ack_timeout_ms),
	NUMBER("interval", 5, 10000, " ms", 200, interval_ms),
	NUMBER("staging", 8, 65536, " MB", 256, staging_mb),
	NUMBER("netbuf-limit", 1, 4096, " MB", 64, netbuf_limit_mb),
	NUMBER("reprotect-delay", 100, 3600000, " ms", 5000, reprotect_delay_ms),
};

#define RESOURCE_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
#define RESOURCE_MAX 48
#define FENCE_TIMEOUT_MIN 1
#define FENCE_TIMEOUT_MAX 3600

static void note_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[WHY_MAX - 128];

	if (config_why.text[0])
		return; /* the first error is the one to mend */
	vsnprintf(text, sizeof(text), fmt, ap);
	if (cfg && cfg->filename && cfg->line > 0)
		why_set(&config_why, 0, "%s, line %d: %s", cfg->filename, cfg->line, text);
	else
		why_set(&config_why, 0, "%s", text);
}

static int in_range(cfg_t *cfg, const char *key, long value, long min, long max, const char *unit)
{
	if (value >= min && value <= max)
		return 0;
	cfg_error(cfg, "%s is %ld%s, but must be between %ld and %ld%s", key, value, unit, min, max,
		unit);
	return -1;
}

static int check_number(cfg_t *cfg, cfg_opt_t *opt)
{
	long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		if (strcmp(numbers[i].key, cfg_opt_name(opt)) == 0)
			return in_range(cfg, numbers[i].key, value, numbers[i].min, numbers[i].max,
				numbers[i].unit);
	return in_range(cfg, cfg_opt_name(opt), value, FENCE_TIMEOUT_MIN, FENCE_TIMEOUT_MAX, " s");
}

static int check_address(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	struct in6_addr any;

	if (inet_pton(AF_INET, value, &any) == 1 || inet_pton(AF_INET6, value, &any) == 1)
		return 0;
	cfg_error(cfg, "%s is \"%s\", but must be a numeric IPv4 or IPv6 address",
		cfg_opt_name(opt), value);
	return -1;
}

static int check_absolute(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (value[0] == '/')
		return 0;
	cfg_error(cfg, "%s is \"%s\", but must be an absolute path", cfg_opt_name(opt), value);
	return -1;
}

/* Handed to programs as a list with commas. */
static int check_device(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (strncmp(value, "/dev/", 5) == 0 && !strpbrk(value, ", \t\n\"'"))
		return 0;
	cfg_error(cfg, "%s has \"%s\", but must be a device below /dev, without blanks or commas",
		cfg_opt_name(opt), value);
	return -1;
}

static int check_disks_number(cfg_t *cfg, cfg_opt_t *opt)
{
	static const struct {
		const char *key;
		long min, max;
		const char *unit;
	} ranges[] = {
		{"undo-limit", 1, 65536, " MB"},
		{"port", 1, 65535, ""},
		{"minor", 0, 65535, ""},
	};
	long value = cfg_opt_getnint(opt, cfg_opt_size(opt) - 1);

	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (strcmp(ranges[i].key, cfg_opt_name(opt)) == 0)
			return in_range(cfg, ranges[i].key, value, ranges[i].min, ranges[i].max,
				ranges[i].unit);
	return -1;
}

struct word_rule {
	const char *key;
	const char *const *words;
	const char *help;
};

static const char *const transports[] = {"plain", NULL};
static const char *const arbiters[] = {"manual", "fence", NULL}; /* enum failover_arbiter_kind */
static const struct word_rule word_rules[] = {
	{"transport", transports,
		"\"plain\", the only transport there is yet: use it on a trusted link only"},
	{"arbiter", arbiters, "\"fence\" or \"manual\""},
};

static int check_word(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	for (size_t i = 0; i < ARRAY_SIZE(word_rules); i++) {
		if (strcmp(word_rules[i].key, cfg_opt_name(opt)) != 0)
			continue;
		for (const char *const *w = word_rules[i].words; *w; w++)
			if (strcmp(*w, value) == 0)
				return 0;
		cfg_error(cfg, "%s is \"%s\", but must be %s", word_rules[i].key, value,
			word_rules[i].help);
		return -1;
	}
	return 0;
}

static int check_option(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (strchr(value, '=') && !strchr(value, '\n') && strncmp(value, "action=", 7) != 0)
		return 0;
	cfg_error(cfg, "options has \"%s\", but each one must read key=value and not set action",
		value);
	return -1;
}

static cfg_opt_t path_options[] = {
	CFG_STR("local", NULL, CFGF_NODEFAULT),
	CFG_STR("remote", NULL, CFGF_NODEFAULT),
	CFG_END(),
};
static cfg_opt_t fence_options[] = {
	CFG_STR("agent", NULL, CFGF_NODEFAULT),
	CFG_STR_LIST("options", NULL, CFGF_NODEFAULT),
	CFG_INT("timeout", 60, CFGF_NONE),
	CFG_END(),
};
static cfg_opt_t peer_options[] = {
	CFG_SEC("path", path_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	CFG_STR("arbiter", "manual", CFGF_NONE),
	CFG_SEC("fence", fence_options, CFGF_NODEFAULT),
	CFG_END(),
};
static cfg_opt_t disks_options[] = {
	CFG_STR("resource", NULL, CFGF_NODEFAULT),
	CFG_STR("peer", NULL, CFGF_NODEFAULT),
	CFG_STR_LIST("volumes", NULL, CFGF_NODEFAULT),
	CFG_STR("marker", NULL, CFGF_NODEFAULT),
	CFG_STR("meta", NULL, CFGF_NODEFAULT),
	CFG_INT("undo-limit", 512, CFGF_NONE),
	CFG_INT("port", 7789, CFGF_NONE),
	CFG_INT("minor", 10, CFGF_NONE),
	CFG_END(),
};
static cfg_opt_t domain_options[] = {
	CFG_SEC("disks", disks_options, CFGF_NODEFAULT),
	CFG_INT("interval", 0, CFGF_NODEFAULT),
	CFG_INT("staging", 0, CFGF_NODEFAULT),
	CFG_STR_LIST("addresses", NULL, CFGF_NODEFAULT),
	CFG_STR("start", NULL, CFGF_NODEFAULT),
	CFG_END(),
};

static const struct {
	const char *path;
	cfg_validate_callback_t check;
} checks[] = {
	{"transport", check_word},
	{"state-dir", check_absolute},
	{"run-dir", check_absolute},
	{"peer|arbiter", check_word},
	{"peer|path|local", check_address},
	{"peer|path|remote", check_address},
	{"peer|fence|agent", check_absolute},
	{"peer|fence|options", check_option},
	{"peer|fence|timeout", check_number},
	{"domain|interval", check_number},
	{"domain|staging", check_number},
	{"domain|addresses", check_address},
	{"domain|start", check_absolute},
	{"domain|disks|volumes", check_device},
	{"domain|disks|marker", check_device},
	{"domain|disks|meta", check_device},
	{"domain|disks|undo-limit", check_disks_number},
	{"domain|disks|port", check_disks_number},
	{"domain|disks|minor", check_disks_number},
};

static cfg_t *make_parser(void)
{
	cfg_opt_t top[8 + ARRAY_SIZE(numbers)] = {
		CFG_STR("host", NULL, CFGF_NODEFAULT),
		CFG_STR("transport", NULL, CFGF_NODEFAULT),
		CFG_STR("state-dir", "/var/lib/romulus", CFGF_NONE),
		CFG_STR("run-dir", "/run/romulus", CFGF_NONE),
		CFG_SEC("peer", peer_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("domain", domain_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
	};
	size_t n = 6;
	cfg_t *cfg;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		cfg_opt_t o = CFG_INT(numbers[i].key, 0, CFGF_NONE);

		o.def.number = numbers[i].fallback;
		top[n++] = o;
	}
	top[n] = (cfg_opt_t)CFG_END();
	cfg = cfg_init(top, CFGF_NONE);
	if (!cfg)
		return NULL;
	cfg_set_error_function(cfg, note_error);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		cfg_set_validate_func(cfg, numbers[i].key, check_number);
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++)
		cfg_set_validate_func(cfg, checks[i].path, checks[i].check);
	return cfg;
}

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

static int build_peer(cfg_t *sec, const char *file, struct failover_peer_config *p, struct why *why)
{
	cfg_t *fence = cfg_size(sec, "fence") ? cfg_getsec(sec, "fence") : NULL;
	char where[160];

	p->name = copy(cfg_title(sec));
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
	if (strcmp(cfg_getstr(sec, "arbiter"), "fence") == 0)
		p->arbiter = FAILOVER_ARBITER_FENCE;
	if (fence) {
		p->fence.agent = copy(cfg_getstr(fence, "agent"));
		p->fence.options = copy_list(fence, "options", &p->fence.options_n);
		p->fence.timeout_s = cfg_getint(fence, "timeout");
		if (p->fence.options_n > FAILOVER_MAX_OPTIONS)
			return why_set(why, -EINVAL, "%s: %s has more than %u fence options", file,
				where, FAILOVER_MAX_OPTIONS);
	}
	if (p->arbiter == FAILOVER_ARBITER_FENCE && (!p->fence.agent || !p->fence.agent[0]))
		return why_set(why, -EINVAL,
			"%s: %s has arbiter = \"fence\", but no fence section with the key agent",
			file, where);
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

static int build_domain(
	cfg_t *sec, const char *file, struct failover_domain_config *d, struct why *why)
{
	d->name = copy(cfg_title(sec));
	if (cfg_size(sec, "disks")) {
		int r = build_disks(cfg_getsec(sec, "disks"), file, d->name, &d->disks, why);

		if (r < 0)
			return r;
	}
	if (cfg_size(sec, "interval"))
		d->interval_ms = cfg_getint(sec, "interval");
	if (cfg_size(sec, "staging"))
		d->staging_mb = cfg_getint(sec, "staging");
	if (cfg_size(sec, "start"))
		d->start = copy(cfg_getstr(sec, "start"));
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

static int build(cfg_t *cfg, const char *file, struct failover_config *c, struct why *why)
{
	int r;

	c->host = copy(cfg_getstr(cfg, "host"));
	c->transport = copy(cfg_getstr(cfg, "transport"));
	c->state_dir = copy(cfg_getstr(cfg, "state-dir"));
	c->run_dir = copy(cfg_getstr(cfg, "run-dir"));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*(long *)((char *)c + numbers[i].offset) = cfg_getint(cfg, numbers[i].key);
	if (!c->host[0])
		return lacks(file, "the file", "host", why);
	if (!c->transport[0])
		return why_set(why, -EINVAL,
			"%s: the file lacks the key transport; checkpoints would cross the "
			"network readable: say transport = \"plain\" if the link is trusted",
			file);
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

int failover_config_load(const char *file, struct failover_config **ret, struct why *why)
{
	struct failover_config *c;
	cfg_t *cfg = make_parser();
	int r;

	if (!cfg)
		return why_set(why, -ENOMEM, "%s: no memory to read it", file);
	config_why.text[0] = '\0';
	errno = 0;
	r = cfg_parse(cfg, file);
	if (r != CFG_SUCCESS) {
		cfg_free(cfg);
		if (r == CFG_FILE_ERROR)
			return why_set(why, -ENOENT, "cannot read the configuration %s: %s", file,
				strerror(errno));
		return why_set(why, -EINVAL, "%s",
			config_why.text[0] ? config_why.text : "the configuration is wrong");
	}
	c = zeroed(1, sizeof(*c));
	r = build(cfg, file, c, why);
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
		free(p->fence.agent);
		free_list(p->fence.options, p->fence.options_n);
		free(p->name);
	}
	for (size_t i = 0; c->domains && i < c->domains_n; i++) {
		free(c->domains[i].start);
		free_list(c->domains[i].addresses, c->domains[i].addresses_n);
		free_list(c->domains[i].disks.volumes, c->domains[i].disks.volumes_n);
		free(c->domains[i].disks.resource);
		free(c->domains[i].disks.peer);
		free(c->domains[i].disks.marker);
		free(c->domains[i].disks.meta);
		free(c->domains[i].name);
	}
	free(c->peers);
	free(c->domains);
	free(c->host);
	free(c->transport);
	free(c->state_dir);
	free(c->run_dir);
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

void failover_config_print(const struct failover_config *c)
{
	printf("ok\nhost %s, transport %s, port %ld\n", c->host, c->transport, c->port);
	printf("heartbeat every %ld ms, dead after %ld ms, ack within %ld ms\n", c->heartbeat_ms,
		c->dead_after_ms, c->ack_timeout_ms);
	for (size_t i = 0; i < c->peers_n; i++) {
		printf("peer %s, arbiter %s\n", c->peers[i].name, arbiters[c->peers[i].arbiter]);
		for (size_t k = 0; k < c->peers[i].paths_n; k++)
			printf("  path %s %s -> %s\n", c->peers[i].paths[k].name,
				c->peers[i].paths[k].local, c->peers[i].paths[k].remote);
	}
	for (size_t i = 0; i < c->domains_n; i++) {
		const struct failover_disks_config *disks = &c->domains[i].disks;

		printf("domain %s, interval %ld ms, staging %ld MB\n", c->domains[i].name,
			failover_config_interval_ms(c, c->domains[i].name),
			failover_config_staging_mb(c, c->domains[i].name));
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
