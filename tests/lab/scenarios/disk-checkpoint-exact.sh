# shellcheck shell=bash
# At a takeover the disks are those of the checkpoint that RAM is: no sector differs (disk-rollback-skipped is its red half)
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
