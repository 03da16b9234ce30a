# shellcheck shell=bash
# A protected domU is moved to its backup, back, and there for good: one connection each time, no write lost, nobody fenced, one owner
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"
. "$LAB_DIR/lib/lifecycle.sh"

# moved FROM TO [OPTION]: under a client's load; when the command has returned db runs on TO and nowhere else
moved() {
	local acks left
	wait_for 120 is_protected "$1" db || fail "db is not protected on $1: $(status_json "$1")"
	redis_start db 90
	left=$(events_of "$1" left)
	romulus_on "$1" migrate "${@:3}" db "$2" || fail "romulus migrate failed on $1 with $?: $(romulus_on "$1" events db; status_json "$2")"
	event_beyond "$1" left "$left" || fail "$1 has not let go: $(romulus_on "$1" events db)"
	is_gone "$1" db || fail "db is still on $1: $(host_ssh "$1" xl list)"
	domain_runs "$2" db || fail "db does not run on $2: $(host_ssh "$2" xl list)"
	[ "$(domains_on "$2" db)" = 1 ] || fail "not one db is on $2: $(host_ssh "$2" xl list)"
	acks=$(wc -l <"$STATE/acks-db")
	wait_for 60 acks_beyond db "$((acks + 20))" || fail "the client gets no answers from $2"
	redis_finish db
	romulus_on "$1" events db
}

# reversed FROM TO GENERATION: it is protected on TO, in a later one, and FROM is its backup
reversed() {
	wait_for 300 protected_beyond "$2" "$3" || fail "protection did not return: $(status_json "$2"; status_json "$1")"
	wait_for 60 is_state "$1" db ready || fail "$1 is not the backup: $(status_json "$1")"
	[ "$(status_field "$1" db role)" = backup ] || fail "$1 is not the backup: $(status_json "$1")"
}

romulus_up
protect db alpha beta
capture_start guest
owners_watch db

step "what cannot be moved is left alone"
romulus_on beta migrate db alpha && fail "the backup moves what it does not run"
romulus_on alpha migrate db gamma && fail "db moves to a host that there is not"
is_protected alpha db || fail "db is not protected any more: $(status_json alpha)"

step "to beta"
generation=$(status_field alpha db generation)
moved alpha beta
reversed alpha beta "$generation"

step "and back"
generation=$(status_field beta db generation)
moved beta alpha
reversed beta alpha "$generation"

step "to beta, for good"
begun=$(events_of beta protect-begin)
moved alpha beta --no-protect
is_state beta db taken-over || fail "beta does not own db: $(status_json beta)"
event_beyond beta protect-begin "$begun" && fail "beta protects db, which nobody wants: $(romulus_on beta events db)"
is_state alpha db idle || fail "alpha has not let go: $(status_json alpha)"
is_gone alpha db--standby || fail "alpha has a standby: $(host_ssh alpha xl list)"
nobody_was_fenced
capture_stop
no_resets
owners_are alpha beta alpha beta

step "protected again when that is asked for"
protect db beta alpha
