# shellcheck shell=bash
# PostgreSQL on a replicated disk loses its host, in both directions: no commit is lost, and it never restarts
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=7200

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"
. "$LAB_DIR/lib/postgres.sh"

requires test -x "$PG_BIN/pg_amcheck"
from=alpha
disks_up "${FAULT:-}"
pg_setup alpha
pg_writers_start
step "unprotected: $(pg_rate 200) commits/s"
pg_writers_stop
pg_agrees
protect db alpha beta
for i in $(seq "${ROUNDS:-2}"); do
	to=$(other_host "$from")
	pg_writers_start
	step "protected: $(pg_rate 40) commits/s"
	wait_for 300 is_protected "$from" db || fail "db is not protected any more: $(status_json "$from")"
	# A random moment of the epoch: this wait is the scenario's subject, not a hope.
	sleep "$((RANDOM % 2)).$((RANDOM % 1000))"
	step "cutting $from's power after $(pg_acks) commits"
	cut_at=$EPOCHREALTIME
	host_power_cut "$from"
	wait_for 180 is_state "$to" db taken-over || fail "$to did not take over: $(status_json "$to")"
	pg_more 100
	pg_writers_stop
	step "$(pg_acks) commits; the longest silence was $(pg_silence "$cut_at")"
	pg_agrees
	disk_rejoin "$from" "$to"
	step "round $i of ${ROUNDS:-2} passed: $from lost its power, PostgreSQL runs on $to"
	from=$to
done
romulus_on "$from" unprotect db || fail "romulus unprotect failed with $?"
# No xl waits for the end of a domU that was taken over: it stays, shut down, until it is destroyed.
host_ssh "$from" 'xl shutdown -w db && { xl destroy db || ! xl domid db; }' 2>/dev/null || fail "db does not shut down"
wait_for 120 drbd_settled "$from" || fail "DRBD does not settle: $(drbd_state "$from")"
pg_disk_sound "$from"
[ "$(disk_compare)" = 0 ] || fail "the hosts' disks differ"
