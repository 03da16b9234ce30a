# shellcheck shell=bash
# RAM taken back to a checkpoint, disks not: the guest notices, holds its writes, and finds the disk ahead of RAM
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# What a takeover without a rollback is, without Romulus: xl keeps a checkpoint, the guest goes on writing,
# and is then resumed from the checkpoint on the disks as they are.
disks_started
stamp_start
stamp_more 100
host_ssh alpha xl save -c db /var/tmp/db.save 2>/dev/null || fail "xl save -c"
# xl's checkpoint takes seconds, so the stamp may have held; one that a guest survives leaves all equal.
stamp_agrees
stamp_go
stamp_more 100
host_ssh alpha 'xl destroy db && xl restore /var/tmp/db.save' || fail "xl restore"
wait_for 60 stamp_is held || fail "the stamp did not notice that it was taken back: $(stamp_status)"
stamp_finds ahead
