# shellcheck shell=bash
# After a parting and a takeover the resync leaves both hosts' disks the same; it is red with a rollback beneath DRBD
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2700

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# A primary that lost its power resyncs all that its activity log holds, 67 extents of 4 MiB at least and so
# all of these disks: it hides a rollback that DRBD does not know of. One that gave up in good order resyncs
# what DRBD knows to differ and nothing else, so that is the one to look at.

# parted FROM TO: the hosts lose each other, an operator ends the guest on FROM and grants it to TO
parted() {
	stamp_more 50
	link_set down second
	link_set down replication
	host_ssh "$1" 'xl destroy db; systemctl stop romulusd; drbdadm disconnect db'
	# Its worker has them open until its marker is written, which the disconnect allows; blkback until nothing
	# refers to the guest's pages, which DRBD must not have lent to TCP: the link is down.
	wait_for 60 host_ssh "$1" drbdadm secondary db || fail "$1 does not give up its disks: $(drbd_state "$1")"
	wait_for 120 romulus_on "$2" failover db || fail "romulus failover is refused: $(status_json "$2")"
	wait_for 180 is_state "$2" db taken-over || fail "$2 did not take over: $(status_json "$2")"
	wait_for 60 stamp_is held || fail "the stamp did not notice the takeover: $(stamp_status)"
}

reunited() { # reunited FROM TO
	link_set up second
	link_set up replication
	host_ssh "$1" systemctl start romulusd || fail "romulusd does not start on $1"
	wait_for 400 is_protected "$2" db || fail "protection did not return: $(status_json "$2"; drbd_state "$2")"
}

# Nothing is written after the takeover, for it would cover what differs.
parted_and_reunited() { # parted_and_reunited [FAULT]
	step "the hosts lose each other; fault: ${1:-none}"
	disks_protected "${1:-}"
	parted alpha beta
	stamp_agrees
	reunited alpha beta
}

ARBITER=manual # no power switch: alpha must not crash
HALVES=${HALVES:-green red}

if [[ $HALVES = *green* ]]; then
	parted_and_reunited
	disks_end beta
	disks_verified beta
fi

[[ $HALVES = *red* ]] || exit 0
parted_and_reunited rollback-beneath=fail
romulus_on beta unprotect db || fail "romulus unprotect failed with $?"
wait_for 120 drbd_settled beta || fail "DRBD does not settle: $(drbd_state beta)"
[ "$(disk_compare)" -gt 0 ] || fail "this scenario cannot tell a rollback that DRBD knows of from one that it does not"
[ "$(disk_verify beta)" -gt 0 ] || fail "drbdadm verify finds nothing"
