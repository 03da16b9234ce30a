# shellcheck shell=bash
# The host that lost its power comes back: it is the backup now, and protection returns without a hand
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=1200

. "$LAB_DIR/lib/romulus.sh"

alpha_is_ready() { host_booted alpha && host_set_clock alpha; }

romulus_up
power_cut_round
generation=$(status_field beta db generation)
host_power_on alpha
wait_for 400 alpha_is_ready || fail "alpha does not boot again"
host_ssh alpha systemctl start romulusd || fail "romulusd does not start on alpha"
wait_for 300 is_protected beta db || fail "protection did not return: $(status_json beta)"
[ "$(status_field beta db generation)" -gt "$generation" ] || fail "the generation did not grow"
[ "$(status_field alpha db role)" = backup ] || fail "alpha is not the backup: $(status_json alpha)"
domain_runs beta db || fail "db does not run on beta"
