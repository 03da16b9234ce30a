# shellcheck shell=bash
# At a takeover the disks are those of the checkpoint that RAM is: no sector differs; it is red without the rollback
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

for i in $(seq "${ROUNDS:-1}"); do
	disks_protected
	disk_cut alpha beta
	stamp_agrees
	step "round $i of ${ROUNDS:-1} passed"
done

step "again without the rollback: now the disks must be ahead of RAM"
# Late acks make sure that the guest has written since the last of them.
disks_protected rollback-skip=fail,ack-delay=delay:3000
disk_cut alpha beta
stamp_finds ahead
