/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus.conf, as failover/config.h reads it: an input is the file. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

#include "common/cleanup.h"
#include "common/why.h"
#include "failover/config.h"
#include "tests/fuzz/fuzz.h"

unsigned long fuzz_accepted;

#define BETWEEN(value, least, most) FUZZ_EXPECT((value) >= (least) && (value) <= (most))

/* Goes into `status` and records, which are JSON: one that is no text would make both fail. */
static void expect_text(const char *s)
{
	json_t *j = json_string(s);

	FUZZ_EXPECT(j);
	json_decref(j);
}

static void expect_address(const char *s)
{
	struct in6_addr any;

	FUZZ_EXPECT(inet_pton(AF_INET, s, &any) == 1 || inet_pton(AF_INET6, s, &any) == 1);
}

static void expect_device(const char *s)
{
	FUZZ_EXPECT(strncmp(s, "/dev/", 5) == 0 && !strpbrk(s, ", \t\n"));
}

static void expect_fence(const struct failover_fence_config *f)
{
	FUZZ_EXPECT(f->agent[0] == '/' && f->options_n <= FAILOVER_MAX_OPTIONS);
	BETWEEN(f->timeout_s, 1, 3600);
	for (size_t i = 0; i < f->options_n; i++) { /* a line each on the agent's input */
		FUZZ_EXPECT(strchr(f->options[i], '=') && !strchr(f->options[i], '\n'));
		FUZZ_EXPECT(strncmp(f->options[i], "action=", 7) != 0);
	}
}

static void expect_peer(const struct failover_config *c, const struct failover_peer_config *p)
{
	FUZZ_EXPECT(failover_config_peer(c, p->name) && strcmp(p->name, c->host) != 0);
	expect_text(p->name);
	BETWEEN(p->paths_n, 1, FAILOVER_MAX_PATHS);
	for (size_t i = 0; i < p->paths_n; i++) {
		expect_text(p->paths[i].name);
		expect_address(p->paths[i].local);
		expect_address(p->paths[i].remote);
	}
	BETWEEN(p->fences_n, p->arbiter == FAILOVER_ARBITER_FENCE ? 1u : 0u, FAILOVER_MAX_LEVELS);
	BETWEEN(p->fence_delay_ms, 0, 60000);
	for (size_t i = 0; i < p->fences_n; i++)
		expect_fence(&p->fences[i]);
}

static void expect_disks(const struct failover_config *c, const struct failover_disks_config *d)
{
	FUZZ_EXPECT(d->resource[0] && strlen(d->resource) <= 48 && !strpbrk(d->resource, "/ .\""));
	BETWEEN(d->volumes_n, 1, FAILOVER_MAX_VOLUMES);
	for (size_t i = 0; i < d->volumes_n; i++)
		expect_device(d->volumes[i]);
	expect_device(d->marker);
	expect_device(d->meta);
	FUZZ_EXPECT(d->peer[0] ? failover_config_peer(c, d->peer) != NULL : c->peers_n == 1);
	BETWEEN(d->undo_limit_mb, 1, 65536);
	BETWEEN(d->port, 1, 65535);
	BETWEEN(d->minor, 0, 65535);
}

static void expect_domain(const struct failover_config *c, const struct failover_domain_config *d)
{
	expect_text(d->name);
	FUZZ_EXPECT(d->addresses_n <= FAILOVER_MAX_ADDRESSES);
	for (size_t i = 0; i < d->addresses_n; i++)
		expect_address(d->addresses[i]);
	FUZZ_EXPECT(!d->start || d->start[0] == '/');
	BETWEEN(failover_config_interval_ms(c, d->name), 5, 10000);
	BETWEEN(failover_config_staging_mb(c, d->name), 8, 65536);
	if (d->disks.resource)
		expect_disks(c, &d->disks);
}

/* What the guide promises of a file that was taken. */
static void expect_sound(const struct failover_config *c)
{
	FUZZ_EXPECT(c->host[0]);
	FUZZ_EXPECT(strcmp(c->transport, "tls") == 0 || strcmp(c->transport, "plain") == 0);
	FUZZ_EXPECT(c->pki_dir[0] == '/');
	expect_text(c->host);
	FUZZ_EXPECT(c->state_dir[0] == '/' && c->run_dir[0] == '/');
	BETWEEN(c->port, 1, 65535);
	BETWEEN(c->heartbeat_ms, 10, 10000);
	BETWEEN(c->dead_after_ms, 3 * c->heartbeat_ms, 60000);
	BETWEEN(c->ack_timeout_ms, 100, 600000);
	BETWEEN(c->interval_ms, 5, 10000);
	BETWEEN(c->staging_mb, 8, 65536);
	BETWEEN(c->netbuf_limit_mb, 1, 4096);
	BETWEEN(c->reprotect_delay_ms, 100, 3600000);
	FUZZ_EXPECT(c->peers_n <= FAILOVER_MAX_PEERS);
	for (size_t i = 0; i < c->peers_n; i++)
		expect_peer(c, &c->peers[i]);
	for (size_t i = 0; i < c->domains_n; i++)
		expect_domain(c, &c->domains[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_CLOSE int fd = memfd_create("config", MFD_CLOEXEC);
	struct failover_config *c = NULL;
	struct why why = {""};
	char file[32];

	FUZZ_EXPECT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(file, sizeof(file), "/proc/self/fd/%d", fd);
	if (failover_config_load(file, &c, &why) < 0) {
		FUZZ_EXPECT(!c && why.text[0]);
		expect_text(why.text);
		return 0;
	}
	fuzz_accepted++;
	expect_sound(c);
	failover_config_free(c);
	return 0;
}

/* The example is a link to packaging/romulus.conf.example. */
void fuzz_seeds(fuzz_put *put)
{
#define HOST "host = \"alpha\"\ntransport = \"plain\"\n"
#define PEER "peer \"beta\" {\n path \"r\" { local = \"10.0.0.1\" remote = \"fd90::2\" }\n"
#define DISKS "domain \"d\" {\n disks {\n volumes = {\"/dev/a\"}\n marker = \"/dev/b\"\n"
	static const struct {
		const char *name, *text;
	} seeds[] = {
		{"good-least", HOST PEER "}\n"},
		{"good-numbers", HOST "port = 1\nheartbeat-interval = 10\ndead-after = 100\n"
				      "ack-timeout = 100\ninterval = 5\nstaging = 8\n"
				      "netbuf-limit = 1\nreprotect-delay = 100\n"},
		{"good-disks", HOST PEER "}\n" DISKS " meta = \"/dev/c\"\n}\n}\n"},
		{"good-fence",
			HOST PEER "arbiter = \"fence\"\nfence-delay = 0\nfence {\n agent = "
				  "\"/a\"\n options = {\"a=b\", 'c=d'}\n timeout = 1\n}\n}\n"},
		{"no-text", "host = \"\\xff\"\ntransport = \"plain\"\n"},
		{"peer-no-text", HOST "peer \"\\xc3\" {\n path \"r\" { local = \"::1\" remote = "
				      "\"::2\" }\n}\n"},
		{"newline-in-option",
			HOST PEER "fence { agent = \"/a\" options = {\"a=\\nb\"} }\n"},
		{"no-meta", HOST PEER "}\n" DISKS "}\n}\n"},
		{"environment", "host = \"${HOME}\"\nport = ${X:-7}\n"},
		{"open", HOST "peer \"x"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(seeds); i++)
		put(seeds[i].name, seeds[i].text, strlen(seeds[i].text));
}
