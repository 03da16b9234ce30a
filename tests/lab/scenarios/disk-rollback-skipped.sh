# shellcheck shell=bash
# The red half of disk-checkpoint-exact: a takeover without the rollback leaves the disks ahead of RAM, and that is found
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# Late acks make sure that the guest has written since the last of them.
disks_protected rollback-skip=fail,ack-delay=delay:3000
disk_cut alpha beta
stamp_finds ahead
