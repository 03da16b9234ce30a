# shellcheck shell=bash
# Only Romulus' own traffic on the replication link is lost, DRBD's lives: no takeover, solo by consent, protection returns
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"
. "$LAB_DIR/lib/traffic.sh"

path_is() { # path_is HOST NAME true|false: that path hears the peer
	status_json "$1" | jq -e --arg name "$2" --argjson alive "$3" \
		'.peers[0].paths[] | select(.name == $name) | .alive == $alive' >/dev/null
}

disks_started
protect db alpha beta
stamp_start hold=60000
generation=$(status_field alpha db generation)
redis_start db 60
stamp_more 50

step "all but DRBD is lost on the replication link"
traffic_lose alpha others
wait_for 180 is_state alpha db solo || fail "alpha was not granted solo: $(status_json alpha)"
step "status: $(romulus_on alpha status db)"
wait_for 60 path_is alpha replication false || fail "this scenario has not cut the path: $(status_json alpha)"
path_is alpha second true || fail "this scenario has cut more than one path: $(status_json alpha)"
wait_for 60 drbd_settled alpha || fail "this scenario has cut DRBD too: $(drbd_state alpha)"
[ "$(traffic_lost alpha)" -gt 0 ] || fail "this scenario has cut nothing"
if ! host_is_on alpha || ! host_is_on beta; then fail "a host was switched off: $(cat "$STATE/power.log")"; fi
domain_runs alpha db || fail "db does not run on alpha: $(host_ssh alpha xl list)"
wait_for 60 is_state beta db released || fail "beta has not let go: $(status_json beta)"
host_ssh beta 'xl list db || xl list db--standby' 2>/dev/null && fail "something of db is on beta"
redis_finish db
stamp_more 50
stamp_agrees
stamp_go

step "the traffic passes again"
traffic_mend alpha
wait_for 300 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha)"
[ "$(status_field alpha db generation)" -gt "$generation" ] || fail "the generation did not grow"
stamp_more 50
stamp_agrees
disks_end alpha
