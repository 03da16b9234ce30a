# shellcheck shell=bash
# With a manual arbiter nobody moves when a host dies, until an operator has said so; then every guest goes on
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=600
ARBITER=manual

. "$LAB_DIR/lib/romulus.sh"

why_has() { status_field "$1" db why | grep -qF -- "$2"; } # why_has HOST TEXT

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
grep -q ' off ' "$STATE/power.log" && fail "a host was fenced: $(cat "$STATE/power.log")"
romulus_on beta confirm-dead alpha || fail "romulus confirm-dead failed with $?"
wait_for 120 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
redis_finish db
