# shellcheck shell=bash
# romulusd hangs on the primary: Xen resets the host, and nothing else is needed for the backup to take over
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1500

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/owners.sh"

ARBITER=manual # nobody else ends it
MORE_CONFIG='watchdog = "hypervisor" watchdog-timeout = 20' # before systemd's 30 s

watchdog_is() { status_json "$1" | jq -e --arg is "$2" '.watchdog == $is' >/dev/null; } # watchdog_is HOST WORD
boot_of() { host_ssh "$1" cat /proc/sys/kernel/random/boot_id </dev/null; }
has_booted_again() { # has_booted_again HOST BOOT
	local boot
	boot=$(boot_of "$1" 2>/dev/null) && [ -n "$boot" ] && [ "$boot" != "$2" ]
}

romulus_up
for host in $HOSTS; do watchdog_is "$host" "not armed" || fail "it is armed although nothing is protected: $(status_json "$host")"; done
protect db alpha beta
wait_for 30 watchdog_is alpha armed || fail "it is not armed on the primary: $(status_json alpha)"
watchdog_is beta "not armed" || fail "it is armed on the backup: $(status_json beta)"

step "a romulusd that is restarted goes on with it"
boot=$(boot_of alpha)
generation=$(status_field alpha db generation)
host_ssh alpha systemctl kill --kill-who=main --signal=KILL romulusd
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
watchdog_is alpha armed || fail "it is not armed any more: $(status_json alpha)"
[ "$(boot_of alpha)" = "$boot" ] || fail "alpha was reset although romulusd came back"

step "romulusd hangs"
owners_watch db
rm -f "$STATE/over"
redis_start db 900 --until "$STATE/over" --limit 600
host_ssh alpha systemctl kill --kill-who=main --signal=STOP romulusd
wait_for 600 has_booted_again alpha "$boot" || fail "alpha was not reset"
step "alpha has booted again"
wait_for 600 host_is_back alpha || fail "romulusd does not start again on alpha"
wait_for 300 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
touch "$STATE/over"
redis_finish db
owners_are alpha beta
nobody_was_fenced

step "nothing is protected: it is disarmed"
wait_for 400 is_protected beta db || fail "protection did not return: $(status_json beta)"
wait_for 30 watchdog_is beta armed || fail "it is not armed on the new primary: $(status_json beta)"
romulus_on beta unprotect db || fail "romulus unprotect failed with $?"
wait_for 30 watchdog_is beta "not armed" || fail "it is still armed: $(status_json beta)"
boot=$(boot_of beta)
host_ssh beta systemctl stop romulusd
sleep 30 # more than its timeout: that nothing comes of it is the subject
[ "$(boot_of beta)" = "$boot" ] || fail "beta was reset after romulusd had been stopped"
