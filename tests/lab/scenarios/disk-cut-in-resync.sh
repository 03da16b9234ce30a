# shellcheck shell=bash
# DRBD resyncs after the last acked checkpoint when the primary loses its power: the takeover is from it, disk and RAM agree
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1500

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

beta_is_target() { drbd_state beta | grep -q 'SyncTarget .*Inconsistent'; }

disks_protected
stamp_more 50

step "no more checkpoints; DRBD is interrupted and its slow resync is not done when alpha loses its power"
resync_slow alpha 20
# Stopped while the guest runs, not in a pause: it is mute then and cannot be asked, but it must write on.
# shellcheck disable=SC2016
host_ssh alpha 'writes() { cat /sys/block/drbd10/stat /sys/block/drbd11/stat | awk "{ n += \$5 } END { print n }"; }
	for i in $(seq 30); do
		pkill -STOP -x romulus-primary || exit
		before=$(writes) && sleep 1 && [ "$(writes)" -gt "$before" ] && exit
		pkill -CONT -x romulus-primary && sleep 0.$((i % 10))
	done; exit 1' || fail "cannot stop the checkpoints while the guest writes"
host_ssh alpha 'drbdadm disconnect db && sleep 3 && drbdadm connect db' || fail "cannot interrupt DRBD: $(drbd_state alpha)"
wait_for 60 beta_is_target || fail "beta does not resync: $(drbd_state beta)"
step "beta: $(drbd_state beta | paste -sd' ')"
host_power_cut alpha
wait_for 180 is_state beta db taken-over || fail "beta did not take over: $(status_json beta; drbd_state beta)"
domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
wait_for 60 stamp_is held || fail "the stamp did not notice the takeover: $(stamp_status)"
romulus_on beta events
stamp_agrees
stamp_go
resync_slow beta 20480 # which has the slow rate from alpha
disk_rejoin alpha beta
stamp_more 50
stamp_agrees
disks_end beta
