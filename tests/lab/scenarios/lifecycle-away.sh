# shellcheck shell=bash
# A protected domU is saved, and migrated, by another hand: its standby is given up first, and there is one domU all along
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"

event_said() { romulus_on "$1" events db --json | jq -r .text | grep -qE -- "$2"; } # event_said HOST PATTERN

# Nobody else has been granted it, and nobody was fenced for it.
undisturbed() {
	[ "$(events_of beta grant)" = 0 ] || fail "beta was granted something: $(romulus_on beta events db)"
	nobody_was_fenced
}

romulus_up
protect db alpha beta
redis_start db 120

step "xl save -c"
generation=$(status_field alpha db generation)
host_ssh alpha 'xl save -c db /var/tmp/db.save' || fail "xl save failed with $?"
host_ssh alpha rm /var/tmp/db.save
wait_for 120 event_said alpha 'saved or migrate|saves or migrates' || fail "alpha has not noticed the save: $(romulus_on alpha events db)"
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
[ "$(domains_on alpha db)" = 1 ] || fail "not one db is on alpha: $(host_ssh alpha xl list)"
undisturbed
redis_finish db

step "xl migrate"
redis_start db 120
generation=$(status_field alpha db generation)
if host_ssh alpha xl migrate db beta; then
	step "the migration succeeded"
	wait_for 180 is_state alpha db idle || fail "protection has not ended on alpha: $(status_json alpha)"
	step "status: $(romulus_on alpha status db)"
	why_matches alpha 'migrated away|gone from this host' || fail "status on alpha does not say where db is"
	is_gone alpha db || fail "db is on alpha too: $(host_ssh alpha xl list)"
	[ "$(domains_on beta db)" = 1 ] || fail "not one db is on beta: $(host_ssh beta xl list)"
	undisturbed
	redis_finish db
	# Whoever has it may protect it, and what is known of it on both hosts is no obstacle.
	wait_for 120 romulus_on beta protect db alpha || fail "db cannot be protected from beta: $(status_json beta; status_json alpha)"
	is_protected beta db || fail "db is not protected from beta: $(status_json beta)"
else
	step "the migration failed"
	wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
	[ "$(domains_on alpha db)" = 1 ] || fail "not one db is on alpha: $(host_ssh alpha xl list)"
	is_gone beta db || fail "db is on beta too: $(host_ssh beta xl list)"
	undisturbed
	redis_finish db
fi
wait_for 120 event_said alpha 'saved or migrate|saves or migrates' || fail "alpha has not noticed the migration: $(romulus_on alpha events db)"
