# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# PostgreSQL in domU db, on the disk of its own that db-pg.cfg gives it (lib/image_postgres.sh): writers on the
# guest LAN that note every commit they were told of, and what must be true of the database afterwards.

PG_WRITERS="1 2 3 4"
PG_BIN=/usr/lib/postgresql/15/bin

# What lib/disks.sh works on here: one data volume, whose content both hosts have alike.
# shellcheck disable=SC2034
DISK_SET=pg DISK_VOLUMES=0
# shellcheck disable=SC2034
DB_DISKS='disks { resource = "db" volumes = {"/dev/mapper/lab-pg-0"} marker = "/dev/mapper/lab-pg-marker"
	meta = "/dev/mapper/lab-pg-meta" undo-limit = 64 port = 7789 minor = 10 }'

PG_AT=(-h "${GUEST_ADDRESS[db]}" -U postgres)
PG_PSQL=("$PG_BIN/psql" "${PG_AT[@]}" -XqAt -v ON_ERROR_STOP=1)

pg_query() { in_lab timeout 120 "${PG_PSQL[@]}" -c "$1" </dev/null; } # pg_query SQL
pg_started() { pg_query 'SELECT pg_postmaster_start_time()'; }

# pg_setup HOST: db with PostgreSQL runs on HOST, its tables are there
pg_setup() {
	guest_with_disks "$1" db-pg
	wait_for 120 pg_started >/dev/null || fail "PostgreSQL in db does not answer"
	pg_query 'CREATE EXTENSION amcheck;
		CREATE TABLE entry (writer int, n int, body text, PRIMARY KEY (writer, n));
		CREATE TABLE tally (writer int PRIMARY KEY, n int);
		INSERT INTO tally SELECT w, 0 FROM generate_series(1, 9) w' || fail "no tables"
	rm -f "$STATE"/pg-acks-*
	PG_STARTED=$(pg_started)
}

# One connection, never reopened. Each commit adds a row and changes one, so that pages are overwritten too; its
# number and the time are noted when psql has seen it complete.
pg_writer() { # pg_writer WRITER
	local n answer acks=$STATE/pg-acks-$1
	coproc PSQL { exec ip netns exec "$NETNS" "${PG_PSQL[@]}" 9>&-; }
	touch "$acks"
	n=$(wc -l <"$acks")
	while [ ! -e "$STATE/pg-stop" ]; do
		n=$((n + 1))
		echo "WITH t AS (UPDATE tally SET n = n + 1 WHERE writer = $1)
			INSERT INTO entry VALUES ($1, $n, repeat(md5('$1 $n'), 8)) RETURNING n;" >&"${PSQL[1]}"
		read -r answer <&"${PSQL[0]}" && [ "$answer" = "$n" ] || return
		echo "$n $EPOCHREALTIME" >>"$acks"
	done
}

pg_writers_start() {
	local writer
	rm -f "$STATE/pg-stop"
	PG_PIDS=()
	trap 'for pid in "${PG_PIDS[@]}"; do scenario_kill "$pid"; done' EXIT # a failed scenario leaves none behind
	for writer in $PG_WRITERS; do
		pg_writer "$writer" 2>>"$STATE/pg-writers.log" &
		PG_PIDS+=($!)
	done
	pg_more 10
}

# pg_writers_stop: every writer had its one connection to the end
pg_writers_stop() {
	local pid
	touch "$STATE/pg-stop"
	for pid in "${PG_PIDS[@]}"; do
		wait "$pid" || fail "a connection to PostgreSQL broke: $(tail -n 3 "$STATE/pg-writers.log")"
	done
}

pg_acks() { cat "$STATE"/pg-acks-* | wc -l; }
pg_acks_beyond() { [ "$(pg_acks)" -gt "$1" ]; }

pg_more() { # pg_more N: N more commits at least are acknowledged
	wait_for 180 pg_acks_beyond "$(($(pg_acks) + $1))" || fail "PostgreSQL in db acknowledges nothing"
}

pg_rate() { # pg_rate N: commits per second, over N of them
	local acks started=$EPOCHREALTIME
	acks=$(pg_acks)
	pg_more "$1"
	jq -n "($(pg_acks) - $acks) / ($EPOCHREALTIME - $started) * 10 | round / 10"
}

# pg_silence CUT_AT: the longest wait for an acknowledgement that ended after CUT_AT, and how long after it
pg_silence() {
	cut -d' ' -f2 "$STATE"/pg-acks-* | sort -n | awk -v cut="$1" '
		NR > 1 && $1 > cut && $1 - last > longest { longest = $1 - last; end = $1 } { last = $1 }
		END { printf "%.1f s, first commit %.1f s after the cut", longest, end - cut }'
}

# pg_agrees: with the writers stopped, the database holds the acknowledged commits, each once and nothing else,
# in the same server as ever, and every table and index is sound
pg_agrees() {
	local writer want got
	want=$(for writer in $PG_WRITERS; do wc -l <"$STATE/pg-acks-$writer"; done |
		awk '{ printf "%d|%d|%d|%d|%d|%d|t\n", NR, $1, $1, 1, $1, $1 }')
	got=$(pg_query "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off;
		SELECT writer, count(*), count(DISTINCT e.n), min(e.n), max(e.n), max(t.n),
			bool_and(body = repeat(md5(writer || ' ' || e.n), 8))
		FROM entry e JOIN tally t USING (writer) GROUP BY writer ORDER BY writer")
	[ "$got" = "$want" ] || fail "acknowledged: $want, in the database: $got"
	[ "$(pg_started)" = "$PG_STARTED" ] || fail "PostgreSQL was started again, at $(pg_started)"
	in_lab $PG_BIN/pg_amcheck "${PG_AT[@]}" --all --install-missing --heapallindexed </dev/null \
		>"$STATE/pg-amcheck" 2>&1 || fail "the database is damaged: $(<"$STATE/pg-amcheck")"
}

# pg_disk_sound HOST: with the guest shut down there, file system (after a replay of its journal) and checksums
# are, and the server's log is clean
pg_disk_sound() {
	# shellcheck disable=SC2016
	host_ssh "$1" '{ e2fsck -p /dev/drbd10 || [ $? = 1 ]; } && e2fsck -fn /dev/drbd10 && mount -o ro /dev/drbd10 /mnt || exit
		chroot /mnt /bin/busybox su postgres -s /bin/sh -c "'$PG_BIN'/pg_checksums --check -D /data/main" &&
			! grep -v "the database system is starting up" /mnt/data/log | grep -E "ERROR|FATAL|PANIC|recovery"
		status=$?; umount /mnt; exit $status' >"$STATE/pg-disk" 2>&1 || fail "the disk: $(<"$STATE/pg-disk")"
	step "$(grep -E 'Bad checksums|Blocks scanned|blocks$' "$STATE/pg-disk" | tr '\n' ' ')"
}
