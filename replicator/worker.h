/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both workers share: their command line, and the channel to romulusd on descriptor 3, over
 * which they report and take orders. A worker never outlives its daemon.
 */
#ifndef REPLICATOR_WORKER_H
#define REPLICATOR_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/why.h"
#include "proto/identity.h"
#include "proto/proto.h"
#include "replicator/precopy.h"

#define WORKER_DAEMON_FD 3

/* What a drill asks of its instance, in its network; NULL: nothing. */
struct worker_checks {
	const char *address; /* whoever asks has this one, "192.0.2.9/24" */
	const char *command; /* a program that exits with 0 */
	const char *tcp;     /* "ADDRESS:PORT" that accepts */
	const char *http;    /* a URL whose answer is 2xx */
	unsigned int limit_s;
};

struct worker {
	const char *domain, *host, *peer, *run_dir, *state_dir;
	const char *pki; /* folder with the certificate; "": the stream is plain */
	const char *uuid, *type, *hypervisor, *listen; /* backup */
	const char *resource; /* DRBD resource with the domain's disks; NULL: has none */
	const char *volumes;  /* backup: real devices of its volumes, comma between, marker last */
	uint64_t undo_limit;  /* backup: bytes */
	uint64_t generation, memory_kb;
	size_t staging_bytes;
	uint32_t netbuf_limit; /* bytes */
	unsigned int interval_ms, ack_timeout_ms;
	unsigned int stall_ms; /* primary: how long the host may have stood still unnoticed */
	struct precopy_terms precopy;
	uint64_t bandwidth;          /* of the initial copy: bytes per second; 0: all there is */
	unsigned int no_live;        /* the guest stands still while it is made */
	const char *repair;          /* --repair NAME: mend what a dead worker left, and exit */
	const char *discard;         /* --discard NAME: destroy a standby, and exit */
	const char *start;           /* --start FILE: start --domain from its disks, and exit */
	bool release;                /* with --repair: let held output go and remove the plug */
	bool restrain;               /* monitor: a guest that starts again is paused */
	bool adopt;                  /* monitor: nobody else watches the guest; backup: adopt.h */
	bool unattended;             /* monitor: without a daemon, to the guest's end */
	bool elsewhere;              /* facts: the guest is on the host that asks */
	bool clean;                  /* drill: remove what one that died has left, and exit */
	bool look;                   /* drill: at the guest itself, which runs here, and no more */
	struct worker_checks checks; /* drill */

	struct proto_session *daemon;
	struct proto_identity *identity; /* NULL: the stream is plain */
};

/* Parse the command line; 0 or a negative errno with a sentence. Strings point into @argv. */
int worker_parse(struct worker *w, int argc, char **argv, struct why *why);

/* Open the channel on WORKER_DAEMON_FD and die with the daemon from here on. */
int worker_open(struct worker *w, struct why *why);

/* Read this host's certificate, unless the stream is plain. Returns 0 or -EACCES. */
int worker_identify(struct worker *w, struct why *why);

/* Send a report; a daemon that does not listen is a dead daemon: negative errno. */
int worker_report(struct worker *w, Romulus__Report *report);

/* Report one kind with a sentence; @exit_code as in common/exit_codes.h. */
int worker_say(struct worker *w, enum proto_report kind, const char *text, uint32_t exit_code);

/*
 * The next order, or 0 when none came by @deadline_ns (0: do not wait), or a negative errno when
 * the daemon is gone. @ret_order, if not NULL, is valid until the next call.
 */
int worker_order(struct worker *w, uint64_t deadline_ns, const Romulus__Order **ret_order);

/* Value of common/exit_codes.h for a negative errno of preflight and hosting checks. */
uint32_t worker_exit_code(int err);

#endif
