# shellcheck shell=bash
# Only the replication link fails: no takeover, the guest goes on alone, protection returns by itself
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"

romulus_up
protect db alpha beta
generation=$(status_field alpha db generation)
redis_start db 60
link_set down replication
wait_for 180 is_state alpha db solo || fail "alpha was not granted solo: $(status_json alpha)"
domain_runs alpha db || fail "db does not run on alpha"
host_is_on beta || fail "beta was fenced although the second path works"
host_ssh beta xl list db--standby 2>/dev/null && fail "the standby is still there"
redis_finish db
romulus_on alpha events
link_set up replication
wait_for 300 is_protected alpha db || fail "protection did not return: $(status_json alpha)"
[ "$(status_field alpha db generation)" -gt "$generation" ] || fail "the generation did not grow"
