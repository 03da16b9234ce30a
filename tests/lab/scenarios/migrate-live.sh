# shellcheck shell=bash
# An unprotected domU is moved while it runs: one connection, no write lost, called off at will, and neither host protects it afterwards
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"
. "$LAB_DIR/lib/lifecycle.sh"

is_unknown() { ! status_json "$1" | jq -e '.domains[] | select(.name == "db")' >/dev/null; } # is_unknown HOST: its status has no db

# stays HOST OTHER: db runs there, unharmed and unprotected, and nothing of it is left on the other
stays() {
	wait_for 60 is_unknown "$1" || fail "$1 has not forgotten the move: $(status_json "$1")"
	domain_runs "$1" db || fail "db does not run on $1: $(host_ssh "$1" xl list)"
	wait_for 60 is_gone "$2" db--standby || fail "a standby is left on $2: $(host_ssh "$2" xl list)"
	is_gone "$2" db || fail "db is on $2 as well"
}

# A client that goes on for as long as it takes: one connection, and no acknowledged write is missing at its end.
client_begins() { rm -f "$STATE/enough" && redis_start db 900 --until "$STATE/enough"; }
client_ends() { touch "$STATE/enough" && redis_finish db; }

# moved FROM TO [OPTION...]: under a client's load
moved() {
	local acks
	client_begins
	romulus_on "$1" migrate "${@:3}" db "$2" || fail "romulus migrate failed on $1 with $?: $(romulus_on "$1" events db; status_json "$2")"
	is_gone "$1" db || fail "db is still on $1: $(host_ssh "$1" xl list)"
	domain_runs "$2" db || fail "db does not run on $2: $(host_ssh "$2" xl list)"
	acks=$(wc -l <"$STATE/acks-db")
	wait_for 60 acks_beyond db "$((acks + 20))" || fail "the client gets no answers from $2"
	client_ends
	step "why the last round was that: $(romulus_on "$1" events db --json | jq -rs 'map(select(.kind == "stage"))[-1].text')"
}

# copying HOST: the copy is under way there
copying() { is_state "$1" db syncing && [ "$(status_field "$1" db copy_pages)" -gt 1000 ]; }

romulus_up
capture_start guest
owners_watch db

step "to beta"
moved alpha beta
is_state beta db taken-over || fail "beta does not own db: $(status_json beta)"
wait_for 60 is_unknown alpha || fail "alpha has not forgotten db: $(status_json alpha)"

step "called off while it is copied, no faster than 2 MB/s"
client_begins
romulus_on beta migrate --bandwidth 2 db alpha >"$STATE/off.log" 2>&1 &
mover=$!
wait_for 120 copying beta || fail "no copy begins: $(cat "$STATE/off.log"; status_json beta)"
romulus_on beta cancel db || fail "romulus cancel failed with $?: $(status_json beta)"
wait "$mover" && fail "romulus migrate succeeded although it was called off"
grep -F 'called off' "$STATE/off.log" || fail "romulus migrate does not say that it was called off: $(cat "$STATE/off.log")"
stays beta alpha

step "Ctrl-C"
romulus_on beta migrate --bandwidth 2 db alpha >"$STATE/off.log" 2>&1 &
mover=$!
wait_for 120 copying beta || fail "no copy begins: $(cat "$STATE/off.log"; status_json beta)"
host_ssh beta pkill -INT -x romulus
wait "$mover" && fail "romulus migrate succeeded although it was interrupted"
stays beta alpha
client_ends

step "back, standing still while it is copied, and protected there"
moved beta alpha --no-live --protect
wait_for 300 is_protected alpha db || fail "alpha does not protect db: $(status_json alpha)"
nobody_was_fenced
capture_stop
no_resets
owners_are alpha beta alpha
