# shellcheck shell=bash
# A domU with disks loses its host, in both directions in turn: each time disk and RAM agree, and protection returns
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

from=alpha
disks_protected
for i in $(seq "${ROUNDS:-4}"); do
	to=$(other_host "$from")
	redis_start db 60
	disk_cut "$from" "$to"
	stamp_agrees
	redis_finish db
	stamp_go
	disk_rejoin "$from" "$to"
	step "round $i of ${ROUNDS:-4} passed: $from lost its power, db runs on $to"
	from=$to
done
stamp_agrees
disks_end "$from"
