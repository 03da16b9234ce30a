/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "replicator/worker.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "common/exit_codes.h"

/* A daemon's event loop answers within milliseconds; this much means that it hangs. */
#define DAEMON_TIMEOUT_NS (60 * NSEC_PER_SEC)

/* Every further round of a busy guest costs as much as an epoch, and protects nothing. */
#define WORKER_PRECOPY                                                                             \
	{                                                                                          \
		.max_rounds = 4, .dirty_threshold = 1024                                           \
	}

enum kind { TEXT, NUMBER, MEGABYTES, FLAG };

#define FIELD(f) offsetof(struct worker, f), sizeof(((struct worker *)0)->f)

static const struct worker_option {
	const char *name;
	enum kind kind;
	size_t offset, size;
} worker_options[] = {
	{"domain", TEXT, FIELD(domain)},
	{"host", TEXT, FIELD(host)},
	{"peer", TEXT, FIELD(peer)},
	{"run-dir", TEXT, FIELD(run_dir)},
	{"state-dir", TEXT, FIELD(state_dir)},
	{"pki", TEXT, FIELD(pki)},
	{"uuid", TEXT, FIELD(uuid)},
	{"type", TEXT, FIELD(type)},
	{"hypervisor", TEXT, FIELD(hypervisor)},
	{"listen", TEXT, FIELD(listen)},
	{"resource", TEXT, FIELD(resource)},
	{"volumes", TEXT, FIELD(volumes)},
	{"undo-limit", MEGABYTES, FIELD(undo_limit)},
	{"generation", NUMBER, FIELD(generation)},
	{"memory-kb", NUMBER, FIELD(memory_kb)},
	{"staging", MEGABYTES, FIELD(staging_bytes)},
	{"staging-bytes", NUMBER, FIELD(staging_bytes)},
	{"netbuf-limit", MEGABYTES, FIELD(netbuf_limit)},
	{"interval", NUMBER, FIELD(interval_ms)},
	{"ack-timeout", NUMBER, FIELD(ack_timeout_ms)},
	{"stall", NUMBER, FIELD(stall_ms)},
	{"max-rounds", NUMBER, FIELD(precopy.max_rounds)},
	{"dirty-threshold", NUMBER, FIELD(precopy.dirty_threshold)},
	{"max-downtime", NUMBER, FIELD(precopy.max_downtime_ms)},
	{"bandwidth", NUMBER, FIELD(bandwidth)},
	{"no-live", NUMBER, FIELD(no_live)},
	{"repair", TEXT, FIELD(repair)},
	{"discard", TEXT, FIELD(discard)},
	{"start", TEXT, FIELD(start)},
	{"release", FLAG, FIELD(release)},
	{"restrain", FLAG, FIELD(restrain)},
	{"adopt", FLAG, FIELD(adopt)},
	{"unattended", FLAG, FIELD(unattended)},
	{"elsewhere", FLAG, FIELD(elsewhere)},
	{"clean", FLAG, FIELD(clean)},
	{"look", FLAG, FIELD(look)},
	{"address", TEXT, FIELD(checks.address)},
	{"command", TEXT, FIELD(checks.command)},
	{"tcp", TEXT, FIELD(checks.tcp)},
	{"http", TEXT, FIELD(checks.http)},
	{"limit", NUMBER, FIELD(checks.limit_s)},
};

static int store_number(struct worker *w, const struct worker_option *o, const char *text)
{
	void *field = (char *)w + o->offset;
	uint64_t value;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end)
		return -EINVAL;
	if (o->kind == MEGABYTES)
		value <<= 20;
	if (o->size == 4 && value > UINT32_MAX)
		return -ERANGE;
	if (o->size == 4)
		*(uint32_t *)field = (uint32_t)value;
	else
		*(uint64_t *)field = value;
	return 0;
}

