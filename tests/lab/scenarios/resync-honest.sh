# shellcheck shell=bash
# After a takeover and the lost host's return both hosts' disks are the same; it is red with a rollback beneath DRBD
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

requires disks_supported

# lost_and_back [FAULT]: ends with the writer holding, db unprotected on beta, DRBD saying that all is equal
lost_and_back() {
	disks_protected alpha beta "${1:-}"
	disk_cut alpha beta
	stamp_agrees
	disk_rejoin alpha beta
	# With the fault nothing may be written again: it would cover what differs.
	if [ -z "${1:-}" ]; then
		stamp_go
		stamp_more 100
		stamp_agrees
	fi
	romulus_on beta unprotect db || fail "romulus unprotect failed with $?"
	wait_for 120 drbd_settled beta || fail "DRBD does not settle: $(drbd_state beta)"
}

lost_and_back
[ "$(disk_compare)" = 0 ] || fail "the hosts' disks differ, and DRBD says that they do not"
found=$(disk_verify beta)
[ "$found" = 0 ] || fail "drbdadm verify finds $found KiB out of sync"

step "again with the rollback written beneath DRBD: now it must not know what differs"
lab_restart
lost_and_back rollback-beneath=fail
[ "$(disk_compare)" -gt 0 ] || fail "this scenario cannot tell a resync that knows what differs from one that does not"
[ "$(disk_verify beta)" -gt 0 ] || fail "drbdadm verify finds nothing"
