# shellcheck shell=bash
# The end of protection: the guest never notices and nothing is left behind on either host
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=600

. "$LAB_DIR/lib/romulus.sh"

left_on() { # what a protected domain has on its host, and an unprotected one must not have
	host_ssh "$1" "ip -br link show type ifb | grep -v '^ifb[01] '; tc qdisc show | grep -E 'plug|ingress|clsact'
		ls /run/romulus/netbuf 2>/dev/null; pgrep -l romulus-; xl list | grep standby"
}

romulus_up
protect db alpha beta
[ -n "$(left_on alpha)" ] || fail "this scenario does not see what protection leaves on alpha"
[ -n "$(left_on beta)" ] || fail "this scenario does not see what protection leaves on beta"
redis_start db 20
romulus_on alpha unprotect db || fail "romulus unprotect failed with $?"
redis_finish db
left=$(left_on alpha)
[ -z "$left" ] || fail "left on alpha: $left"
left=$(left_on beta)
[ -z "$left" ] || fail "left on beta: $left"
# A save by libxl works again only when log-dirty and the suspend subscription are gone.
host_ssh alpha "xl save -c db /var/tmp/db.save && rm /var/tmp/db.save" ||
	fail "xl save -c fails after unprotect: log-dirty or the suspend event was left behind"
domain_runs alpha db || fail "db does not run after unprotect"
