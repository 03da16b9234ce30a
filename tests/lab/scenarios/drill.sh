# shellcheck shell=bash
# A takeover is rehearsed on the backup: its guest answers there, nobody outside hears it, the protection goes on, nothing is left
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1800
DEAD_AFTER=20000 # romulusd takes seconds to restart there, and must not be fenced for it

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"
. "$LAB_DIR/lib/lifecycle.sh"
. "$LAB_DIR/lib/drill.sh"

DRILLS=${DRILLS:-2} # in a row, and nothing is left of them
PARTS=${PARTS:-fails interrupted killed daemon} # before the cut
wants() { [[ " $PARTS " = *" $1 "* ]]; }

# shellcheck disable=SC2034 # romulus_config reads it
DB_DRILL='drill { address = "10.90.0.99/24" tcp = "10.90.0.21:6379" command = "/etc/romulus/drill-check" limit = 60 }'

# check_is BODY: the health check on beta
check_is() { printf '#!/bin/bash\n%s\n' "$1" | host_ssh beta 'cat >/etc/romulus/drill-check && chmod 755 /etc/romulus/drill-check'; }
instance_runs() { host_ssh beta 'xl list db--drill' 2>/dev/null | grep -q db--drill; }
begins() { # begins: a drill whose check takes for ever, which is in it
	check_is 'sleep 1000'
	romulus_on beta drill db >"$STATE/drill" 2>&1 &
	drill=$!
	wait_for 180 host_ssh beta "pgrep -f '^/bin/bash /etc/romulus/drill-check'" || fail "the drill does not come to its check: $(cat "$STATE/drill")"
	instance_runs || fail "there is no instance: $(host_ssh beta xl list)"
}

romulus_up
protect db alpha beta
generation=$(status_field alpha db generation)
traces_keep beta
capture_start guest
owners_watch db
rm -f "$STATE/enough"
redis_start db 1500 --until "$STATE/enough"

step "its redis answers in the bubble, and knows what it was told before"
# shellcheck disable=SC2016
check_is 'exec 3<>/dev/tcp/10.90.0.21/6379 && printf "DBSIZE\r\n" >&3 && IFS= read -r -t 20 keys <&3 && echo "$keys" && [[ $keys = :[1-9]* ]]'
for ((i = 0; i < DRILLS; i++)); do drill_passes; done
romulus_on beta drills db
[ "$(romulus_on beta drills db --json | jq -s 'map(select(.result == "passed" and (.said | startswith(":")))) | length')" = "$DRILLS" ] ||
	fail "the history has not $DRILLS drills: $(romulus_on beta drills --json)"
is_protected alpha db || fail "db is not protected any more: $(status_json alpha)"
[ "$(status_field alpha db generation)" = "$generation" ] || fail "the protection was interrupted: $(romulus_on alpha events)"

if wants fails; then
	step "a check that fails"
	check_is 'echo the table is empty; exit 1'
	romulus_on beta drill db >"$STATE/drill" 2>&1 && fail "the drill has passed: $(cat "$STATE/drill")"
	grep 'has FAILED: the check has failed: .*drill-check exits with 1' "$STATE/drill" || fail "it does not say why: $(cat "$STATE/drill")"
	no_drill_left beta
	romulus_refuses 9 'run this on beta' alpha drill db
fi

if wants interrupted; then
	step "Ctrl-C"
	begins
	host_ssh beta pkill -INT -x romulus
	wait "$drill"
	no_drill_left beta
fi

if wants killed; then
	step "romulus-drill dies"
	begins
	host_ssh beta pkill -KILL -x romulus-drill
	wait "$drill" && fail "a drill that died has passed: $(cat "$STATE/drill")"
	no_drill_left beta
fi

if wants daemon; then
	step "romulusd dies and comes back"
	begins
	host_ssh beta systemctl kill --kill-who=main --signal=KILL romulusd
	wait "$drill"
	wait_for 120 peer_alive beta || fail "romulusd does not come back on beta"
	wait_for 180 is_gone beta db--drill || fail "the instance is still there: $(host_ssh beta xl list)"
	wait_for 400 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
	no_drill_left beta
fi

step "alpha loses its power in the middle of one"
begins
touch "$STATE/enough"
redis_finish db
host_power_cut alpha
wait_for 180 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
wait_for 60 is_gone beta db--drill || fail "the instance is still there: $(host_ssh beta xl list)"
wait_for 60 redis_answers "${GUEST_ADDRESS[db]}" || fail "redis in db does not answer"
capture_stop
no_resets
owners_are alpha beta # nobody else spoke for it, whatever ran in the bubble
