# shellcheck shell=bash
# After a power cut, a takeover and the old primary's return both hosts' disks are the same, sector by sector
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

disks_protected
disk_cut alpha beta
stamp_agrees
stamp_go
disk_rejoin alpha beta
stamp_more 100
stamp_agrees
disks_end beta
disks_verified beta
