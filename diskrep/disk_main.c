/* SPDX-License-Identifier: GPL-2.0-or-later */
/* romulus-disk, what `romulus disk` runs: set up, check, start and stop a domain's replication. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/exit_codes.h"
#include "common/fault.h"
#include "diskrep/resource.h"

#define DEFAULT_WAIT_S 60u

struct disk {
	struct diskrep_resource res;
	const char *volumes[DISKREP_MAX_VOLUMES];
	struct diskrep_prepare how;
	struct why why;
};

enum what { STRING, NUMBER, FLAG };

struct option_row {
	const char *name;
	enum what what;
	size_t offset; /* in struct disk */
	const char *argument, *summary;
};

static const struct option_row rows[] = {
	{"resource", STRING, offsetof(struct disk, res.name), "NAME",
		"DRBD's name for it (the domain's)"},
	{"volume", STRING, 0, "DEVICE", "a disk of the domain on this host; once for each"},
	{"marker", STRING, offsetof(struct disk, res.marker), "DEVICE",
		"the marker volume, 4 KiB to 64 MiB, overwritten"},
	{"meta", STRING, offsetof(struct disk, res.meta), "DEVICE",
		"for DRBD's metadata of all volumes"},
	{"port", NUMBER, offsetof(struct disk, res.port), "N", "TCP port of the replication"},
	{"minor", NUMBER, offsetof(struct disk, res.minor), "N",
		"/dev/drbdN is the first disk, the others follow"},
	{"host", STRING, offsetof(struct disk, res.host), "NAME", "this host, as uname -n says"},
	{"address", STRING, offsetof(struct disk, res.address), "ADDRESS",
		"of this host on the replication link"},
	{"peer", STRING, offsetof(struct disk, res.peer), "NAME", "the other host, as uname -n"},
	{"peer-address", STRING, offsetof(struct disk, res.peer_address), "ADDRESS",
		"of the other host"},
	{"config-dir", STRING, offsetof(struct disk, res.config_dir), "DIRECTORY",
		"where DRBD finds its files (" DISKREP_CONFIG_DIR ")"},
	{"yes", FLAG, offsetof(struct disk, how.yes), NULL, "prepare: do it, not only say it"},
	{"force", FLAG, offsetof(struct disk, how.force), NULL,
		"prepare: overwrite a file, label or DRBD metadata that is there"},
	{"initial", STRING, 0, "primary", "prepare: this host has the good data"},
	{"clean", FLAG, offsetof(struct disk, how.clean), NULL,
		"with --initial: the disks of both hosts are identical, no first resync"},
	{"wait", NUMBER, offsetof(struct disk, how.wait_s), "SECONDS",
		"with --clean: how long the other host may take (60)"},
	{"help", FLAG, 0, NULL, "this text"},
};

/* ---- the verbs ------------------------------------------------------------------------------- */

static void say(void *data, const char *text)
{
	printf("%s%s\n", (const char *)data, text);
	fflush(stdout);
}

static int fail(struct disk *d, int err)
{
	fprintf(stderr, "romulus disk: %s\n", d->why.text);
	return err == -EINVAL ? EXIT_CODE_CONFIG : EXIT_CODE_FAILED;
}

static int run_prepare(struct disk *d)
{
	int r;

	d->how.say = say;
	d->how.data = d->how.yes ? "" : "would ";
	r = diskrep_resource_prepare(&d->res, &d->how, &d->why);
	if (r)
		return fail(d, r);
	if (!d->how.yes)
		printf("nothing has been done: add --yes to do it\n");
	return EXIT_CODE_OK;
}

static int run_check(struct disk *d)
{
	int r = diskrep_resource_validate(&d->res, &d->why);

	if (r == 0)
		r = diskrep_resource_check(&d->res, say, say, "", &d->why);
	if (r < 0)
		return fail(d, r);
	if (r > 0) {
		printf("%d %s\n", r, r == 1 ? "deviation" : "deviations");
		return EXIT_CODE_PREFLIGHT;
	}
	printf("resource %s is as it must be\n", d->res.name);
	return EXIT_CODE_OK;
}

static int run_up(struct disk *d)
{
	int r = diskrep_resource_validate(&d->res, &d->why);

	if (r == 0)
		r = diskrep_resource_up(&d->res, &d->why);
	return r ? fail(d, r) : EXIT_CODE_OK;
}

