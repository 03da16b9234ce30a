# shellcheck shell=bash
# A domU on DRBD disks: the stamp says that disk and RAM agree, and is red when the disk is changed beneath it
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=300

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

HOT_MIB=21 # where the stamp writes most: a third into volume 0

volume0() { # volume0 READ|WRITE: MiB HOT_MIB of the real device, beneath DRBD
	case $1 in
	READ) host_ssh alpha "dd if=/dev/mapper/lab-db-0 of=/run/hot iflag=direct bs=1M count=1 skip=$HOT_MIB status=none" ;;
	WRITE) host_ssh alpha "dd if=/run/hot of=/dev/mapper/lab-db-0 oflag=direct bs=1M count=1 seek=$HOT_MIB status=none" ;;
	esac
}

disks_up
step "resource: $(drbd_state alpha | tr '\n' ';')"
guest_with_disks alpha
stamp_start rate=200
stamp_more 300
step "disk and RAM agree, and both hosts' disks"
stamp_agrees
wait_for 60 drbd_settled alpha || fail "DRBD does not settle: $(drbd_state alpha)"
[ "$(disk_compare)" = 0 ] || fail "the hosts' disks differ"

step "writes that are lost beneath the guest are found"
volume0 READ
stamp_go
stamp_more 200
stamp_agrees
volume0 WRITE
stamp_finds behind
[ "$(disk_compare)" -gt 0 ] || fail "the hosts' disks differ, and disk_compare does not see it"

step "one sector of foreign data, the last of the odd volume, is found"
host_ssh alpha "dd if=/dev/urandom of=/dev/mapper/lab-db-1 oflag=direct bs=512 count=1 seek=67584 status=none"
stamp_finds garbage
[ "$(disk_verify alpha 1)" -gt 0 ] || fail "the hosts' disks differ, and drbdadm verify does not see it"
