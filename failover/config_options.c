/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The grammar of the configuration file: libconfuse's options, one table of numbers with their
 * ranges, and the checks of single keys. A wrong key is refused with its line.
 */
#include "failover/config_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "proto/identity.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."
#define HOST_CHARS LETTERS ":[]"
#define PREFIX_CHARS LETTERS "/"
#define ENDPOINT_MAX 200
#define PREFIX_MAX 100

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
	NUMBER("watchdog-timeout", 20, 600, " s", 60, watchdog_timeout_s),
};

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
	return -1;
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

static int check_endpoint(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	const char *host = strstr(value, "://");
	const size_t scheme = host ? (size_t)(host - value) : 0;

	if (((scheme == 5 && strncmp(value, "https", 5) == 0) ||
		    (scheme == 4 && strncmp(value, "http", 4) == 0)) &&
		host[3] && strspn(host + 3, HOST_CHARS) == strlen(host + 3) &&
		strlen(value) <= ENDPOINT_MAX)
		return 0;
	cfg_error(cfg, "endpoints has \"%s\", but each one must read https://ADDRESS:PORT", value);
	return -1;
}

static int check_prefix(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	const size_t n = strlen(value);

	if (value[0] == '/' && value[n - 1] != '/' && n <= PREFIX_MAX &&
		strspn(value, PREFIX_CHARS) == n)
		return 0;
	cfg_error(cfg,
		"prefix is \"%s\", but must begin with a slash, not end with one, and have "
		"letters, digits, and - _ . / only, at most %d",
		value, PREFIX_MAX);
	return -1;
}

/* "192.0.2.9/24" */
static int check_prefixed(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	const size_t n = strcspn(value, "/");
	char address[INET6_ADDRSTRLEN];
	struct in6_addr any;
	char *end = "";
	long bits;

	snprintf(address, sizeof(address), "%.*s", (int)n, value);
	bits = value[n] ? strtol(value + n + 1, &end, 10) : 0;
	if (n < sizeof(address) && value[n] && value[n + 1] && !*end && bits > 0 &&
		((inet_pton(AF_INET, address, &any) == 1 && bits <= 32) ||
			(inet_pton(AF_INET6, address, &any) == 1 && bits <= 128)))
		return 0;
	cfg_error(cfg, "%s is \"%s\", but must read ADDRESS/BITS, as 192.0.2.9/24",
		cfg_opt_name(opt), value);
	return -1;
}

static int check_service(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);
	const char *port = strrchr(value, ':');

	if (port && port > value && port[1] && strspn(port + 1, "0123456789") == strlen(port + 1) &&
		strspn(value, HOST_CHARS) == strlen(value) && strlen(value) <= ENDPOINT_MAX)
		return 0;
	cfg_error(cfg, "%s is \"%s\", but must read ADDRESS:PORT", cfg_opt_name(opt), value);
	return -1;
}

static int check_url(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *value = cfg_opt_getnstr(opt, cfg_opt_size(opt) - 1);

	if (strncmp(value, "http://", 7) == 0 || strncmp(value, "https://", 8) == 0)
		return 0;
	cfg_error(cfg, "%s is \"%s\", but must begin with http:// or https://", cfg_opt_name(opt),
		value);
	return -1;
}

