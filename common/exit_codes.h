/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the exit status of `romulus` means, shared by the tool, romulusd and the workers: a worker's
 * FAILED report carries one, the control socket hands it on, the tool exits with it.
 */
#ifndef COMMON_EXIT_CODES_H
#define COMMON_EXIT_CODES_H

enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILED = 1,      /* it was tried and failed */
	EXIT_CODE_USAGE = 2,       /* the command line or request makes no sense */
	EXIT_CODE_UNKNOWN = 3,     /* no such domain or host */
	EXIT_CODE_PREFLIGHT = 4,   /* the guest cannot be protected (PV, no suspend feature) */
	EXIT_CODE_REFUSED = 5,     /* the peer refused: no room, name taken */
	EXIT_CODE_UNREACHABLE = 6, /* the peer does not answer */
	EXIT_CODE_PROTOCOL = 7,    /* no common protocol version, or a broken frame */
	EXIT_CODE_NO_DAEMON = 8,   /* romulusd does not answer on its control socket */
	EXIT_CODE_WRONG_STATE = 9, /* not in this state of the domain */
	EXIT_CODE_NOT_YET = 10,    /* nothing is wrong, but a resync has to end first */
	EXIT_CODE_PERMISSION = 77, /* only root may (EX_NOPERM) */
	EXIT_CODE_CONFIG = 78,     /* the configuration is wrong (EX_CONFIG) */
};

#endif
