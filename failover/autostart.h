/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What would start a protected guest at boot besides romulusd: xendomains, of Debian's
 * xen-utils-common. It asks nobody who owns the guest, so a host that comes back would run a second
 * one beside that which was taken over.
 */
#ifndef FAILOVER_AUTOSTART_H
#define FAILOVER_AUTOSTART_H

#include "failover/config.h"

/*
 * Would xendomains start @name? Either from a configuration in its XENDOMAINS_AUTO or from an image
 * in its XENDOMAINS_SAVE, both as its settings file @settings says (without that it starts
 * nothing). Returns 0 when not, else -EEXIST with a sentence that names the file.
 */
int failover_autostart_find(const char *settings, const char *name, struct why *why);

/*
 * The same for every guest that this host's records want protected; says so on standard output.
 * Returns an exit code: xendomains must not begin unless it is EXIT_CODE_OK.
 */
int failover_autostart_check(const struct failover_config *c);

#endif
