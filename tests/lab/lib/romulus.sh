# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Romulus on the lab's hosts: configuration, start, protection, and what the scenarios ask of it.

other_host() { if [ "$1" = alpha ]; then echo beta; else echo alpha; fi; }

# Emulated hosts stand still for a second now and then; the limits here are those of such machines.
romulus_config() { # romulus_config HOST [EXTRA]
	local peer
	peer=$(other_host "$1")
	cat <<-END
	host = "$1"
	transport = "${TRANSPORT:-plain}"
	heartbeat-interval = 250
	dead-after = ${DEAD_AFTER:-5000}
	ack-timeout = ${ACK_TIMEOUT:-10000}
	interval = ${INTERVAL:-200}
	reprotect-delay = ${REPROTECT_DELAY:-3000}
	group = "nogroup"
	${MORE_CONFIG:-}
	peer "$peer" {
	    path "replication" { local = "$(host_address "$1" repl)" remote = "$(host_address "$peer" repl)" }
	    path "second" { local = "$(host_address "$1" second)" remote = "$(host_address "$peer" second)" }
	    arbiter = "${ARBITER:-fence}"
	    fence {
	        agent = "/usr/sbin/fence_lab"
	        options = {"plug=$peer", "ip=10.90.2.1"}
	        timeout = 60
	    }
	}
	domain "db" { addresses = {"10.90.0.21", "fd90::21"} ${DB_DISKS:-} ${DB_START:-} ${DB_DRILL:-} }
	domain "web" { addresses = {"10.90.0.22", "fd90::22"} }
	END
}

# romulus_pki: certificates for both hosts. There is no ssh between them, which `romulus pki join` needs: so its
# three parts, over the lab's own ssh. Fresh ones each time: what a run before has left proves nothing.
romulus_pki() {
	host_ssh alpha romulus pki init --force || fail "romulus pki init failed on alpha"
	(set -o pipefail && host_ssh beta romulus pki request --force | host_ssh alpha romulus pki issue beta |
		host_ssh beta romulus pki install) || fail "beta got no certificate from alpha"
}

# romulus_up [FAULT]: deploy what is built, configure both hosts, start both daemons; synced, because a
# power cut loses what is only in the page cache, as in life. FAULT is armed
# on both of them and their workers (common/fault.h).
romulus_up() {
	local host fault=${1:-} pids=()
	deploy
	for host in $HOSTS; do
		romulus_config "$host" | host_ssh "$host" "mkdir -p /etc/romulus /etc/systemd/system/romulusd.service.d
			cat >/etc/romulus/romulus.conf
			printf '[Service]\nEnvironment=ROMULUS_FAULT=%s ROMULUS_DEBUG=%s\n' '$fault' '${ROMULUS_DEBUG-1}' \
				>/etc/systemd/system/romulusd.service.d/lab.conf" || fail "$host cannot be configured"
	done
	[ "${TRANSPORT:-plain}" = plain ] || romulus_pki
	for host in $HOSTS; do
		romulusd_restart "$host" &
		pids+=($!)
	done
	for host in "${pids[@]}"; do wait "$host" || fail "romulusd does not start"; done
	for host in $HOSTS; do
		wait_for 60 peer_alive "$host" || fail "$host does not hear $(other_host "$host")"
	done
}

# A reload takes a quarter of a minute on an emulated host, and systemd reads what it has not read yet without one.
romulusd_restart() { # romulusd_restart HOST
	# shellcheck disable=SC2016
	host_ssh "$1" '[ "$(systemctl show --property=NeedDaemonReload --value romulusd)" = no ] || systemctl daemon-reload
		sync && systemctl restart romulusd' </dev/null ||
		fail "romulusd does not start on $1: $(host_ssh "$1" journalctl -u romulusd -n 20 --no-pager)"
}

romulus_on() { # romulus_on HOST ARGUMENT...
	local host=$1
	shift
	host_ssh "$host" romulus "$@"
}

# romulus_refuses CODE WORDS HOST ARGUMENT...: it fails with CODE and says WORDS, and changes nothing
romulus_refuses() {
	local code=$1 words=$2 host=$3 out status before after
	shift 3
	before=$(host_ssh alpha "xl list | awk '{print \$1,\$2}'"; host_ssh beta "xl list | awk '{print \$1,\$2}'")
	out=$(romulus_on "$host" "$@" 2>&1)
	status=$?
	step "romulus $*: exit $status: $out"
	[ "$status" -eq "$code" ] || fail "romulus $*: exit code $status instead of $code: $out"
	grep -qi -- "$words" <<<"$out" || fail "romulus $*: no word of '$words' in: $out"
	after=$(host_ssh alpha "xl list | awk '{print \$1,\$2}'"; host_ssh beta "xl list | awk '{print \$1,\$2}'")
	[ "$before" = "$after" ] || fail "romulus $* changed the domains: $before / $after"
}

