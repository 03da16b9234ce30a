# shellcheck shell=bash
# Where DRBD is told to keep no order of writes nothing is protected, and status says why
# SPDX-License-Identifier: GPL-2.0-or-later
TIMEOUT=900

. "$LAB_DIR/lib/romulus.sh"
. "$LAB_DIR/lib/disks.sh"

disks_started
# shellcheck disable=SC2016  # beta expands it
host_ssh beta 'for minor in 10 11 12; do
	drbdsetup disk-options $minor --disk-barrier=no --disk-flushes=no --disk-drain=no || exit; done' ||
	fail "DRBD does not take the options"
step "DRBD on beta has no barriers: $(host_ssh beta grep -o 'wo:.' /proc/drbd | tr '\n' ' ')"
romulus_on alpha protect db beta && fail "db is protected: $(status_json alpha)"
is_protected alpha db && fail "db is protected: $(status_json alpha)"
wait_for 60 why_has alpha "need not keep the order of writes" || fail "status does not say why: $(status_json alpha; status_json beta)"
step "status: $(romulus_on alpha status db | head -n 1)"
step "the guest runs on, and is heard"
wait_for 120 pulse_send db stamp status || fail "db is mute: $(status_json alpha)"
domain_runs alpha db || fail "db does not run on alpha: $(host_ssh alpha xl list)"
