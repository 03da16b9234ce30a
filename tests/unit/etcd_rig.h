/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three members of a real etcd on loopback, with TLS and certificates made for them in a folder of
 * their own. They die with the test.
 */
#ifndef TESTS_UNIT_ETCD_RIG_H
#define TESTS_UNIT_ETCD_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "common/clock.h"
#include "failover/etcd.h"
#include "tests/unit/daemon_rig.h"

#define RIG_MEMBERS 3u

extern char rig_dir[];
extern sd_event *rig_event;
extern struct failover_etcd_config rig_conf; /* how a host reaches them */
extern char rig_endpoint[RIG_MEMBERS][64];

/* For cmocka's group: the members are there and have a leader, or the test fails. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

void rig_await(void);                /* until a majority answers */
void rig_start(unsigned int member); /* unless it runs */
void rig_kill(unsigned int member);

struct rig_outcome {
	bool done, answered;
	struct failover_etcd_answer answer;
	struct why why;
};

failover_etcd_done rig_note; /* @data: a struct rig_outcome */
/* What @host asks: alpha for solo, others for takeover. */
struct failover_etcd_entry rig_entry(const char *host, uint64_t generation);
struct failover_etcd *rig_client(void);
void rig_wait(const bool *done);
struct rig_outcome rig_ask(struct failover_etcd *e, const char *host, uint64_t generation,
	enum failover_etcd_operation operation);

#endif
