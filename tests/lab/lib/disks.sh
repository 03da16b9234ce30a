# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# domU db with disks: the DRBD resource on both hosts, the guest on it, the stamp that says whether disk
# and RAM agree, and whether both hosts' disks do. The host image gives /dev/mapper/lab-db-0, -1, -marker
# and -meta (host/tree/usr/local/sbin/lab-disks); a resource's lower devices are romulus-db-VOLUME.

DISK_SET=db                       # or pg, which is db's too: lib/postgres.sh
DISK_VOLUMES="0 1"                # volume 2 is the marker; DRBD minors are 10, 11 and 12
DISK_SECTORS=$((131072 + 67585))  # of both data volumes

# What romulus_config says of db's disks.
# shellcheck disable=SC2034
DB_DISKS='disks { resource = "db" volumes = {"/dev/mapper/lab-db-0", "/dev/mapper/lab-db-1"}
	marker = "/dev/mapper/lab-db-marker" meta = "/dev/mapper/lab-db-meta" undo-limit = 64
	port = 7789 minor = 10 }'

# disks_appear HOST: what must be there before romulusd starts on a host that has booted; redefined where it is not by itself
disks_appear() { :; }

# disks_up [FAULT]: Romulus on both hosts, the resource prepared, connected and equal. Both hosts' disks are
# zeros, so they need no first resync.
disks_up() {
	local host
	romulus_up "${1:-}"
	host_ssh beta romulus disk prepare db --yes >"$STATE/prepare-beta" 2>&1 &
	host_ssh alpha romulus disk prepare db --yes --initial primary --clean >"$STATE/prepare-alpha" 2>&1 &&
		wait $! || fail "no DRBD resource: $(cat "$STATE/prepare-alpha" "$STATE/prepare-beta")"
	for host in $HOSTS; do
		wait_for 60 drbd_is "$host" UpToDate/UpToDate || fail "the disks are not equal: $(drbd_state "$host")"
	done
	drbd_patient
}

# Emulated hosts stand still for seconds now and then; DRBD would take that for a lost connection, as it does
# after 2 s as Romulus sets it, and the protection rightly ends.
drbd_patient() { # drbd_patient [TENTHS]: on both hosts, until they boot again
	local host
	for host in $HOSTS; do
		host_ssh "$host" drbdadm net-options "--ping-timeout=${1:-60}" db || fail "cannot set ping-timeout on $host"
	done
}

