# shellcheck shell=bash
# A protected domU with disks is moved there and back: disk and RAM agree each time, and DRBD has next to nothing to resync
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# resynced HOST: KiB that DRBD there had to bring the other host, since its kernel's log was cleared
resynced() { host_ssh "$1" dmesg | sed -n 's/.*Began resync as SyncSource (will sync \([0-9]*\) KB.*/\1/p' | awk '{ n += $1 } END { print n + 0 }'; }

# moved FROM TO [OPTION]: under the stamp's load, which holds when it is resumed
moved() {
	wait_for 300 is_protected "$1" db || fail "db is not protected on $1: $(status_json "$1")"
	stamp_is writing || stamp_go
	stamp_more 50
	host_ssh "$2" dmesg -C
	step "moving db from $1 to $2 after $(stamp_writes) writes"
	romulus_on "$1" migrate "${@:3}" db "$2" || fail "romulus migrate failed on $1 with $?: $(romulus_on "$1" events db; status_json "$2")"
	domain_runs "$2" db || fail "db does not run on $2: $(host_ssh "$2" xl list)"
	host_ssh "$1" xl list db 2>/dev/null && fail "db is still on $1"
	wait_for 60 stamp_is held || fail "the stamp did not notice that it was moved: $(stamp_status)"
	stamp_agrees
	romulus_on "$2" events db | grep -F 'rolled back' || fail "no event tells what became of the disks: $(romulus_on "$2" events db)"
}

# reversed FROM TO: it is protected on TO, and DRBD has swapped its roles without bringing all of the disks over again
reversed() {
	local kib
	wait_for 400 is_protected "$2" db || fail "protection did not return: $(status_json "$2"; drbd_state "$2")"
	[ "$(status_field "$1" db role)" = backup ] || fail "$1 is not the backup: $(status_json "$1")"
	drbd_is "$2" Primary/Secondary || fail "DRBD has not swapped its roles: $(drbd_state "$2")"
	kib=$(resynced "$2")
	step "DRBD had $kib KiB of $((DISK_SECTORS / 2)) to resync"
	[ "$kib" -lt $((DISK_SECTORS / 4)) ] || fail "DRBD resynced $kib KiB after a move"
}

disks_started
protect db alpha beta
# A move takes longer than this on emulated hosts; should a slow epoch too, it is told to go on.
stamp_start hold=1000

step "to beta"
moved alpha beta
stamp_go
reversed alpha beta

step "and back"
moved beta alpha
stamp_go
reversed beta alpha

step "to beta, for good: alpha's disks cannot be opened by accident"
moved alpha beta --no-protect
wait_for 60 drbd_is alpha Secondary/Unknown || fail "alpha is still DRBD's primary: $(drbd_state alpha)"
stamp_go
stamp_more 50
nobody_was_fenced

step "protected again, and both hosts' disks are the same"
protect db beta alpha
stamp_more 50
stamp_agrees
disks_end beta