static int run_down(struct disk *d)
{
	int r = diskrep_resource_down(&d->res, &d->why);

	return r ? fail(d, r) : EXIT_CODE_OK;
}

static int run_status(struct disk *d)
{
	static const char *const roles[] = {"unknown", "primary", "secondary"};
	char text[DISKREP_DRBD_SUMMARY_MAX];
	struct diskrep_drbd_status status;
	int r = diskrep_drbd_status(d->res.name, &status, &d->why);

	if (r)
		return fail(d, r);
	diskrep_drbd_summary(&status, text);
	if (status.up)
		printf("%s: %s, the peer is %s; %s\n", d->res.name, roles[status.role],
			roles[status.peer_role], text);
	else
		printf("%s: %s\n", d->res.name, text);
	return EXIT_CODE_OK;
}

static const struct {
	const char *name, *summary;
	int (*run)(struct disk *d);
} verbs[] = {
	{"prepare", "set up the replication of a domain's disks on this host", run_prepare},
	{"check", "name what is not as it must be; exit code 4 if anything", run_check},
	{"up", "create the devices and start DRBD, at boot", run_up},
	{"down", "stop DRBD and remove the devices", run_down},
	{"status", "one line: roles, connected or not, progress of a resync", run_status},
};

/* ---- the command line ------------------------------------------------------------------------ */

static void usage(FILE *out)
{
	char text[40];

	fputs("usage: romulus disk VERB DOMAIN [OPTION...]\n\n", out);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(out, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
	fputc('\n', out);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		snprintf(text, sizeof(text), "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
			rows[i].argument ? rows[i].argument : "");
		fprintf(out, "  %-24s %s\n", text, rows[i].summary);
	}
}

static int usage_error(const char *what, const char *on)
{
	fprintf(stderr, "romulus disk: %s%s%s; `romulus disk --help` lists the verbs and options\n",
		what, on ? " " : "", on ? on : "");
	return EXIT_CODE_USAGE;
}

static bool take(struct disk *d, const struct option_row *row, const char *value)
{
	void *target = (char *)d + row->offset;
	char *end;
	unsigned long n;

	if (!strcmp(row->name, "volume")) {
		if (d->res.volumes_n == ARRAY_SIZE(d->volumes))
			return false;
		d->volumes[d->res.volumes_n++] = value;
		return true;
	}
	if (!strcmp(row->name, "initial")) {
		d->how.initial_primary = !strcmp(value, "primary");
		return d->how.initial_primary;
	}
	switch (row->what) {
	case STRING:
		*(const char **)target = value;
		return true;
	case FLAG:
		*(bool *)target = true;
		return true;
	case NUMBER:
		errno = 0;
		n = strtoul(value, &end, 10);
		if (value[0] < '0' || value[0] > '9' || *end || errno || n > 1u << 24)
			return false;
		*(unsigned int *)target = (unsigned int)n;
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct disk d = {.how.wait_s = DEFAULT_WAIT_S};
	struct option options[ARRAY_SIZE(rows) + 1] = {0};
	int index = 0, c;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		options[i] = (struct option){rows[i].name,
			rows[i].what == FLAG ? no_argument : required_argument, NULL, 1};
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, &index)) != -1) {
		if (c != 1)
			return usage_error(
				c == ':' ? "an argument is missing after" : "unknown option",
				argv[optind - 1]);
		if (!strcmp(rows[index].name, "help")) {
			usage(stdout);
			return EXIT_CODE_OK;
		}
		if (!take(&d, &rows[index], optarg))
			return usage_error("makes no sense:", argv[optind - 1]);
	}
	d.res.volumes = d.volumes;
	if (argc - optind != 2)
		return usage_error("a verb and a domain are needed", NULL);
	if (!d.res.name)
		d.res.name = argv[optind + 1];
	if (fault_init(&d.why))
		return fail(&d, -EINVAL);
	if (d.how.clean && !d.how.initial_primary)
		return usage_error("--clean goes with --initial primary", NULL);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[optind], verbs[i].name))
			return verbs[i].run(&d);
	return usage_error("no such verb:", argv[optind]);
}
