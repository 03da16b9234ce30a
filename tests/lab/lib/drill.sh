# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Drills on beta: what of the host they could leave behind.

# traces HOST: all that a drill could leave there
traces() {
	# shellcheck disable=SC2016
	host_ssh "$1" 'xl list | awk "NR > 1 { print \$1 }" | sort; ls /sys/class/net | grep ^rd; ls /run/romulus | grep drill
		grep -l . /sys/block/nbd*/pid; ls /var/lib/romulus | grep -v ^drills; pgrep -x romulus-drill; ip netns'
}

no_traces() { [ "$(traces "$1")" = "$(cat "$STATE/traces")" ]; } # no_traces HOST: as they were when traces_keep was called
traces_keep() { traces "$1" >"$STATE/traces"; }
no_drill_left() { wait_for 60 no_traces "$1" || fail "the drill has left something: $(traces "$1" | diff "$STATE/traces" -)"; }

drill_passes() { # drill_passes [HOST]: prints the drill's last line
	romulus_on "${1:-beta}" drill db >"$STATE/drill" 2>&1 || fail "the drill failed with $?: $(cat "$STATE/drill"; romulus_on "${1:-beta}" events)"
	grep -q 'the drill of db has passed; checkpoint [1-9]' "$STATE/drill" || fail "it does not say that it passed: $(cat "$STATE/drill")"
	step "$(tail -n 1 "$STATE/drill")"
	no_drill_left "${1:-beta}"
}
