/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls diskrep's functions one by one on a lab host, as the workers will. For scenarios only. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "diskrep/drbd.h"
#include "diskrep/lower.h"
#include "diskrep/nbd.h"

#define WAIT_MS 60000

static struct why why;

static int up(char **a)
{
	return diskrep_drbd_up(a[0], &why);
}

static int down(char **a)
{
	return diskrep_drbd_down(a[0], &why);
}

static int connect_plain(char **a)
{
	return diskrep_drbd_connect(a[0], false, &why);
}

static int connect_discard(char **a)
{
	return diskrep_drbd_connect(a[0], true, &why);
}

static int disconnect(char **a)
{
	return diskrep_drbd_disconnect(a[0], &why);
}

static int primary(char **a)
{
	return diskrep_drbd_primary(a[0], false, &why);
}

static int secondary(char **a)
{
	return diskrep_drbd_secondary(a[0], &why);
}

static int attach(char **a)
{
	return diskrep_drbd_attach(a[0], &why);
}

static int wait_in_step(char **a)
{
	struct diskrep_drbd_status status;

	return diskrep_drbd_wait(a[0], diskrep_drbd_in_step, WAIT_MS, &status, &why);
}

/* lower-switch NAME DEVICE OTHER TIMES: ends on DEVICE */
static int lower_switch(char **a)
{
	int r = 0;

	for (long i = atol(a[3]); i > 0 && r == 0; i--) {
		r = diskrep_lower_switch(a[0], a[2], &why);
		if (r == 0)
			r = diskrep_lower_switch(a[0], a[1], &why);
	}
	return r;
}

static int nbd_attach(char **a)
{
	char device[64];
	int r = diskrep_nbd_attach(a[0], a[1], 512, device, sizeof(device), &why);

	if (r == 0)
		puts(device);
	return r;
}

static int nbd_detach(char **a)
{
	return diskrep_nbd_detach(a[0], &why);
}

static const struct {
	const char *name;
	int arguments;
	int (*run)(char **arguments);
} verbs[] = {
	{"up", 1, up},
	{"down", 1, down},
	{"connect", 1, connect_plain},
	{"connect-discard", 1, connect_discard},
	{"disconnect", 1, disconnect},
	{"primary", 1, primary},
	{"secondary", 1, secondary},
	{"attach", 1, attach},
	{"wait-in-step", 1, wait_in_step},
	{"lower-switch", 4, lower_switch},
	{"nbd-attach", 2, nbd_attach},
	{"nbd-detach", 1, nbd_detach},
};

int main(int argc, char **argv)
{
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(verbs) && argc > 1; i++) {
		if (strcmp(argv[1], verbs[i].name) != 0 || argc - 2 != verbs[i].arguments)
			continue;
		r = verbs[i].run(argv + 2);
		if (r)
			fprintf(stderr, "%s: %s (%s)\n", argv[1], why.text, strerror(-r));
		return r ? 1 : 0;
	}
	fprintf(stderr, "usage: disk_driver VERB ARGUMENT...\n");
	return 2;
}
