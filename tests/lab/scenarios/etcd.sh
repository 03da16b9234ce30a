# shellcheck shell=bash
# Three members of etcd decide, without a power switch: a takeover with one of them lost, and none while two are
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800
ARBITER=etcd

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/etcd.sh"

trap etcd_stop EXIT
etcd_and_romulus_up

step "the primary and its member of etcd lose their power"
power_cut_round
nobody_was_fenced
step "status: $(romulus_on beta status db)"

step "they come back"
host_power_on alpha
wait_for 600 host_is_back alpha || fail "alpha does not come back"
etcd_start alpha
wait_for 300 is_protected beta db || fail "protection did not return: $(status_json beta)"
wait_for 120 etcd_answers alpha || fail "etcd does not answer alpha: $(status_json alpha)"

step "the third member dies, then the primary with its own: one of three is no majority"
etcd_stop
redis_start db 60
host_power_cut beta
wait_for 120 why_has alpha etcd || fail "status does not say what it waits for: $(status_json alpha)"
# Longer than a takeover would take, had it been granted.
sleep 30
is_state alpha db ready || is_state alpha db holding || fail "alpha has moved without a majority: $(status_json alpha)"
step "status: $(romulus_on alpha status db)"
etcd_start lab
wait_for 180 is_state alpha db taken-over || fail "alpha did not take over when a majority was back: $(status_json alpha)"
redis_finish db
nobody_was_fenced
