# shellcheck shell=bash
# Arbiter and reprotect are manual: nothing moves when a host dies or comes back, until an operator says so
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=600
ARBITER=manual
# shellcheck disable=SC2034 # romulus_config reads it
DB_START='reprotect = "manual"'

. "$LAB_DIR/lib/romulus.sh"

romulus_up
protect db alpha beta
romulus_on beta confirm-dead alpha && fail "romulus confirm-dead is not refused for a host that is heard"
is_protected alpha db || fail "the refusal has ended the protection: $(status_json alpha)"
romulus_on beta confirm-dead nobody && fail "romulus confirm-dead takes any name"
redis_start db 60
host_power_cut alpha
wait_for 60 why_has beta "romulus confirm-dead" || fail "status does not say what to do: $(status_json beta)"
step "status: $(romulus_on beta status db)"
is_state beta db ready || is_state beta db holding || fail "beta has moved by itself: $(status_json beta)"
nobody_was_fenced
romulus_on beta confirm-dead alpha || fail "romulus confirm-dead failed with $?"
wait_for 120 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
redis_finish db

step "alpha comes back; reprotect = manual"
host_power_on alpha
wait_for 400 host_is_back alpha || fail "alpha does not come back"
wait_for 60 peer_alive beta || fail "beta does not hear alpha"
# Three times as long as protection would take to be tried, had it been wanted.
sleep 15
[ "$(romulus_on beta events db --json | jq -rs 'map(select(.kind == "protect-begin")) | length')" = 0 ] ||
	fail "beta has begun by itself: $(romulus_on beta events)"
grep -q 'romulus protect' <<<"$(romulus_on beta status db)" || fail "status does not say what to do: $(romulus_on beta status db)"
protect db beta alpha
