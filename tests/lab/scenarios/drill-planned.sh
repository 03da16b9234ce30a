# shellcheck shell=bash
# A switchover is rehearsed: the backup has the guest moved there, looks at it, and moves it back, twice, with one connection
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"
. "$LAB_DIR/lib/lifecycle.sh"

# shellcheck disable=SC2034 # romulus_config reads it
DB_DRILL='drill { address = "10.90.0.99/24" tcp = "10.90.0.21:6379" command = "/etc/romulus/drill-check" limit = 60 }'

# check_is BODY: the health check on beta
check_is() { printf '#!/bin/bash\n%s\n' "$1" | host_ssh beta 'cat >/etc/romulus/drill-check && chmod 755 /etc/romulus/drill-check'; }

# back: db runs on alpha, protected by beta, and nowhere else
back() {
	wait_for 60 is_protected alpha db || fail "db is not protected on alpha: $(status_json alpha)"
	domain_runs alpha db || fail "db does not run on alpha: $(host_ssh alpha xl list)"
	is_state beta db ready || fail "beta is not its backup: $(status_json beta)"
	is_gone beta db || fail "db is still on beta: $(host_ssh beta xl list)"
}

romulus_up
protect db alpha beta
capture_start guest
owners_watch db
rm -f "$STATE/enough"
redis_start db 1500 --until "$STATE/enough"

step "it passes"
# shellcheck disable=SC2016 # beta expands it
check_is 'exec 3<>/dev/tcp/10.90.0.21/6379 && printf "DBSIZE\r\n" >&3 && IFS= read -r -t 20 keys <&3 && [[ $keys = :[1-9]* ]]'
romulus_on beta drill --planned db >"$STATE/drill" 2>&1 || fail "the drill failed with $?: $(cat "$STATE/drill"; romulus_on beta events)"
step "$(tail -n 1 "$STATE/drill")"
back

step "its check fails, and it goes back all the same"
check_is 'exit 1'
romulus_on beta drill --planned db >"$STATE/drill" 2>&1 && fail "the drill has passed: $(cat "$STATE/drill")"
grep -q 'its check has failed' "$STATE/drill" || fail "it does not say why: $(cat "$STATE/drill")"
back
[ "$(romulus_on beta drills db --json | jq -s 'map(select(.planned) | .result) == ["passed", "failed"]')" = true ] ||
	fail "that is not its history: $(romulus_on beta drills --json)"

touch "$STATE/enough"
redis_finish db
nobody_was_fenced
capture_stop
no_resets
owners_are alpha beta alpha beta alpha
