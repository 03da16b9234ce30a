# shellcheck shell=bash
# A host stands still while its guest is taken over, and wakes: with nobody to fence it, it has not one frame more to say
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600
ARBITER=etcd

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/etcd.sh"
. "$LAB_DIR/lib/owners.sh"

ROUNDS=${ROUNDS:-3}

round() { # round NUMBER
	local primary backup pid
	primary=$([ $(($1 % 2)) = 1 ] && echo alpha || echo beta)
	backup=$(other_host "$primary")
	pid=$(process_pid "$RUN/$primary.pid" "$RUN/$primary.monitor") || fail "$primary does not run"
	rm -f "$STATE/round-over"
	owners_watch db
	redis_start db 1200 --until "$STATE/round-over" --limit 600
	sleep "$((RANDOM % 2)).$((RANDOM % 1000))" # a random moment of an epoch is the subject
	step "round $1 of $ROUNDS: $primary stands still"
	kill -STOP "$pid"
	wait_for 300 is_state "$backup" db taken-over || { kill -CONT "$pid"; fail "$backup did not take over: $(status_json "$backup")"; }
	kill -CONT "$pid"
	step "and wakes"
	wait_for 120 peer_alive "$backup" || fail "$backup does not hear $primary: $(status_json "$backup")"
	wait_for 400 is_protected "$backup" db || fail "protection did not return: $(status_json "$backup"; status_json "$primary")"
	touch "$STATE/round-over"
	redis_finish db
	owners_are "$primary" "$backup"
	nobody_was_fenced
}

trap etcd_stop EXIT
etcd_and_romulus_up
protect db alpha beta
for n in $(seq "$ROUNDS"); do round "$n"; done
