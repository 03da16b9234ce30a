# shellcheck shell=bash
# Faults at random, one after the other: nothing acknowledged is lost, nobody else ever speaks for the domU, it is never stuck
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=28800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/etcd.sh"
. "$LAB_DIR/lib/owners.sh"

#   ROUNDS=5    how many                  SEED=N   which, and when; printed, so that a campaign can be repeated
#   FAULTS=...  some of those below       ARBITER=etcd+fence, or another one that has all of them
# The table in build/lab-faults.md is of all rounds that build/lab-faults.rows has, of this run and those before: remove it to begin anew.
ROUNDS=${ROUNDS:-5}
SEED=${SEED:-$$}
FAULTS=${FAULTS:-power-primary power-backup daemon-primary daemon-backup worker-primary worker-backup restore
	link-replication link-second link-all one-way one-way-all pause-primary pause-backup
	fence-fails fence-slow etcd-member etcd-majority}
ARBITER=${ARBITER:-etcd+fence} # both must agree, so each of them can stand in the way
TABLE=$TOP/build/lab-faults.md
ROWS=$TOP/build/lab-faults.rows # FAULT ARBITER GAP-MS WHAT SEED

# Each gets the primary and the backup; what must be undone by hand is undone by `mend`.
fault_power_primary() { host_power_cut "$1"; }
fault_power_backup() { host_power_cut "$2"; }
fault_daemon_primary() { host_ssh "$1" systemctl kill --kill-who=main --signal=KILL romulusd; }
fault_daemon_backup() { host_ssh "$2" systemctl kill --kill-who=main --signal=KILL romulusd; }
fault_worker_primary() { host_ssh "$1" pkill -KILL -x -o romulus-primary; }
fault_worker_backup() { host_ssh "$2" pkill -KILL -x -o romulus-backup; }
fault_restore() { host_ssh "$2" pkill -KILL -x -n romulus-backup; } # the child that builds the standby
fault_link_replication() { link_set down replication; }
fault_link_second() { link_set down second; }
fault_link_all() { link_set down replication && link_set down second; }
deafen() { # deafen HOST DEVICE: it sends, and hears nothing
	host_ssh "$1" "modprobe -a sch_ingress cls_matchall act_gact && tc qdisc add dev $2 clsact &&
		tc filter add dev $2 ingress protocol all matchall action drop"
}
fault_one_way() { deafen "$2" repl0; }
fault_one_way_all() { deafen "$2" repl0 && deafen "$2" second0; }
fault_pause_primary() { pause_host "$1"; }
fault_pause_backup() { pause_host "$2"; }
fault_fence_fails() { power_stop && host_power_cut "$1"; }
fault_fence_slow() { power_pause && host_power_cut "$1"; }
fault_etcd_member() { etcd_stop; }
fault_etcd_majority() { etcd_stop && host_power_cut "$1"; }

pause_host() { # for 10 s; who is fenced meanwhile does not wake
	local pid
	pid=$(process_pid "$RUN/$1.pid" "$RUN/$1.monitor") || fail "$1 does not run"
	kill -STOP "$pid"
	sleep 10
	kill -CONT "$pid" 2>/dev/null
	true
}

# until_seen FAULT PRIMARY BACKUP GENERATION: the fault has had its effect
until_seen() {
	case $1 in
	link-second | etcd-member) sleep 10 ;; # one path, one member: nothing may come of it
	pause-*) ;;                            # it was long enough or not: both are right
	fence-fails) wait_for 120 event_seen "$3" fence-failed || fail "no agent fails: $(romulus_on "$3" events)" ;;
	fence-slow)
		wait_for 120 event_seen "$3" fence-begin || fail "nobody is fenced: $(romulus_on "$3" events)"
		sleep 10 # of the 20 s that the agent gives its switch
		is_state "$3" db taken-over && fail "$3 did not wait for the agent"
		;;
	etcd-majority)
		wait_for 120 why_has "$3" etcd || fail "status does not say what it waits for: $(status_json "$3")"
		is_state "$3" db taken-over && fail "$3 took over without a majority"
		;;
	*) wait_for 180 decided "$2" "$3" "$4" || fail "nothing comes of $1: $(status_json "$2")" ;;
	esac
	true
}

mend() { # mend FAULT BACKUP
	case $1 in
	link-*) link_set up replication && link_set up second ;;
	one-way) host_ssh "$2" tc qdisc del dev repl0 clsact ;;
	one-way-all) host_ssh "$2" 'tc qdisc del dev repl0 clsact; tc qdisc del dev second0 clsact' ;;
	fence-fails) power_start ;;
	fence-slow) power_resume ;;
	etcd-*) etcd_start lab ;;
	esac
}

event_seen() { # event_seen HOST KIND: in this round
	romulus_on "$1" events --json | jq -es --arg kind "$2" --argjson since "$ROUND_AT" \
		'any(.kind == $kind and .wall_ns / 1e9 > $since)' >/dev/null
}
decided() { # decided PRIMARY BACKUP GENERATION: the pairing has ended, on whichever host is left
	if host_is_on "$1" && host_is_on "$2"; then
		[ "$(status_field "$1" db state)" = solo ] || [ "$(status_field "$1" db generation)" -gt "$3" ]
	elif host_is_on "$1"; then
		is_state "$1" db solo
	else
		is_state "$2" db taken-over
	fi
}

