# shellcheck shell=bash
# What dies while a protected domU is moved costs neither a write nor the connection: before it is handed over it goes on here, after that there
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"
. "$LAB_DIR/lib/lifecycle.sh"

# begin [FAULT]: protected on alpha under a client's load, who speaks for it is watched
begin() {
	romulus_up "${1:-}"
	protect db alpha beta
	owners_watch db
	redis_start db 120
}

# speaks_on HOST: the client is answered from there
speaks_on() {
	local acks
	domain_runs "$1" db || fail "db does not run on $1: $(host_ssh "$1" xl list)"
	acks=$(wc -l <"$STATE/acks-db")
	wait_for 120 acks_beyond db "$((acks + 20))" || fail "the client gets no answers from $1"
}

step "the worker dies when all is acked: nothing was promised, db goes on alone on alpha"
begin last-epoch=crash
generation=$(status_field alpha db generation)
romulus_on alpha migrate db beta && fail "romulus migrate says that db was moved"
wait_for 180 event_beyond alpha solo 0 || fail "alpha did not go on alone: $(status_json alpha)"
speaks_on alpha
[ "$(events_of beta running)" = 0 ] || fail "beta has run db: $(romulus_on beta events db)"
redis_finish db
owners_are alpha
nobody_was_fenced
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"

step "romulusd dies when it has promised it and told nobody: the promise is kept"
lab_restart
DEAD_AFTER=20000 # romulusd is started again in between, and its host must not be taken for dead
begin handed-over=crash
romulus_on alpha migrate db beta && fail "romulus migrate says that db was moved, by a romulusd that died"
wait_for 240 event_beyond beta running 0 || fail "beta did not take over: $(status_json beta; status_json alpha)"
speaks_on beta
wait_for 120 is_gone alpha db || fail "db is still on alpha: $(host_ssh alpha xl list)"
redis_finish db
owners_are alpha beta
nobody_was_fenced

step "beta loses its power during the last epoch: alpha goes on alone"
lab_restart
unset DEAD_AFTER
begin
link_set down replication # so that no ack comes, and there is time
romulus_on alpha migrate db beta >"$STATE/migrate" 2>&1 &
move=$!
wait_for 60 is_state alpha db moving || fail "db does not move: $(status_json alpha; cat "$STATE/migrate")"
host_power_cut beta
wait "$move" && fail "romulus migrate says that db was moved: $(cat "$STATE/migrate")"
wait_for 240 is_state alpha db solo || fail "alpha did not go on alone: $(status_json alpha)"
speaks_on alpha
redis_finish db
owners_are alpha
