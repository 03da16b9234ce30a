# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What happens to domU db itself while it is protected on alpha by beta, and what has become of it.

# guest_types HOST COMMAND: at the shell on db's console, as nobody else sees it from outside
guest_types() {
	host_ssh "$1" "echo '$2' >\$(xenstore-read /local/domain/\$(xl domid db)/console/tty)" ||
		fail "nothing can be typed at db's console on $1"
}

# domains_on HOST NAME: how many domains of that name are there; fails when the host does not tell
domains_on() {
	local list
	list=$(host_ssh "$1" xl list) || return 1
	awk -v name="$2" '$1 == name' <<<"$list" | wc -l
}

domid_on() { host_ssh "$1" xl domid db 2>/dev/null; }

is_gone() { [ "$(domains_on "$1" "$2")" = 0 ]; } # is_gone HOST NAME

# is_other HOST DOMID: db runs there, under another number
is_other() {
	local domid
	domid=$(domid_on "$1") && [ -n "$domid" ] && [ "$domid" != "$2" ] && is_running "$1" db
}

# events_of HOST KIND: how many of that kind db has had there since romulusd started
events_of() {
	romulus_on "$1" events db --json | jq -s --arg kind "$2" 'map(select(.kind == $kind)) | length'
}

event_beyond() { [ "$(events_of "$1" "$2")" -gt "$3" ]; } # event_beyond HOST KIND N

why_matches() { status_field "$1" db why | grep -qiE -- "$2"; } # why_matches HOST PATTERN

# db_starts HOST [CONFIG]: it answers and can be suspended
db_starts() {
	host_ssh "$1" "xl create -q ${2:-/etc/xen/db.cfg}" || fail "db does not start on $1"
	db_is_up "$1"
}

db_is_up() { # db_is_up HOST
	wait_for 240 redis_answers "${GUEST_ADDRESS[db]}" || fail "db on $1 does not answer: $(host_ssh "$1" xl list)"
	# shellcheck disable=SC2016
	wait_for 120 host_ssh "$1" 'xenstore-read /local/domain/$(xl domid db)/control/feature-suspend | grep -qx 1' ||
		fail "db on $1 does not announce that it can be suspended"
}

# ended_in_agreement WORDS: both hosts know that db has ended for good, status on alpha says why in these WORDS,
# and nothing is left that could be taken for it
ended_in_agreement() {
	wait_for 120 is_state alpha db idle || fail "protection has not ended: $(status_json alpha)"
	step "status: $(romulus_on alpha status db)"
	why_matches alpha "$1" || fail "status on alpha does not say '$1'"
	wait_for 60 is_state beta db released || fail "beta has not let go: $(status_json beta)"
	wait_for 60 is_gone beta db--standby || fail "the standby is still on beta: $(host_ssh beta xl list)"
	is_gone beta db || fail "db was resumed on beta: $(host_ssh beta xl list)"
	[ "$(events_of beta grant)" = 0 ] || fail "beta was granted something: $(romulus_on beta events db)"
	nobody_was_fenced
}