int worker_parse(struct worker *w, int argc, char **argv, struct why *why)
{
	struct option longs[ARRAY_SIZE(worker_options) + 1] = {0};
	int i, c;

	*w = (struct worker){
		.host = "?",
		.peer = "the backup",
		.run_dir = "/run/romulus",
		.state_dir = "/var/lib/romulus",
		.pki = PROTO_PKI_DIR,
		.staging_bytes = 256u << 20,
		.undo_limit = 512u << 20,
		.netbuf_limit = 64u << 20,
		.interval_ms = 200,
		.ack_timeout_ms = 5000,
		.stall_ms = 500,
		.precopy = WORKER_PRECOPY,
	};
	for (i = 0; i < (int)ARRAY_SIZE(worker_options); i++)
		longs[i] = (struct option){worker_options[i].name,
			worker_options[i].kind == FLAG ? no_argument : required_argument, NULL, 0};
	while ((c = getopt_long(argc, argv, "", longs, &i)) != -1) {
		const struct worker_option *o = &worker_options[i];

		if (c != 0)
			return why_set(why, -EINVAL, "unknown option");
		if (o->kind == TEXT)
			*(const char **)((char *)w + o->offset) = optarg;
		else if (o->kind == FLAG)
			*(bool *)((char *)w + o->offset) = true;
		else if (store_number(w, o, optarg))
			return why_set(why, -EINVAL, "--%s: '%s' is not a number that fits",
				o->name, optarg);
	}
	if (optind != argc)
		return why_set(why, -EINVAL, "unexpected argument '%s'", argv[optind]);
	if (!w->domain && !w->repair && !w->discard)
		return why_set(why, -EINVAL, "--domain is missing; romulusd starts this program");
	return 0;
}

int worker_open(struct worker *w, struct why *why)
{
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	w->daemon = proto_session_new(WORKER_DAEMON_FD);
	if (!w->daemon)
		return why_set(why, -EBADF,
			"no channel on descriptor %d; romulusd starts this program",
			WORKER_DAEMON_FD);
	return 0;
}

int worker_identify(struct worker *w, struct why *why)
{
	if (!w->pki[0] || !proto_identity_load(w->pki, w->host, &w->identity, why))
		return 0;
	return -EACCES;
}

int worker_report(struct worker *w, Romulus__Report *report)
{
	struct why why;

	return proto_session_send(
		w->daemon, PROTO_REPORT, &report->base, clock_now_ns() + DAEMON_TIMEOUT_NS, &why);
}

int worker_say(struct worker *w, enum proto_report kind, const char *text, uint32_t exit_code)
{
	Romulus__Report report = ROMULUS__REPORT__INIT;

	report.kind = kind;
	report.text = (char *)text;
	report.exit_code = exit_code;
	return worker_report(w, &report);
}

int worker_order(struct worker *w, uint64_t deadline_ns, const Romulus__Order **ret_order)
{
	struct proto_frame frame;
	struct why why;
	int r;

	r = proto_session_receive(w->daemon, deadline_ns, &frame, &why);
	if (r <= 0)
		return r;
	if (frame.type != PROTO_ORDER)
		return -EBADMSG;
	if (ret_order)
		*ret_order = (const Romulus__Order *)frame.message;
	return (int)((const Romulus__Order *)frame.message)->kind;
}

uint32_t worker_exit_code(int err)
{
	switch (err) {
	case -ENOENT:
		return EXIT_CODE_UNKNOWN;
	case -EOPNOTSUPP:
	case -E2BIG:
	case -EINVAL:
		return EXIT_CODE_PREFLIGHT;
	case -ENOMEM:
	case -EEXIST:
	case -EACCES:
		return EXIT_CODE_REFUSED;
	case -EAGAIN:
		return EXIT_CODE_NOT_YET;
	case -EPROTONOSUPPORT:
	case -EBADMSG:
		return EXIT_CODE_PROTOCOL;
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ETIMEDOUT:
		return EXIT_CODE_UNREACHABLE;
	default:
		return EXIT_CODE_FAILED;
	}
}