# drbd_state HOST: per volume "MINOR CONNECTION ROLE/PEER DISK/PEER OUT-OF-SYNC(KiB)"
drbd_state() {
	host_ssh "$1" "awk '/^ *1[0-2]: cs:/ { sub(\":\", \"\", \$1); sub(\"cs:\", \"\", \$2); sub(\"ro:\", \"\", \$3)
		sub(\"ds:\", \"\", \$4); printf \"%s %s %s %s\", \$1, \$2, \$3, \$4 }
		/ oos:/ { sub(\".* oos:\", \"\"); print \" \" \$1 }' /proc/drbd"
}

# drbd_is HOST WORD: WORD (Connected, Primary/Secondary, UpToDate/UpToDate) holds for all volumes
drbd_is() { [ "$(drbd_state "$1" | grep -cwF -- "$2")" = "$(wc -w <<<"$DISK_VOLUMES marker")" ]; }

drbd_settled() { drbd_is "$1" Connected && drbd_is "$1" UpToDate/UpToDate && ! drbd_state "$1" | grep -qv ' 0$'; }

# resync_slow HOST KIB: what is resynced from HOST comes at KIB per second; DRBD tells the other host, which keeps to it
resync_slow() {
	host_ssh "$1" "for v in $DISK_VOLUMES; do drbdsetup disk-options 1\$v --c-plan-ahead=0 --resync-rate=$2k \
		--c-max-rate=$2k --c-min-rate=0 || exit; done" || fail "cannot slow the resync down"
}

# guest_with_disks HOST [CONFIG]: db as the host's db-disk.cfg has it; the db without disks makes way
guest_with_disks() {
	local host
	for host in $HOSTS; do host_ssh "$host" 'xl destroy db' 2>/dev/null; done
	host_ssh "$1" "drbdadm primary db && xl create -q /etc/xen/${2:-db-disk}.cfg" || fail "db with disks does not start on $1"
	wait_for 180 pulse_send db stamp status || fail "db with disks does not answer"
	wait_for 60 redis_answers "${GUEST_ADDRESS[db]}" || fail "redis in db does not answer"
	# shellcheck disable=SC2016
	wait_for 60 host_ssh "$1" 'xenstore-read /local/domain/$(xl domid db)/control/feature-suspend' ||
		fail "db does not announce that it can be suspended"
}

# What a snapshot of db with its disks depends on: the hosts' snapshot, and what has prepared the disks.
disks_snapshot_dir() {
	echo "$CACHE/disks-$SUITE-$({
		snapshot_key
		echo "$DISK_SET $DISK_VOLUMES $DISK_SECTORS $(sed 's/undo-limit = [0-9]*//' <<<"$DB_DISKS")"
		declare -f romulus_config disks_up drbd_patient guest_with_disks disks_started
		cat "$(destdir_of_suite)/usr/lib/romulus/romulus-disk"
	} | sha256sum | cut -c1-16)"
}

# disks_started [FAULT]: db with disks on alpha, unprotected, Romulus on both hosts. The hosts are fresh ones whatever
# they were before: this is made once, kept, and started from.
disks_started() {
	local host directory
	directory=$(disks_snapshot_dir)
	cache_lock
	if [ ! -e "$directory/complete" ]; then
		disks_up
		guest_with_disks alpha
		for host in $HOSTS; do host_ssh "$host" 'systemctl stop romulusd && sync'; done
		rm -rf "$CACHE/disks-$SUITE"-* # of older code
		snapshot_keep "$directory"
	fi
	for host in $HOSTS; do host_power_cut "$host"; done
	(snapshot_start "$directory") || fail "the hosts do not start with db's disks"
	cache_unlock
	romulus_up "${1:-}"
	for host in $HOSTS; do
		wait_for 60 drbd_settled "$host" || fail "DRBD is not as it was kept: $(drbd_state "$host")"
	done
}

# The stamp in db (guest/stamp.c). A status is one line of JSON.
stamp_status() { pulse_send db stamp status; }
stamp_is() { stamp_status | jq -e --arg state "$1" '.state == $state' >/dev/null; } # stamp_is STATE
stamp_beyond() { stamp_status | jq -e --argjson n "$1" '.writes > $n' >/dev/null; }    # stamp_beyond N
stamp_writes() { stamp_status | jq .writes; }

stamp_goes() { pulse_send db stamp go | jq -e '.state == "writing"' >/dev/null; }

# stamp_more N: N more writes at least are done
stamp_more() {
	local writes
	writes=$(stamp_writes)
	wait_for 120 stamp_beyond "$((writes + $1))" || fail "the stamp does not write: $(stamp_status)"
}

# stamp_start [OPTION...]: returns when it writes. More than 20 a second is all of an emulated processor, of which
# the copy that is to come then gets the rest: minutes of each scenario.
stamp_start() {
	local rate=(rate=20)
	[[ $* != *rate=* ]] || rate=()
	pulse_send db stamp start "${rate[@]}" "$@" >/dev/null || fail "the stamp does not answer"
	wait_for 120 stamp_is writing || fail "the stamp does not start: $(stamp_status)"
}

stamp_go() { wait_for 60 stamp_goes || fail "the stamp does not go on: $(stamp_status)"; }

# The guest's writes are counted where they are made, for its network is mute at times.
writes_watch() { # writes_watch HOST: a line for each look at the volumes there, SECONDS WRITES
	host_ssh "$1" 'cat >/run/writes-watch; : >/run/writes; setsid sh /run/writes-watch >/run/writes 2>/dev/null </dev/null &' <<-'END_WATCH'
		echo $$ >/run/writes-watch.pid
		while sleep 0.2; do
			read -r up rest </proc/uptime
			echo "$up $(cat /sys/block/drbd10/stat /sys/block/drbd11/stat | awk '{ n += $5 } END { print n }')"
		done
	END_WATCH
}

# writes_watched HOST: ends it and prints "LONGEST WRITES": the longest time without a completed write, how many there were
writes_watched() {
	host_ssh "$1" 'kill $(cat /run/writes-watch.pid); cat /run/writes' | awk '
		NR == 1 { first = $2; at = $1 }
		$1 - at > longest { longest = $1 - at } # before this look counts: it may itself have come late
		$2 != last { at = $1; last = $2 }
		END { print longest + 0, last - first }'
}

# stamp_check: hold, compare every sector of both disks with RAM, print the result
stamp_check() {
	pulse_send db stamp check >/dev/null || fail "the stamp does not answer"
	wait_for 180 stamp_is checked || fail "the stamp's check does not end: $(stamp_status)"
	stamp_status
}

# stamp_agrees: check, and disk and RAM are the same
stamp_agrees() {
	local result
	result=$(stamp_check) || exit 1
	step "stamp: $result"
	jq -e --argjson all "$DISK_SECTORS" '.mismatches == 0 and .errors == 0 and .sectors == $all' \
		<<<"$result" >/dev/null || fail "disk and RAM differ: $result"
}

# stamp_finds KIND (ahead, behind, garbage, mismatches): check, and this is found; a guard for the test
stamp_finds() {
	local result
	result=$(stamp_check) || exit 1
	step "stamp: $result"
	jq -e --arg kind "$1" '.[$kind] > 0' <<<"$result" >/dev/null || fail "the stamp finds nothing $1: $result"
}

# backing_sums HOST: a sum of each data volume's real device, read past every cache
backing_sums() {
	host_ssh "$1" "for v in $DISK_VOLUMES; do
		dd if=/dev/mapper/lab-$DISK_SET-\$v iflag=direct bs=1M status=none | md5sum || exit; done" >"$STATE/sums-$1"
}

# disk_compare: how many data volumes differ between the hosts. Nothing may be writing.
disk_compare() {
	local host pids=()
	for host in $HOSTS; do
		backing_sums "$host" &
		pids+=($!)
	done
	for host in "${pids[@]}"; do wait "$host" || fail "cannot read the volumes"; done
	[ "$(wc -l <"$STATE/sums-alpha")" = "$(wc -w <<<"$DISK_VOLUMES")" ] || fail "not all volumes were read"
	diff "$STATE/sums-alpha" "$STATE/sums-beta" | grep -c '^<'
}

# disk_verify HOST [VOLUME...]: DRBD itself compares, online; prints how many KiB it found out of sync
disk_verify() {
	local host=$1
	shift
	host_ssh "$host" "drbdadm net-options --verify-alg=crc32c db &&
		for v in ${*:-$DISK_VOLUMES}; do drbdadm verify db/\$v || exit; done" ||
		fail "drbdadm verify does not start: $(drbd_state "$host")"
	wait_for 180 drbd_is "$host" Connected || fail "drbdadm verify does not end: $(drbd_state "$host")"
	drbd_state "$host" | awk '{ n += $NF } END { print n + 0 }'
}

# disks_protected [FAULT]: db with disks runs on alpha, protected on beta, under the stamp's load
disks_protected() {
	disks_started "${1:-}"
	protect db alpha beta
	# A takeover is behind its checkpoint by DEAD_AFTER at least; a slow epoch of an emulated host is not.
	stamp_start hold=4000
}

# disk_cut FROM TO: FROM loses its power under load; TO takes over, the stamp notices and holds
disk_cut() {
	stamp_more 50
	wait_for 300 is_protected "$1" db || fail "db is not protected any more: $(status_json "$1")"
	# A random moment of the epoch: this wait is the scenario's subject, not a hope.
	sleep "$((RANDOM % 3)).$((RANDOM % 1000))"
	step "cutting $1's power after $(stamp_writes) writes"
	host_power_cut "$1"
	wait_for 180 is_state "$2" db taken-over || fail "$2 did not take over: $(status_json "$2")"
	domain_runs "$2" db || fail "db does not run on $2: $(host_ssh "$2" xl list)"
	wait_for 60 stamp_is held || fail "the stamp did not notice the takeover: $(stamp_status)"
}

host_is_ready() { host_booted "$1" && host_set_clock "$1"; }

# disk_rejoin LOST RUNNING: the lost host comes back and protection returns
disk_rejoin() {
	host_power_on "$1"
	wait_for 400 host_is_ready "$1" || fail "$1 does not boot again"
	disks_appear "$1"
	host_ssh "$1" systemctl start romulusd || fail "romulusd does not start on $1"
	wait_for 400 is_protected "$2" db || fail "protection did not return: $(status_json "$2"; drbd_state "$2")"
	drbd_patient
}

# disks_end HOST: the primary's protection ends, and both hosts' disks are the same. Nothing is to write to them any more.
disks_end() {
	romulus_on "$1" unprotect db || fail "romulus unprotect failed with $?"
	wait_for 120 drbd_settled "$1" || fail "DRBD does not settle: $(drbd_state "$1")"
	[ "$(disk_compare)" = 0 ] || fail "the hosts' disks differ"
}

# disks_verified HOST: by DRBD itself
disks_verified() {
	local found
	found=$(disk_verify "$1")
	[ "$found" = 0 ] || fail "drbdadm verify finds $found KiB out of sync"
}
