/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * romulus-drill: one drill, begun by romulusd; --clean removes what one that died has left, --look
 * is the check alone, after a planned switchover.
 */
#include <signal.h>
#include <stddef.h>

#include "common/exit_codes.h"
#include "common/fault.h"
#include "common/log.h"
#include "replicator/drill.h"

int main(int argc, char **argv)
{
	static struct drill d = {.ops = &hv_xen_ops};
	int r;

	log_open("romulus-drill");
	if (worker_parse(&d.worker, argc, argv, &d.why) || fault_init(&d.why) || !d.worker.uuid) {
		log_error("%s", d.why.text);
		return EXIT_CODE_USAGE;
	}
	if (!d.worker.clean && worker_open(&d.worker, NULL))
		return EXIT_CODE_USAGE;
	/* Whoever ends the daemon ends the channel too, and then all of it is removed. */
	signal(SIGTERM, SIG_IGN);
	d.hv = d.ops->open(&d.why);
	if (!d.hv) {
		log_error("%s", d.why.text);
		return EXIT_CODE_FAILED;
	}
	r = d.worker.clean ? drill_clean(&d) : d.worker.look ? drill_visit(&d) : drill_run(&d);
	d.ops->close(d.hv);
	return r;
}