static int check_etcd_timeout(cfg_t *cfg, cfg_opt_t *opt)
{
	return in_range(
		cfg, "timeout", cfg_opt_getnint(opt, cfg_opt_size(opt) - 1), 100, 60000, " ms");
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

/* Numbers of sections, which have no default of their own at the top. */
static int check_section_number(cfg_t *cfg, cfg_opt_t *opt)
{
	static const struct {
		const char *key;
		long min, max;
		const char *unit;
	} ranges[] = {
		{"timeout", 1, 3600, " s"},
		{"limit", 1, 3600, " s"},
		{"fence-delay", 0, 60000, " ms"},
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

static const char *const transports[] = {"tls", "plain", NULL};
/* enum failover_arbiter_kind */
static const char *const arbiters[] = {"manual", "fence", "etcd", "etcd+fence", NULL};
static const char *const reprotects[] = {"auto", "manual", NULL};
static const char *const watchdogs[] = {"none", "hypervisor", NULL};
static const char *const losses[] = {"solo", "stay-mute", NULL};
static const struct word_rule word_rules[] = {
	{"transport", transports,
		"\"tls\", or \"plain\" where all links between the hosts are trusted"},
	{"watchdog", watchdogs, "\"none\" or \"hypervisor\""},
	{"arbiter", arbiters, "\"manual\", \"fence\", \"etcd\" or \"etcd+fence\""},
	{"reprotect", reprotects, "\"auto\" or \"manual\""},
	{"on-backup-lost", losses, "\"solo\" or \"stay-mute\""},
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
	CFG_SEC("fence", fence_options, CFGF_MULTI),
	CFG_INT("fence-delay", 500, CFGF_NONE),
	CFG_END(),
};
static cfg_opt_t etcd_options[] = {
	CFG_STR_LIST("endpoints", NULL, CFGF_NODEFAULT),
	CFG_STR("prefix", "/romulus", CFGF_NONE),
	CFG_STR("ca", NULL, CFGF_NODEFAULT),
	CFG_STR("certificate", NULL, CFGF_NODEFAULT),
	CFG_STR("key", NULL, CFGF_NODEFAULT),
	CFG_INT("timeout", 1000, CFGF_NONE),
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
static cfg_opt_t drill_options[] = {
	CFG_STR("address", NULL, CFGF_NODEFAULT),
	CFG_STR("command", NULL, CFGF_NODEFAULT),
	CFG_STR("tcp", NULL, CFGF_NODEFAULT),
	CFG_STR("http", NULL, CFGF_NODEFAULT),
	CFG_INT("limit", FAILOVER_DRILL_LIMIT_S, CFGF_NONE),
	CFG_END(),
};
static cfg_opt_t domain_options[] = {
	CFG_SEC("disks", disks_options, CFGF_NODEFAULT),
	CFG_SEC("drill", drill_options, CFGF_NODEFAULT),
	CFG_INT("interval", 0, CFGF_NODEFAULT),
	CFG_INT("staging", 0, CFGF_NODEFAULT),
	CFG_STR_LIST("addresses", NULL, CFGF_NODEFAULT),
	CFG_STR("start", NULL, CFGF_NODEFAULT),
	CFG_STR("reprotect", "auto", CFGF_NONE),
	CFG_STR("on-backup-lost", "solo", CFGF_NONE),
	CFG_END(),
};

static const struct {
	const char *path;
	cfg_validate_callback_t check;
} checks[] = {
	{"transport", check_word},
	{"state-dir", check_absolute},
	{"run-dir", check_absolute},
	{"etcd|endpoints", check_endpoint},
	{"etcd|prefix", check_prefix},
	{"etcd|ca", check_absolute},
	{"etcd|certificate", check_absolute},
	{"etcd|key", check_absolute},
	{"etcd|timeout", check_etcd_timeout},
	{"pki-dir", check_absolute},
	{"xendomains", check_absolute},
	{"watchdog", check_word},
	{"peer|arbiter", check_word},
	{"peer|path|local", check_address},
	{"peer|path|remote", check_address},
	{"peer|fence|agent", check_absolute},
	{"peer|fence|options", check_option},
	{"peer|fence|timeout", check_section_number},
	{"peer|fence-delay", check_section_number},
	{"domain|interval", check_number},
	{"domain|staging", check_number},
	{"domain|addresses", check_address},
	{"domain|start", check_absolute},
	{"domain|reprotect", check_word},
	{"domain|on-backup-lost", check_word},
	{"domain|drill|address", check_prefixed},
	{"domain|drill|command", check_absolute},
	{"domain|drill|tcp", check_service},
	{"domain|drill|http", check_url},
	{"domain|drill|limit", check_section_number},
	{"domain|disks|volumes", check_device},
	{"domain|disks|marker", check_device},
	{"domain|disks|meta", check_device},
	{"domain|disks|undo-limit", check_section_number},
	{"domain|disks|port", check_section_number},
	{"domain|disks|minor", check_section_number},
};

static cfg_t *make_parser(void)
{
	cfg_opt_t top[12 + ARRAY_SIZE(numbers)] = {
		CFG_STR("host", NULL, CFGF_NODEFAULT),
		CFG_STR("transport", "tls", CFGF_NONE),
		CFG_STR("state-dir", "/var/lib/romulus", CFGF_NONE),
		CFG_STR("run-dir", "/run/romulus", CFGF_NONE),
		CFG_STR("group", "", CFGF_NONE),
		CFG_STR("pki-dir", PROTO_PKI_DIR, CFGF_NONE),
		CFG_STR("watchdog", "none", CFGF_NONE),
		CFG_STR("xendomains", "/etc/default/xendomains", CFGF_NONE),
		CFG_SEC("peer", peer_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("domain", domain_options, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES),
		CFG_SEC("etcd", etcd_options, CFGF_NODEFAULT),
	};
	size_t n = 0;
	cfg_t *cfg;

	while (top[n].name)
		n++;
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

int failover_config_parse(const char *file, cfg_t **ret, struct why *why)
{
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
	*ret = cfg;
	return 0;
}

void failover_config_take_numbers(cfg_t *cfg, struct failover_config *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		*(long *)((char *)c + numbers[i].offset) = cfg_getint(cfg, numbers[i].key);
}

enum failover_arbiter_kind failover_config_arbiter_kind(const char *word)
{
	size_t kind = 0;

	while (arbiters[kind] && strcmp(arbiters[kind], word) != 0)
		kind++;
	return arbiters[kind] ? (enum failover_arbiter_kind)kind : FAILOVER_ARBITER_MANUAL;
}

const char *failover_config_arbiter(enum failover_arbiter_kind kind)
{
	return arbiters[kind];
}
