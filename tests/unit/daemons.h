/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two daemons on the loopback interface and what their operators ask of them. Their workers are the
 * test itself under another name: it says what a worker says and has no guest. A file
 * LIBEXEC/WORKER.silent keeps it from saying anything, .copies never end its copy, .breaks fail
 * in it, .loses has it lose its stream in the last epoch, .fails fail in a takeover, .lingers end
 * none until the file is gone; .dies makes romulus-facts end at once, .lingers say nothing until
 * the file is gone, .full say that its host has no memory left, .older that its Xen is older, .deaf
 * that it hears no probe frame; romulus-drill leaves .swept where it was to remove something,
 * romulus-backup .drilled when it was to copy. What it was called with is in WORKER.arguments.
 */
#ifndef TESTS_UNIT_DAEMONS_H
#define TESTS_UNIT_DAEMONS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/daemon_rig.h"

#define PROTECT(host)                                                                              \
	daemon_ask(host, "{\"command\":\"protect\",\"domain\":\"db\",\"host\":\"beta\"}\n")
#define CHECK(host, domain, to)                                                                    \
	daemon_ask(host, "{\"command\":\"check\",\"domain\":\"" domain "\",\"host\":\"" to "\"}"   \
			 "\n")
#define MIGRATE(host, to, more)                                                                    \
	daemon_ask(                                                                                \
		host, "{\"command\":\"migrate\",\"domain\":\"db\",\"host\":\"" to "\"" more "}\n")
#define UNPROTECT(host) daemon_ask(host, "{\"command\":\"unprotect\",\"domain\":\"db\"}\n")

#define TEST(name) cmocka_unit_test_setup_teardown(name, daemons_begin, daemons_finish)

#define DAEMONS_UUID "deadbeef-0102-0304-0506-0708090a0b0c" /* of the guest */

extern const char *daemons_transport; /* of both; "plain" when a test begins */

int daemons_begin(void **state);
int daemons_finish(void **state);
int daemons_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

/* @more: in the peer's section; @top: outside of it. */
void daemons_configure(const struct host *h, const char *more, const char *top);
void both_up(void);

void expect_in(const char *text, const char *expect);
/* How many times @text is in what @h has said happened. */
unsigned int count_events(const struct host *h, const char *text);

#endif
