# shellcheck shell=bash
# romulusd is killed, and restarted, in the middle of a takeover and of a move: the guest runs all the same, once
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"

adopted() { # adopted HOST: what has begun there without a daemon is announced by the next one
	wait_for 240 is_state "$1" db taken-over || fail "$1 did not take over: $(status_json "$1")"
	romulus_on "$1" events db --json | jq -r .text | grep -q 'ended in the middle of the takeover' ||
		fail "romulusd was not back in time to find a takeover: $(romulus_on "$1" events db)"
	domain_runs "$1" db || fail "db does not run on $1: $(host_ssh "$1" xl list)"
}

romulus_up
protect db alpha beta
owners_watch db
rm -f "$STATE/over"
redis_start db 1200 --until "$STATE/over" --limit 600

step "a restart in order in the middle of a move"
romulus_on alpha migrate db beta >"$STATE/move.log" 2>&1 &
mover=$!
wait_for 120 is_state beta db taking-over || fail "beta does not take over: $(status_json beta; cat "$STATE/move.log")"
host_ssh beta systemctl restart romulusd || fail "romulusd does not restart on beta"
wait "$mover" || step "the move's command: $(cat "$STATE/move.log")" # it may not wait for so long
adopted beta
wait_for 400 is_protected beta db || fail "protection did not return: $(status_json beta)"

step "kill -9 in the middle of a takeover"
host_power_cut beta
wait_for 240 is_state alpha db taking-over || fail "alpha does not take over: $(status_json alpha)"
host_ssh alpha systemctl kill --kill-who=main --signal=KILL romulusd
adopted alpha
touch "$STATE/over"
redis_finish db
owners_are alpha beta alpha
