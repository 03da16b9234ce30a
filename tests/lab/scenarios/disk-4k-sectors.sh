# shellcheck shell=bash
# A disk of 4 KiB sectors beside one of 512 bytes survives a power cut there and back: disk and RAM agree, both hosts' disks do
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1500

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# shellcheck disable=SC2034 # romulus_config reads it
DB_DISKS=${DB_DISKS/\/dev\/mapper\/lab-db-0//dev/loop0}

disks_appear() { # disks_appear HOST
	host_ssh "$1" 'losetup /dev/loop0 2>/dev/null ||
		losetup --sector-size 4096 --direct-io=on /dev/loop0 /dev/mapper/lab-db-0' || fail "no disk of 4 KiB sectors on $1"
}

# guest_sectors HOST: what the guest's disks say, "4096 512"
guest_sectors() {
	# shellcheck disable=SC2016
	host_ssh "$1" 'for d in 51712 51728; do
		xenstore-read "/local/domain/0/backend/vbd/$(xl domid db)/$d/sector-size"; done' | paste -sd' '
}

from=alpha to=beta
for host in $HOSTS; do disks_appear "$host"; done
disks_up
guest_with_disks "$from"
protect db "$from" "$to"
stamp_start hold=4000
for i in 1 2; do
	[ "$(guest_sectors "$from")" = "4096 512" ] || fail "not a disk of 4 KiB sectors and one of 512 bytes: $(guest_sectors "$from")"
	disk_cut "$from" "$to"
	[ "$(guest_sectors "$to")" = "4096 512" ] || fail "other sectors after the takeover: $(guest_sectors "$to")"
	stamp_agrees
	stamp_go
	disk_rejoin "$from" "$to"
	step "takeover $i from $from to $to passed"
	from=$to to=$(other_host "$from")
done
stamp_more 50
stamp_agrees
disks_end "$from"
