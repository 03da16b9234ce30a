# shellcheck shell=bash
# Only DRBD's traffic is lost: the guest writes on, nobody takes over, status says why, protection returns by itself
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"
. "$LAB_DIR/lib/traffic.sh"

LONGEST_STALL=20 # seconds; the guide says 13, and this is an emulated host

disks_started
drbd_patient 20 # as Romulus sets it: the stall is what counts here
protect db alpha beta
stamp_start hold=60000 # a pause that waits for DRBD must not stop the writer
generation=$(status_field alpha db generation)
redis_start db 60
writes_watch alpha

step "DRBD's traffic is lost"
traffic_lose alpha drbd
wait_for 120 is_state alpha db solo || fail "alpha was not granted solo: $(status_json alpha; drbd_state alpha)"
line=$(romulus_on alpha status db | grep '^db: NOT PROTECTED')
step "status: $line"
grep -q "are not connected" <<<"$line" || fail "status does not say that it is the disks: $line"
peer_alive alpha || fail "this scenario has cut more than DRBD: $(status_json alpha)"
stamp_more 200
watched=$(writes_watched alpha)
step "longest stall and number of writes: $watched"
awk -v most="$LONGEST_STALL" '{ exit !($1 <= most && $2 > 200) }' <<<"$watched" || fail "the guest's writes were blocked: $watched"
redis_finish db

step "and it stays so: an attempt to protect it waits for the disks"
wait_for 120 why_has alpha "protection waits for DRBD" || fail "status does not say what it waits for: $(status_json alpha)"
step "status: $(romulus_on alpha status db)"
[ "$(traffic_lost alpha)" -gt 0 ] || fail "this scenario has cut nothing"
if ! host_is_on alpha || ! host_is_on beta; then fail "a host was switched off: $(cat "$STATE/power.log")"; fi
domain_runs alpha db || fail "db does not run on alpha: $(host_ssh alpha xl list)"
host_ssh beta xl list db 2>/dev/null && fail "db runs on beta"
stamp_agrees
stamp_go

step "the port is open again"
traffic_mend alpha
wait_for 300 is_protected alpha db || fail "protection did not return: $(status_json alpha; drbd_state alpha; drbd_state beta)"
[ "$(status_field alpha db generation)" -gt "$generation" ] || fail "the generation did not grow"
stamp_more 50
stamp_agrees
disks_end alpha
