# shellcheck shell=bash
# Faults at random, one after the other: nothing acknowledged is lost, nobody else ever speaks for the domU, it is never stuck
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=28800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"

#   ROUNDS=5    how many                  SEED=N   which, and when; printed, so that a campaign can be repeated
#   FAULTS=...  some of those below       the table goes to build/lab-faults.md
ROUNDS=${ROUNDS:-5}
SEED=${SEED:-$$}
FAULTS=${FAULTS:-power-primary power-backup daemon-primary daemon-backup worker-primary worker-backup
	link-replication link-second link-all one-way pause-primary pause-backup fence-fails}
ROUND_LIMIT=90 # seconds that a client lasts: longer than any of these interruptions
TABLE=$TOP/build/lab-faults.md

alive() { host_is_on "$1" && host_booted "$1"; }
host_back() { alive "$1" && host_set_clock "$1" && host_ssh "$1" systemctl start romulusd; }
protected_again() { [ "$(status_field "$1" db generation)" -gt "$2" ] && is_protected "$1" db; }
client_ended() { [ -s "$STATE/client-db.status" ]; }

# Each gets the primary and the backup; what must be undone by hand is undone by `mend`.
fault_power_primary() { host_power_cut "$1"; }
fault_power_backup() { host_power_cut "$2"; }
fault_daemon_primary() { host_ssh "$1" systemctl kill --kill-who=main --signal=KILL romulusd; }
fault_daemon_backup() { host_ssh "$2" systemctl kill --kill-who=main --signal=KILL romulusd; }
fault_worker_primary() { host_ssh "$1" pkill -KILL -x -o romulus-primary; }
fault_worker_backup() { host_ssh "$2" pkill -KILL -x -o romulus-backup; }
fault_link_replication() { link_set down replication; }
fault_link_second() { link_set down second; }
fault_link_all() { link_set down replication && link_set down second; }
fault_one_way() { host_ssh "$2" 'modprobe -a sch_ingress cls_matchall act_gact && tc qdisc add dev repl0 clsact &&
	tc filter add dev repl0 ingress protocol all matchall action drop'; }
fault_pause_primary() { pause_host "$1"; }
fault_pause_backup() { pause_host "$2"; }
fault_fence_fails() { power_stop && host_power_cut "$1"; }

pause_host() { # for 10 s; who is fenced meanwhile does not wake
	local pid
	pid=$(process_pid "$RUN/$1.pid" "$RUN/$1.monitor") || fail "$1 does not run"
	kill -STOP "$pid"
	sleep 10
	kill -CONT "$pid" 2>/dev/null
	true
}

mend() { # mend FAULT BACKUP
	case $1 in
	link-*) link_set up replication && link_set up second ;;
	one-way) host_ssh "$2" tc qdisc del dev repl0 clsact ;;
	fence-fails) power_start ;;
	esac
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

whole() { owner >/dev/null && is_protected "$(owner)" db; }

# What is switched off is switched on, and protection returns without a hand.
recover() {
	local host
	for host in $HOSTS; do
		host_is_on "$host" && continue
		host_power_on "$host"
		wait_for 600 host_back "$host" || fail "$host does not come back"
	done
	wait_for 600 whole || fail "db is stuck: $(for host in $HOSTS; do romulus_on "$host" status; done)"
}

round() { # round NUMBER FAULT
	local primary backup now generation result gap
	primary=$(owner) && backup=$(other_host "$primary") || fail "db does not run on one host"
	generation=$(status_field "$primary" db generation)
	owners_watch db
	redis_start db "$ROUND_LIMIT"
	sleep "$((RANDOM % 3)).$((RANDOM % 1000))" # a random moment of an epoch is the subject
	step "round $1 of $ROUNDS: $2, $primary is the primary"
	"fault_${2//-/_}" "$primary" "$backup" || fail "cannot make the fault $2"
	case $2 in
	fence-fails) wait_for 120 fence_failed "$backup" || fail "no agent fails: $(romulus_on "$backup" events)" ;;
	link-second) sleep 10 ;; # one path of two: nothing may come of it
	link-* | one-way) wait_for 120 decided "$primary" "$backup" "$generation" || fail "nothing comes of $2: $(status_json "$primary")" ;;
	esac
	mend "$2" "$backup"
	result=$(client_result db) || fail "the client failed: $result"
	jq -e '.missing == 0 and .same_connection == true' <<<"$result" >/dev/null || fail "acknowledged writes are missing: $result"
	recover
	now=$(owner)
	if [ "$now" = "$primary" ]; then owners_are "$primary"; else owners_are "$primary" "$now"; fi
	gap=$(jq .longest_gap_ms <<<"$result")
	step "$2: the client waited $gap ms at most, db is on $now"
	echo "$2 $gap $([ "$now" = "$primary" ] && echo stayed || echo moved)" >>"$STATE/faults"
}

fence_failed() { romulus_on "$1" events --json | jq -es 'any(.kind == "fence-failed")' >/dev/null; }
decided() { # decided PRIMARY BACKUP GENERATION: the pairing has ended, on whichever host is left
	! host_is_on "$1" || ! host_is_on "$2" || [ "$(status_field "$1" db state)" = solo ] ||
		[ "$(status_field "$1" db generation)" -gt "$3" ]
}

table() {
	cat <<-END
		# A campaign of faults

		$(date -u +%Y-%m-%d), \`make lab-faults ROUNDS=$ROUNDS SEED=$SEED\`, emulated hosts, interval ${INTERVAL:-200} ms. Lost
		acknowledged writes, double owners, guests left stuck: 0, or there would be no table.

		| fault | rounds | moved | longest wait of the client, median, ms | max, ms |
		|---|--:|--:|--:|--:|
	END
	sort -k1,1 -k2,2n "$STATE/faults" | awk '
		function line() { if (n) printf "| %s | %d | %d | %d | %d |\n", name, n, moved, gap[int((n + 1) / 2)], gap[n] }
		$1 != name { line(); name = $1; n = moved = 0 }
		{ gap[++n] = $2; moved += $3 == "moved" }
		END { line() }'
}

RANDOM=$SEED
read -ra faults <<<"$(tr '\n\t' '  ' <<<"$FAULTS")"
rm -f "$STATE/faults"
step "SEED=$SEED"
romulus_up
protect db alpha beta
for n in $(seq "$ROUNDS"); do round "$n" "${faults[RANDOM % ${#faults[@]}]}"; done
mkdir -p "$(dirname "$TABLE")"
table | tee "$TABLE"
