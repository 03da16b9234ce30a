# shellcheck shell=bash
# A protected domU reboots, powers off, is destroyed, crashes: as its configuration says, and no standby is ever resumed for it
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=3600

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/lifecycle.sh"

romulus_up

step "a reboot; whoever created it starts it again"
protect db alpha beta
generation=$(status_field alpha db generation)
domid=$(domid_on alpha)
guest_types alpha 'reboot -f'
wait_for 60 event_beyond alpha guest-restarts 0 || fail "alpha has not noticed the reboot: $(romulus_on alpha events db)"
wait_for 60 is_gone beta db--standby || fail "the standby of what was rebooted is still on beta: $(host_ssh beta xl list)"
wait_for 240 is_other alpha "$domid" || fail "db was not started again: $(status_json alpha; host_ssh alpha xl list)"
db_is_up alpha
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
[ "$(domains_on alpha db)" = 1 ] || fail "not one db is on alpha: $(host_ssh alpha xl list)"
is_gone beta db || fail "db was resumed on beta: $(host_ssh beta xl list)"
[ "$(events_of beta grant)" = 0 ] || fail "beta was granted something: $(romulus_on beta events db)"
nobody_was_fenced
redis_start db 20
redis_finish db

step "the same, and xl's own process of db does not live any more"
# shellcheck disable=SC2016
host_ssh alpha 'for p in $(pgrep -x xl); do tr "\0" " " </proc/$p/cmdline | grep -q "create.*db.cfg" && kill $p; done; true'
generation=$(status_field alpha db generation)
domid=$(domid_on alpha)
guest_types alpha 'reboot -f'
wait_for 240 is_other alpha "$domid" || fail "Romulus did not start db again: $(status_json alpha; host_ssh alpha xl list)"
db_is_up alpha
wait_for 300 protected_beyond alpha "$generation" || fail "protection did not return: $(status_json alpha)"
[ "$(domains_on alpha db)" = 1 ] || fail "not one db is on alpha: $(host_ssh alpha xl list)"
is_gone beta db || fail "db was resumed on beta: $(host_ssh beta xl list)"
romulus_on alpha unprotect db || fail "romulus unprotect failed with $?"
host_ssh alpha xl destroy db || fail "db cannot be destroyed"
db_starts alpha

step "a guest that powers itself off"
protect db alpha beta
guest_types alpha 'poweroff -f'
ended_in_agreement 'powered off'
wait_for 120 is_gone alpha db || fail "what was powered off is still on alpha: $(host_ssh alpha xl list)"
romulus_on alpha unprotect db || fail "romulus unprotect does not forget what has ended: $?"
db_starts alpha

step "xl shutdown"
protect db alpha beta
host_ssh alpha xl shutdown db || fail "xl shutdown failed"
ended_in_agreement 'powered off'
wait_for 120 is_gone alpha db || fail "what was shut down is still on alpha: $(host_ssh alpha xl list)"
db_starts alpha

step "xl destroy"
protect db alpha beta
host_ssh alpha xl destroy db || fail "xl destroy failed"
ended_in_agreement 'destroyed|gone from this host'
is_gone alpha db || fail "db is on alpha: $(host_ssh alpha xl list)"

step "a crash, on_crash = preserve"
host_ssh alpha "sed 's/^on_crash.*/on_crash = \"preserve\"/' /etc/xen/db.cfg >/run/db-preserve.cfg"
db_starts alpha /run/db-preserve.cfg
protect db alpha beta
domid=$(domid_on alpha)
guest_types alpha 'echo c >/proc/sysrq-trigger'
ended_in_agreement 'crashed.*on_crash'
[ "$(domid_on alpha)" = "$domid" ] || fail "what has crashed was not preserved: $(host_ssh alpha xl list)"
host_ssh alpha xl destroy db || fail "what has crashed cannot be destroyed"
db_starts alpha

step "a reboot after a takeover: nobody has created db there but Romulus"
protect db alpha beta
host_power_cut alpha
wait_for 240 is_state beta db taken-over || fail "beta did not take over: $(status_json beta)"
domain_runs beta db || fail "db does not run on beta: $(host_ssh beta xl list)"
domid=$(domid_on beta)
guest_types beta 'reboot -f'
wait_for 300 is_other beta "$domid" || fail "db was not started again on beta: $(status_json beta; host_ssh beta xl list)"
wait_for 240 redis_answers "${GUEST_ADDRESS[db]}" || fail "db on beta does not answer"
[ "$(domains_on beta db)" = 1 ] || fail "not one db is on beta: $(host_ssh beta xl list)"
is_state beta db taken-over || fail "beta does not own it any more: $(status_json beta)"
romulus_on beta events db
