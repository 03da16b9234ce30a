# shellcheck shell=bash
# The primary loses power under load: the domU carries on at the backup, nothing acknowledged is lost
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"

round() {
	local epoch
	protect db alpha beta
	capture_start guest
	redis_start db 60
	epoch=$(status_field alpha db epoch)
	wait_for 120 epoch_beyond alpha db "$epoch" || fail "no epochs are committed under load"
	# A random moment of the epoch: this wait is the scenario's subject, not a hope.
	sleep "$((RANDOM % 2)).$((RANDOM % 1000))"
	host_power_cut alpha
	wait_for 180 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
	domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
	redis_finish db
	capture_stop
	no_resets
	romulus_on beta events
}

for i in $(seq "${ROUNDS:-5}"); do
	[ "$i" = 1 ] || lab_restart
	romulus_up
	round
	step "round $i of ${ROUNDS:-5} passed"
done