status_json() { romulus_on "$1" status --json; } # of HOST

peer_alive() { status_json "$1" | jq -e '.peers[0].alive' >/dev/null; }

# status_field HOST DOMAIN FIELD: a field of a domain in `status --json`
status_field() {
	status_json "$1" | jq -r --arg name "$2" --arg field "$3" \
		'.domains[] | select(.name == $name) | .[$field] | tostring'
}

is_state() { [ "$(status_field "$1" "$2" state)" = "$3" ]; }       # is_state HOST DOMAIN STATE
is_protected() { [ "$(status_field "$1" "$2" protected)" = true ]; } # is_protected HOST DOMAIN
# epoch_beyond HOST DOMAIN N
epoch_beyond() { [ "$(status_field "$1" "$2" epoch)" -gt "$3" ]; }

why_has() { status_field "$1" db why | grep -qF -- "$2"; } # why_has HOST TEXT
# protected_beyond HOST GENERATION: db is protected from there, in a later generation than that
protected_beyond() { is_protected "$1" db && [ "$(status_field "$1" db generation)" -gt "$2" ]; }
nobody_was_fenced() { ! grep -q ' off ' "$STATE/power.log" || fail "a host was fenced: $(cat "$STATE/power.log")"; }
# host_is_back HOST: it has booted again, and romulusd runs there
host_is_back() { host_booted "$1" && host_set_clock "$1" && host_ssh "$1" systemctl start romulusd; }

is_running() { host_ssh "$1" "xl list $2 2>/dev/null | tail -n 1" | grep -qE ' [r-][b-]--'; } # is_running HOST DOMAIN
domain_runs() { wait_for 60 is_running "$@"; } # checkpoints suspend it, on a busy host for most of the time

protect() { # protect DOMAIN FROM TO
	romulus_on "$2" protect "$1" "$3" || fail "romulus protect $1 $3 failed on $2 with $?"
	is_protected "$2" "$1" || fail "$1 is not protected after romulus protect returned"
}

# redis_start DOMAIN SECONDS [OPTION...]: one Redis connection under load, in the background; ends in redis_finish
redis_start() {
	rm -f "$STATE/acks-$1"
	client_start "$1" redis "${GUEST_ADDRESS[$1]}" --seconds "$2" --log "$STATE/acks-$1" "${@:3}"
	wait_for 60 acks_beyond "$1" 20 || fail "the client gets no answers from $1"
}

acks_beyond() { [ "$(wc -l <"$STATE/acks-$1")" -gt "$2" ]; }

# redis_finish DOMAIN: no acknowledged write is missing, and it was one connection all along
redis_finish() {
	local result
	result=$(client_result "$1") || fail "the client of $1 failed: $result"
	step "client of $1: $result"
	jq -e '.missing == 0 and .same_connection == true' <<<"$result" >/dev/null ||
		fail "acknowledged writes of $1 are missing, or its connection broke: $result"
}

no_resets() {
	local n
	n=$(capture_resets)
	[ "$n" -eq 0 ] || fail "$n TCP resets on the guest LAN"
}

lab_restart() { # back to the snapshot, in the middle of a scenario
	lab_down
	lab_up || fail "the lab did not start again"
}

# timeline: what beta did after alpha's power was cut at CUT_AT, in seconds from the cut
timeline() {
	local first
	echo "   +0.000 s  power-cut    alpha loses its power"
	romulus_on beta events --json | jq -r --argjson cut "$CUT_AT" 'select(.wall_ns / 1e9 > $cut) |
		"\(.wall_ns / 1e9 - $cut) \(.kind) \(.text)"' |
		while read -r at kind text; do printf '%+9.3f s  %-11s  %s\n' "$at" "$kind" "$text"; done
	# The longest silence that the client saw ends with the first reply after the takeover.
	first=$(awk -v cut="$CUT_AT" 'NR > 1 && $1 - last > longest { longest = $1 - last } { last = $1 }
		END { printf "%.1f", longest / 1000 }' "$STATE/acks-db")
	echo "             first reply  the client's longest wait was $first s"
}

# power_cut_round: protect db, load it, cut alpha's power at a random moment, and account for everything
power_cut_round() {
	local epoch
	protect db alpha beta
	capture_start guest
	redis_start db 60
	epoch=$(status_field alpha db epoch)
	wait_for 120 epoch_beyond alpha db "$epoch" || fail "no epochs are committed under load"
	# A random moment of the epoch: this wait is the scenario's subject, not a hope.
	sleep "$((RANDOM % 2)).$((RANDOM % 1000))"
	CUT_AT=$(date +%s.%N)
	host_power_cut alpha
	wait_for 180 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
	domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
	redis_finish db
	capture_stop
	no_resets
	timeline
}