owner() { # prints the host on which db runs; fails unless it is one
	local host owner=
	for host in $HOSTS; do
		host_is_on "$host" && host_ssh "$host" xl list db >/dev/null 2>&1 </dev/null || continue
		[ -z "$owner" ] || return 1
		owner=$host
	done
	[ -n "$owner" ] && echo "$owner"
}

whole() {
	local host
	for host in $HOSTS; do
		peer_alive "$host" && etcd_answers "$host" || return
	done
	host=$(owner) && is_protected "$host" db && is_state "$(other_host "$host")" db ready
}

# What is switched off is switched on, and protection returns without a hand.
recover() {
	local host
	for host in $HOSTS; do
		host_is_on "$host" && continue
		host_power_on "$host"
		wait_for 600 host_is_back "$host" || fail "$host does not come back"
		etcd_start "$host"
	done
	wait_for 600 whole || fail "db is stuck: $(for host in $HOSTS; do romulus_on "$host" status; done)"
}

round() { # round NUMBER FAULT
	local primary backup now generation result gap
	primary=$(owner) && backup=$(other_host "$primary") || fail "db does not run on one host"
	generation=$(status_field "$primary" db generation)
	ROUND_AT=$EPOCHREALTIME
	rm -f "$STATE/round-over"
	owners_watch db
	redis_start db 1200 --until "$STATE/round-over" --limit 600
	sleep "$((RANDOM % 3)).$((RANDOM % 1000))" # a random moment of an epoch is the subject
	UNDER_WAY=$2
	step "round $1 of $ROUNDS: $2, $primary is the primary"
	"fault_${2//-/_}" "$primary" "$backup" || fail "cannot make the fault $2"
	until_seen "$2" "$primary" "$backup" "$generation"
	mend "$2" "$backup"
	if [ "$2" = etcd-majority ] || [ "$2" = fence-fails ] || [ "$2" = fence-slow ]; then
		wait_for 180 is_state "$backup" db taken-over || fail "$backup did not take over: $(status_json "$backup")"
	fi
	recover
	touch "$STATE/round-over"
	result=$(client_result db) || fail "the client failed: $result"
	jq -e '.missing == 0 and .same_connection == true' <<<"$result" >/dev/null || fail "acknowledged writes are missing: $result"
	now=$(owner)
	if [ "$now" = "$primary" ]; then owners_are "$primary"; else owners_are "$primary" "$now"; fi
	gap=$(jq .longest_gap_ms <<<"$result")
	step "$2: the client waited $gap ms at most, db is on $now"
	UNDER_WAY=
	echo "$2 $ARBITER $gap $([ "$now" = "$primary" ] && echo stayed || echo moved) $SEED" >>"$ROWS"
}

table() {
	cat <<-END
		# Campaigns of faults

		\`make lab-faults\`, up to $(date -u +%Y-%m-%d), emulated hosts, interval ${INTERVAL:-200} ms; SEED=$(awk '{ print $5 }' "$ROWS" | sort -nu | tr '\n' ' ')

		A round fails when an acknowledged write is missing, a connection breaks, a second owner speaks, or a guest is stuck.

		| fault | arbiter | rounds | failed | moved | longest wait of the client, median, ms | max, ms |
		|---|---|--:|--:|--:|--:|--:|
	END
	sort -k1,1 -k2,2 -k3,3n "$ROWS" | awk '
		function line() { if (n + failed) printf "| %s | %d | %d | %d | %d | %d |\n", name, n + failed, failed, moved, n ? gap[int((n + 1) / 2)] : 0, n ? gap[n] : 0 }
		$1 " | " $2 != name { line(); name = $1 " | " $2; n = moved = failed = 0 }
		$4 == "failed" { failed++; next }
		{ gap[++n] = $3; moved += $4 == "moved" }
		END { line() }'
}

# A round that failed stays one, whatever comes after it.
ends() {
	[ -z "$UNDER_WAY" ] || echo "$UNDER_WAY $ARBITER 0 failed $SEED" >>"$ROWS"
	[ ! -s "$ROWS" ] || table | tee "$TABLE"
	etcd_stop
}

UNDER_WAY=
RANDOM=$SEED
read -ra faults <<<"$(tr '\n\t' '  ' <<<"$FAULTS")"
mkdir -p "$(dirname "$ROWS")"
step "SEED=$SEED"
trap ends EXIT
etcd_and_romulus_up
protect db alpha beta
deck=()
for n in $(seq "$ROUNDS"); do # each kind comes before one comes again
	[ "${#deck[@]}" -gt 0 ] || deck=("${faults[@]}")
	card=$((RANDOM % ${#deck[@]}))
	round "$n" "${deck[card]}"
	unset "deck[card]"
	deck=("${deck[@]}")
done
