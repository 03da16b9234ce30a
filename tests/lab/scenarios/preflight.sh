# shellcheck shell=bash
# `romulus check`: nothing fails for db on beta; then one thing after the other is spoiled, and is the one that is named
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=2400

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

# checked [HOST TO]: what `romulus check --json` says of db, and how it exits, go to $STATE/check and $check_status
checked() {
	romulus_on "${1:-alpha}" check --json db "${2:-beta}" >"$STATE/check" 2>"$STATE/check-error"
	check_status=$?
	step "check: exit $check_status: $(jq -c '[.checks[] | select(.result != "pass") | {(.name): .result}]' "$STATE/check") $(cat "$STATE/check-error")"
}

row() { jq -r --arg name "$1" --arg key "$2" '.checks[] | select(.name == $name) | .[$key]' "$STATE/check"; } # row NAME KEY
failing() { jq -r '[.checks[] | select(.result == "fail") | .name] | join(" ")' "$STATE/check"; }

passes() { # passes [HOST TO]: nothing fails
	checked "$@"
	[ "$check_status" -eq 0 ] && [ "$(jq '.checks | length' "$STATE/check")" -gt 15 ] && [ -z "$(failing)" ] ||
		fail "db does not pass: $(cat "$STATE/check" "$STATE/check-error")"
}

# fails NAMES WORDS: these checks fail and no other, the first of them says WORDS and what to do
fails() {
	checked
	[ "$check_status" -eq 4 ] || fail "exit $check_status: $(cat "$STATE/check" "$STATE/check-error")"
	[ "$(failing)" = "$1" ] || fail "'$(failing)' fail instead of '$1': $(cat "$STATE/check")"
	row "${1%% *}" found | grep -qF -- "$2" || fail "no word of '$2': $(cat "$STATE/check")"
	[ -n "$(row "${1%% *}" "do")" ] || fail "nothing says what to do: $(cat "$STATE/check")"
}

domains() { for host in $HOSTS; do host_ssh "$host" "xl list | awk '{print \$1,\$2}'; bridge link"; done; }

disks_started
before=$(domains)

step "all is well"
passes
romulus_on alpha check db beta | tee "$STATE/table"
grep -q '^pass  memory ' "$STATE/table" && grep -q '^db on beta: ' "$STATE/table" || fail "no table: $(cat "$STATE/table")"
[ "$(row segment result)" = pass ] || fail "no probe frame came through: $(cat "$STATE/check")"
[ "$(row drbd result)" = pass ] || fail "the disks are not the same: $(cat "$STATE/check")"
romulus_refuses 3 nosuch alpha check nosuch beta
romulus_refuses 3 gamma alpha check db gamma
romulus_refuses 3 "'db'" beta check db alpha # it does not run there

step "beta's bridge has another name"
host_ssh beta 'ip link set xenbr0 down && ip link set xenbr0 name xenbr9 && ip link set xenbr9 up' || fail "cannot rename the bridge"
fails "bridge segment" "no bridge on beta: xenbr0"
step "it is there, and leads nowhere"
host_ssh beta 'ip link add xenbr0 type bridge && ip link set xenbr0 up' || fail "no second bridge"
fails segment xenbr0
host_ssh beta 'ip link del xenbr0; ip link set xenbr9 down && ip link set xenbr9 name xenbr0 && ip link set xenbr0 up' ||
	fail "cannot rename the bridge back"
passes

step "beta's guest LAN is cut"
link_set down guest beta
fails segment 'arrived on beta: xenbr0'
romulus_refuses 4 'probe frame' alpha protect db beta
link_set up guest beta
passes

step "beta's memory is filled with paused domains"
host_ssh beta 'i=0; while sed -e "s/\"db\"/\"fill$i\"/; s/00:21/01:3$i/" /etc/xen/db.cfg >/tmp/fill.cfg &&
	xl create -q -p /tmp/fill.cfg 2>/dev/null; do i=$((i + 1)); [ $i -lt 9 ] || break; done'
fails memory 'free on beta'
# shellcheck disable=SC2016
host_ssh beta 'for d in $(xl list | awk "/fill/{print \$1}"); do xl destroy $d; done'
passes

step "beta has a db of its own"
host_ssh beta xl create -q -p /etc/xen/db.cfg || fail "no second db on beta"
fails name already
host_ssh beta xl destroy db
passes

step "beta's clock is wrong"
host_ssh beta "date -s @\$((\$(date +%s) + 60))" >/dev/null
fails clock ahead
host_set_clock beta || fail "beta's clock cannot be set back"
passes

step "beta's DRBD resource is down"
host_ssh beta romulus disk down db || fail "the resource does not go down on beta"
fails drbd 'is not up on beta'
host_ssh beta romulus disk up db || fail "the resource does not come up on beta"
wait_for 60 drbd_settled alpha || fail "DRBD does not settle: $(drbd_state alpha)"
drbd_patient
passes

step "beta's romulus.conf does not know the disks"
host_ssh beta 'cp /etc/romulus/romulus.conf /tmp/good.conf'
DB_DISKS='' romulus_config beta | host_ssh beta 'cat >/etc/romulus/romulus.conf'
romulusd_restart beta
wait_for 60 peer_alive alpha || fail "alpha does not hear beta again"
fails drbd 'not configured on beta'
host_ssh beta 'cp /tmp/good.conf /etc/romulus/romulus.conf'
romulusd_restart beta
wait_for 60 peer_alive alpha || fail "alpha does not hear beta again"
passes

step "nothing was changed by all that, and db can be protected and moved"
[ "$(domains)" = "$before" ] || fail "something has changed: $before / $(domains)"
protect db alpha beta
passes
[ "$(row memory found)" = 'its standby on beta has its memory' ] || fail "no standby: $(cat "$STATE/check")"
step "it is let go to its standby, for it is alpha that is cut off"
link_set down guest alpha
romulus_on alpha migrate --no-protect db beta || fail "db is not moved: $(romulus_on alpha events db)"
link_set up guest alpha
passes beta alpha
