# shellcheck shell=bash
# xendomains and a protected guest: not protected where it is started at boot, not started where it is protected
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1500

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"

# The lab's image masks it, to boot sooner.
host_ssh alpha 'systemctl unmask xendomains && mkdir -p /etc/xen/auto && ln -s ../db.cfg /etc/xen/auto/db.cfg && sync'
romulus_up
host_ssh alpha 'systemctl daemon-reload && systemctl enable xendomains && sync' || fail "xendomains cannot be enabled"

step "what xendomains would start is not protected"
out=$(romulus_on alpha protect db beta 2>&1)
status=$?
[ "$status" = 4 ] || fail "romulus protect: exit $status instead of 4: $out"
grep -q /etc/xen/auto/db.cfg <<<"$out" || fail "the file is not named: $out"
host_ssh alpha rm /etc/xen/auto/db.cfg
protect db alpha beta

step "the file comes back later, alpha loses its power, and db is taken over"
host_ssh alpha 'ln -s ../db.cfg /etc/xen/auto/db.cfg && sync'
host_power_cut alpha
wait_for 300 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
host_power_on alpha
wait_for 600 host_is_back alpha || fail "alpha does not come back"
host_ssh alpha 'systemctl start xendomains' || true # until its job has ended
host_ssh alpha 'journalctl -b -u xendomains --no-pager' | grep -q /etc/xen/auto/db.cfg ||
	fail "the journal does not say why xendomains has not begun: $(host_ssh alpha journalctl -b -u xendomains --no-pager)"
[ "$(host_ssh alpha systemctl show --property=Result --value xendomains)" = exec-condition ] ||
	fail "xendomains has begun: $(host_ssh alpha systemctl status --no-pager xendomains)"
is_gone alpha db || fail "a second db runs on alpha: $(host_ssh alpha xl list)"
wait_for 200 why_matches beta 'alpha refused: xendomains starts' || fail "alpha becomes a backup all the same: $(status_json beta)"

step "without the file it begins, and protection returns"
host_ssh alpha 'rm /etc/xen/auto/db.cfg && systemctl start xendomains && systemctl is-active xendomains' ||
	fail "xendomains does not begin: $(host_ssh alpha systemctl status --no-pager xendomains)"
wait_for 400 is_protected beta db || fail "protection did not return: $(status_json beta)"
